"""One StructType for each table, and the check that a DataFrame fits it."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    DateType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)


class SchemaError(Exception):
    """A table lacks a column or holds one of another type (exit 2)."""


class DataError(Exception):
    """The data cannot be used as it is (exit 2)."""


def _column(name: str, data_type: DataType, comment: str, *, nullable: bool = False) -> StructField:
    return StructField(name, data_type, nullable, {"comment": comment})


_USER_ID = _column("user_id", StringType(), "the customer's id")
_ITEM_ID = _column("item_id", StringType(), "the customer's id")
_USER_INDEX = _column("user_index", IntegerType(), "from 0 without gaps, the same every night")
_ITEM_INDEX = _column("item_index", IntegerType(), "from 0 without gaps, the same every night")
_RANK = _column("rank", IntegerType(), "position in the list, from 1")
_VECTOR = _column("vector", ArrayType(FloatType(), False), "GMF part, then MLP part")

# Grain: (user_id, item_id), one row for each pair with at least one event.
INTERACTIONS = StructType(
    [
        _USER_ID,
        _ITEM_ID,
        _column("num_events", LongType(), "events of the pair, at least 1"),
        _column("weight", DoubleType(), "sum of the events' weights"),
        _column("first_event_at", TimestampType(), "null: the input has no times", nullable=True),
        _column("last_event_at", TimestampType(), "null: the input has no times", nullable=True),
    ]
)

# Grain: user_id. Append-only across nights.
USER_INDEX = StructType([_USER_ID, _USER_INDEX])

# Grain: item_id. Append-only across nights.
ITEM_INDEX = StructType([_ITEM_ID, _ITEM_INDEX])

INDEXES = {"user": USER_INDEX, "item": ITEM_INDEX}

# Grain: item_id, the items of the customer's catalogue.
CATALOGUE = StructType(
    [
        _ITEM_ID,
        _column("title", StringType(), "null: not given", nullable=True),
        _column("category", StringType(), "null: not given", nullable=True),
        _column("price", DoubleType(), "in the shop's currency; null: not given", nullable=True),
        _column("url", StringType(), "null: not given", nullable=True),
        _column("image_url", StringType(), "null: not given", nullable=True),
    ]
)

# Grain: item_id, the items with interactions. The configured side features follow (double).
ITEM_ACTIVITY = StructType(
    [
        _ITEM_ID,
        _ITEM_INDEX,
        _column("num_users", LongType(), "different users, at least 1"),
        _column("num_events", LongType(), "events, at least 1"),
        _column("activity", DoubleType(), "0 (the least active) to 1"),
        _column("is_new", BooleanType(), "first seen within activity.new_item_days"),
        _column("activity_by_counts", DoubleType(), "the same by users and events alone"),
        _column("low_activity", DoubleType(), "chance of being drawn; sums to 1 over the table"),
        _column("low_activity_by_counts", DoubleType(), "the same, by activity_by_counts"),
        _column("uniform", DoubleType(), "the same, equal for all items"),
        _column("popularity", DoubleType(), "the same, in proportion to the train users"),
    ]
)

# Grain: (user_index, item_index), the interactions by index and what each serves for, and with
# split.method provided the pairs that stand only in the test set.
SPLIT = StructType(
    [
        _USER_INDEX,
        _ITEM_INDEX,
        _column("num_events", LongType(), "null: only in the provided test set", nullable=True),
        _column("first_event_at", TimestampType(), "null: no time", nullable=True),
        _column("last_event_at", TimestampType(), "null: no time", nullable=True),
        _column("is_holdout", BooleanType(), "not for training"),
        _column("is_validation", BooleanType(), "not for training either; never both"),
    ]
)

# Grain: (user_index, item_index), positives only. Laid out in folders by shard.
TRAIN = StructType(
    [_USER_INDEX, _ITEM_INDEX, _column("shard", IntegerType(), "user_index % training.num_shards")]
)

# Grain: (user_index, item_index), pairs that training must not see. The table `validation`, by
# which the best epoch is chosen, has the same columns; evaluate alone looks at `holdout`, once.
HOLDOUT = StructType(
    [
        _USER_INDEX,
        _ITEM_INDEX,
        _column("negatives", ArrayType(IntegerType(), False), "item_index of sampled_99's rivals"),
        _column("shard", IntegerType(), "user_index % training.num_shards"),
    ]
)

# Grain: user_index; part of the model.
USER_VECTORS = StructType([_USER_INDEX, _VECTOR])

# Grain: item_index; part of the model.
ITEM_VECTORS = StructType([_ITEM_INDEX, _VECTOR])

# Grain: item_index; the popularity baseline, counted on train alone.
ITEM_POPULARITY = StructType(
    [_ITEM_INDEX, _column("num_users", LongType(), "different users in train, 0 if none")]
)

# Grain: (item_index, rank), rank from 1: the neighbours of each item in the baseline item_item.
ITEM_NEIGHBOURS = StructType(
    [
        _ITEM_INDEX,
        _RANK,
        _column("neighbour_index", IntegerType(), "item_index of the neighbour"),
        _column("similarity", DoubleType(), "cosine of the items' train users, shrunk"),
    ]
)

# Grain: (model, protocol, user_index, item_index), one row for each holdout pair.
RANKS = StructType(
    [
        _column("model", StringType(), "model.kind, a baseline, or a name of evaluation.compared"),
        _column("protocol", StringType(), "sampled_99 or full"),
        _USER_INDEX,
        _ITEM_INDEX,
        _column("rank", IntegerType(), "of the holdout item, from 1, the last among ties"),
        _column(
            "top_items",
            ArrayType(IntegerType(), False),
            "the best max(evaluation.ks) items that the user does not know, best first, on one "
            "full row of each model and user; null: on the others",
            nullable=True,
        ),
    ]
)

# Grain: (model, protocol, metric, k, segment), one row a figure.
METRICS = StructType(
    [
        _column("model", StringType(), "model.kind, a baseline, or a name of evaluation.compared"),
        _column("protocol", StringType(), "sampled_99 or full"),
        _column(
            "metric",
            StringType(),
            "hr, ndcg, recall, mrr, map; under full also coverage, popularity_percentile, gini",
        ),
        _column("k", IntegerType(), "cut-off"),
        _column("segment", StringType(), "all; users few, some, many; category=<name>"),
        _column("value", DoubleType(), "0 to 1"),
        _column("low", DoubleType(), "of the 95 % interval; null: not computed", nullable=True),
        _column("high", DoubleType(), "of the 95 % interval; null: not computed", nullable=True),
    ]
)

# Grain: item_index, the items that may be recommended tonight.
ELIGIBLE_ITEMS = StructType([_ITEM_INDEX])

# Grain: (user_index, rank).
USER_TOPK = StructType(
    [
        _USER_INDEX,
        _RANK,
        _ITEM_INDEX,
        _column("score", FloatType(), "logit: higher is better, comparable within a user"),
        _column("source", StringType(), "what filled the slot: model"),
    ]
)

# Grain: (item_index, rank).
ITEM_TOPK = StructType(
    [
        _ITEM_INDEX,
        _RANK,
        _column("similar_item_index", IntegerType(), "the neighbour"),
        _column("score", FloatType(), "cosine of the item vectors, -1 to 1"),
    ]
)

# Grain: user_id; read from the customer's table, never stored by itself.
RECIPIENTS = StructType(
    [
        _USER_ID,
        _column("email", StringType(), "null: not given", nullable=True),
        _column("country", StringType(), "null: not given", nullable=True),
        _column("consent", BooleanType(), "null: unknown, which is no consent", nullable=True),
    ]
)

# Grain: (user_id, rank), the long form of a campaign.
CAMPAIGN_LONG = StructType(
    [
        _column("campaign_id", StringType(), "campaign.id"),
        _column("run_date", DateType(), "the night"),
        _USER_ID,
        _column("email", StringType(), "null: not given", nullable=True),
        _column("country", StringType(), "null: not given", nullable=True),
        _column("arm", StringType(), "model"),
        _RANK,
        _ITEM_ID,
        _column("title", StringType(), "null: not given", nullable=True),
        _column("price", DoubleType(), "null: not given", nullable=True),
        _column("url", StringType(), "null: not given", nullable=True),
        _column("score", FloatType(), "logit"),
        _column("source", StringType(), "what filled the slot: model"),
    ]
)


def campaign_schema(k: int) -> StructType:
    """The campaign's wide form, one recipient a row: item_1 … item_k with their metadata.

    Slots after a recipient's last recommendation are null.
    """
    head = [field for field in CAMPAIGN_LONG if field.name in CAMPAIGN_RECIPIENT]
    slots = [
        StructField(slot_column(name, rank), CAMPAIGN_LONG[name].dataType, True)
        for rank in range(1, k + 1)
        for name in SLOT_COLUMNS
    ]
    return StructType([*head, *slots])


CAMPAIGN_RECIPIENT = ("campaign_id", "run_date", "user_id", "email", "country", "arm")
SLOT_COLUMNS = ("item_id", "title", "price", "url", "score", "source")


def slot_column(name: str, rank: int) -> str:
    """`item_1` for the id in slot 1, `title_1` for its title."""
    return f"{name.removesuffix('_id')}_{rank}"


def with_features(schema: StructType, features: Sequence[str]) -> StructType:
    """`schema` with a double column for each configured side feature.

    Raises:
        SchemaError: when a feature is called like a column that it will stand beside, or has a dot.
    """
    beside = [
        *CATALOGUE.names,
        *ITEM_ACTIVITY.names,
        "updated_at",
        "recent_events",
        "first_seen_at",
    ]
    # Spark takes Price and price for one column, and a.b for the field b of the column a.
    refused = [name for name in features if name.lower() in beside or "." in name or "`" in name]
    if refused:
        raise SchemaError(
            f"activity.features: {refused} cannot be used, being names of our own columns or "
            "with a dot in them. Give these features other names in your catalogue."
        )
    extra = [_column(name, DoubleType(), "side feature; missing is 0") for name in features]
    return StructType([*schema.fields, *extra])


def conform(rows: DataFrame, schema: StructType, table: str) -> DataFrame:
    """`rows` with exactly the columns of `schema`, in its order.

    Raises:
        SchemaError: naming every column that is missing or of another type.
    """
    found = {field.name: field.dataType for field in rows.schema}
    problems = []
    for field in schema:
        if field.name not in found:
            problems.append(
                f"{table}: column {field.name} is missing ({field.dataType.simpleString()}). "
                f"Columns present: {sorted(found)}."
            )
        elif found[field.name].simpleString() != field.dataType.simpleString():
            problems.append(
                f"{table}: column {field.name} is {found[field.name].simpleString()}, "
                f"expected {field.dataType.simpleString()}."
            )
    if problems:
        raise SchemaError("\n".join(problems))
    return rows.select(*[F.col(field.name) for field in schema])
