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

# Grain: (user_id, item_id), what a user did with an item up to the run date, also where training
# does without: too few events, too old, of too low a value.
HISTORY = StructType(
    [
        _USER_ID,
        _ITEM_ID,
        _column("last_event_at", TimestampType(), "null: no readable time", nullable=True),
        _column("has_undated", BooleanType(), "whether an event of it has no readable time"),
        _column("is_bought", BooleanType(), "an event is of campaign.pairs.bought_types"),
        _column("last_bought_at", TimestampType(), "null: not, or at no known time", nullable=True),
        _column("is_wanted", BooleanType(), "an event is of campaign.pairs.wanted_types"),
    ]
)

# The table `history`: with the events that training is made of, which are one row of INTERACTIONS.
KEPT_HISTORY = StructType(
    [
        *HISTORY,
        _column("num_kept", LongType(), "events that are kept; 0: none"),
        _column("kept_weight", DoubleType(), "sum of their weights; null: none", nullable=True),
        _column("first_kept_at", TimestampType(), "null: none, or no times", nullable=True),
        _column("last_kept_at", TimestampType(), "null: none, or no times", nullable=True),
    ]
)

# Grain: the id. What a night takes over from the indexes of the night before.
USER_NUMBERS = StructType([_USER_ID, _USER_INDEX])
ITEM_NUMBERS = StructType([_ITEM_ID, _ITEM_INDEX])
NUMBERS = {"user": USER_NUMBERS, "item": ITEM_NUMBERS}

_IS_PRESENT = _column("is_present", BooleanType(), "in tonight's input; false: departed")

# Grain: user_id. Append-only across nights: departed ids keep their number, and may return.
USER_INDEX = StructType([*USER_NUMBERS, _IS_PRESENT])

# Grain: item_id. Append-only across nights, as user_index.
ITEM_INDEX = StructType([*ITEM_NUMBERS, _IS_PRESENT])

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
        _column("brand", StringType(), "null: not given", nullable=True),
        _column("in_stock", BooleanType(), "null: there is no such column", nullable=True),
        _column(
            "is_active",
            BooleanType(),
            "whether the end of the run date lies between the item's dates; null: there are none",
            nullable=True,
        ),
        _column(
            "countries",
            ArrayType(StringType(), False),
            "where it may be recommended, in capitals; null: everywhere",
            nullable=True,
        ),
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

# Grain: item_index, the items that are present; the popularity baseline, counted on train alone.
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

# Grain: model, one row a candidate; the night's own model alone where none are configured.
CHAMPION = StructType(
    [
        _column("model", StringType(), "its name in metrics"),
        _column("kind", StringType(), "of scorer: model, dot, popularity or item_item"),
        _column("place", StringType(), "in the run, of the model or of the baseline's table"),
        _column("protocol", StringType(), "model.selection.protocol"),
        _column("metric", StringType(), "model.selection.metric"),
        _column("k", IntegerType(), "model.selection.k"),
        _column("value", DoubleType(), "of the metric; null: not computed", nullable=True),
        _column("low", DoubleType(), "of the 95 % interval; null: not computed", nullable=True),
        _column("high", DoubleType(), "of the 95 % interval; null: not computed", nullable=True),
        _column("is_incumbent", BooleanType(), "whether a model of this name was published before"),
        _column("is_champion", BooleanType(), "true on one row: what is published"),
        _column("reason", StringType(), "of the choice, a sentence"),
    ]
)

# Grain: item_id, the items of the catalogue or with events tonight.
CAMPAIGN_ITEMS = StructType(
    [
        _ITEM_ID,
        _column("item_index", IntegerType(), "null: no event tonight", nullable=True),
        *[field for field in CATALOGUE if field.name in ("title", "category", "brand")],
        *[field for field in CATALOGUE if field.name in ("price", "url", "image_url")],
        CATALOGUE["countries"],
        _column("is_pinned", BooleanType(), "campaign.lists.pin holds"),
        _column("is_consumable", BooleanType(), "campaign.pairs.consumable holds"),
        _column("boost", DoubleType(), "campaign.lists.boost, else 0"),
        _column(
            "reason",
            StringType(),
            "why it is not shown, a code of campaign.reasons; null: it may be",
            nullable=True,
        ),
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
        _column("score", FloatType(), "higher is better, comparable within a user"),
        _column("source", StringType(), "what filled the slot: model, or a baseline's name"),
    ]
)

# Grain: (item_index, method, rank).
ITEM_TOPK = StructType(
    [
        _ITEM_INDEX,
        _column(
            "method", StringType(), "embedding: by item vectors; co_purchase: by common buyers"
        ),
        _RANK,
        _column("similar_item_index", IntegerType(), "the neighbour"),
        _column("score", FloatType(), "cosine of the vectors, or of the buyers, shrunk; -1 to 1"),
        _column("support", LongType(), "users who bought both; null: by embedding", nullable=True),
    ]
)

# Grain: a row of the customer's table, never stored by itself.
RECIPIENTS = StructType(
    [
        _column("user_id", StringType(), "null: not given", nullable=True),
        _column("user", StringType(), "the id as it is compared; null: not given", nullable=True),
        _column("email", StringType(), "to send to; null: not given, or no address", nullable=True),
        _column(
            "address", StringType(), "the email as it is compared; null: no address", nullable=True
        ),
        _column(
            "spellings",
            ArrayType(StringType()),
            "what a list may know the address by; null: not given",
            nullable=True,
        ),
        _column("locale", StringType(), "null: not given", nullable=True),
        _column("country", StringType(), "null: not given", nullable=True),
        _column("segment", StringType(), "null: not given", nullable=True),
        _column("consent", BooleanType(), "null: unknown, which is no consent", nullable=True),
        _column("last_sent_at", TimestampType(), "of the last mail; null: unknown", nullable=True),
    ]
)

# Grain: a row of the customer's table: a mail, or an item in it.
SEND_LOG = StructType(
    [
        _column("user_id", StringType(), "null: not given", nullable=True),
        _column("item_id", StringType(), "null: a row is a mail", nullable=True),
        _column("campaign_id", StringType(), "null: not given", nullable=True),
        _column("sent_at", TimestampType(), "null: not readable", nullable=True),
    ]
)

# Grain: a row of one of the customer's lists.
SUPPRESSIONS = StructType(
    [
        _column("user", StringType(), "an id as it is compared; null: not given", nullable=True),
        _column(
            "spellings", ArrayType(StringType()), "of an address; null: not given", nullable=True
        ),
        _column("email_sha256", StringType(), "null: not given", nullable=True),
    ]
)

# Grain: user_id; what became of each recipient. Addresses stand in the sent files alone.
CAMPAIGN_RECIPIENTS = StructType(
    [
        _column("campaign_id", StringType(), "campaign.id"),
        _column("run_date", DateType(), "the night"),
        _USER_ID,
        _column(
            "arm",
            StringType(),
            "model, popular, or holdout, who gets nothing and is listed for comparison; null: is "
            "not eligible",
            nullable=True,
        ),
        _column(
            "reason",
            StringType(),
            "why the user gets no mail, a code of campaign.reasons; null: is written to, or would "
            "be were the arm not holdout",
            nullable=True,
        ),
        _column("num_items", IntegerType(), "filled slots; 0 without a mail"),
    ]
)

# Grain: (arm, outcome); what a campaign brought. The columns from `difference` on compare the arm
# `model` with the row's arm, and are null on the rows of `model` itself.
CAMPAIGN_RESULTS = StructType(
    [
        _column("campaign_id", StringType(), "campaign.id"),
        _column("run_date", DateType(), "the night"),
        _column("arm", StringType(), "model, popular or holdout"),
        _column("outcome", StringType(), "sent, opened, clicked, bought, or revenue"),
        _column("num_users", LongType(), "of the arm, whatever became of them; at least 1"),
        _column("num_with", LongType(), "of these, with the outcome; revenue: that is not 0"),
        _column("value", DoubleType(), "num_with / num_users; revenue: mean of the users"),
        _column("difference", DoubleType(), "value of model - value; null: model", nullable=True),
        _column("difference_low", DoubleType(), "of 95 % interval; null: model", nullable=True),
        _column("difference_high", DoubleType(), "of 95 % interval; null: model", nullable=True),
        _column("lift", DoubleType(), "difference / value; null: model, or by 0", nullable=True),
        _column("lift_low", DoubleType(), "of 95 % interval; null: no lift", nullable=True),
        _column("lift_high", DoubleType(), "of 95 % interval; null: no lift", nullable=True),
        _column(
            "p_value",
            DoubleType(),
            "of the two-proportion test; null: model, revenue, or all or none of both arms have it",
            nullable=True,
        ),
    ]
)

# One slot of a list: what a mail shows of an item.
CAMPAIGN_SLOT = StructType(
    [
        _ITEM_ID,
        _column("title", StringType(), "null: not given", nullable=True),
        _column("url", StringType(), "null: not given", nullable=True),
        _column("image_url", StringType(), "null: not given", nullable=True),
        _column("price", DoubleType(), "in the shop's currency; null: not given", nullable=True),
        _column("score", FloatType(), "as in user_topk; null: not scored", nullable=True),
        _column("source", StringType(), "what filled the slot: model, or a baseline's name"),
    ]
)

# Grain: user_id, the recipients who are written to; what the files of a campaign are made from.
CAMPAIGN_LISTS = StructType(
    [
        _USER_ID,
        _column("email", StringType(), "null: not given", nullable=True),
        _column("locale", StringType(), "null: not given", nullable=True),
        _column("country", StringType(), "null: not given", nullable=True),
        _column("segment", StringType(), "null: not given", nullable=True),
        _column("arm", StringType(), "model or popular"),
        _column("slots", ArrayType(CAMPAIGN_SLOT, False), "1 to k, by rank"),
    ]
)

# Grain: key; what a campaign's last export held, by which the next one tells what changed.
CAMPAIGN_STATE = StructType(
    [
        _column("key", StringType(), "whom the row is of in the file: address, hash or id"),
        _column("row_hash", LongType(), "of what a mail shows and who gets it"),
        _column("updated_at", TimestampType(), "the export in which the row last changed"),
    ]
)

# Grain: (user_id, rank), the long form of a campaign.
CAMPAIGN_LONG = StructType(
    [
        _column("campaign_id", StringType(), "campaign.id"),
        _column("run_date", DateType(), "the night"),
        _USER_ID,
        *[RECIPIENTS[name] for name in ("email", "locale", "country", "segment")],
        _column("arm", StringType(), "model, or popular: best-sellers for comparison"),
        _RANK,
        _ITEM_ID,
        _column("title", StringType(), "null: not given", nullable=True),
        _column("url", StringType(), "null: not given", nullable=True),
        _column("image_url", StringType(), "null: not given", nullable=True),
        _column("price", DoubleType(), "null: not given", nullable=True),
        _column(
            "score",
            FloatType(),
            "of the model as in user_topk, of neighbours as in item_topk, of best-sellers the "
            "buyers; null: a pin",
            nullable=True,
        ),
        _column(
            "source",
            StringType(),
            "what filled the slot: pin, model or a baseline's name, bought_together, similar, "
            "bestseller_here (of the user's country or segment), bestseller",
        ),
    ]
)

# Grain: (kind, reason): what a campaign left out and what filled it.
CAMPAIGN_REPORT = StructType(
    [
        _column("kind", StringType(), "recipient, item, pair, slot, arm or list"),
        _column(
            "reason",
            StringType(),
            "a code of campaign.reasons; of slots the source; of arms the arm; of suppression "
            "lists the name",
        ),
        _column("num", LongType(), "recipients (also of lists), items, pairs or slots"),
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


CAMPAIGN_RECIPIENT = (
    *("campaign_id", "run_date", "user_id", "email", "locale", "country", "segment", "arm"),
)
SLOT_COLUMNS = ("item_id", "title", "url", "image_url", "price", "score", "source")


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
    check_columns(rows.schema, schema, table)
    return rows.select(*[F.col(field.name) for field in schema])


def check_columns(present: StructType, schema: StructType, table: str) -> None:
    """Raises SchemaError naming every column of `schema` that is missing or of another type."""
    found = {field.name: field.dataType for field in present}
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
