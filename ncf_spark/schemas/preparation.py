"""Tables of the customer's events and catalogue in our terms, and of the split."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    StructType,
    TimestampType,
)

from ncf_spark.errors import SchemaError
from ncf_spark.schemas.columns import ITEM_ID, ITEM_INDEX_COLUMN, USER_ID, USER_INDEX_COLUMN, column

# Grain: (user_id, item_id), one row for each pair with at least one event.
INTERACTIONS = StructType(
    [
        USER_ID,
        ITEM_ID,
        column("num_events", LongType(), "events of the pair, at least 1"),
        column("weight", DoubleType(), "sum of the events' weights"),
        column("first_event_at", TimestampType(), "null: the input has no times", nullable=True),
        column("last_event_at", TimestampType(), "null: the input has no times", nullable=True),
    ]
)

# Grain: (user_id, item_id), what a user did with an item up to the run date, also where training
# does without: too few events, too old, of too low a value.
HISTORY = StructType(
    [
        USER_ID,
        ITEM_ID,
        column("last_event_at", TimestampType(), "null: no readable time", nullable=True),
        column("has_undated", BooleanType(), "whether an event of it has no readable time"),
        column("is_bought", BooleanType(), "an event is of campaign.pairs.bought_types"),
        column("last_bought_at", TimestampType(), "null: not, or at no known time", nullable=True),
        column("is_wanted", BooleanType(), "an event is of campaign.pairs.wanted_types"),
    ]
)

# The table `history`: with the events that training is made of, which are one row of INTERACTIONS.
KEPT_HISTORY = StructType(
    [
        *HISTORY,
        column("num_kept", LongType(), "events that are kept; 0: none"),
        column("kept_weight", DoubleType(), "sum of their weights; null: none", nullable=True),
        column("first_kept_at", TimestampType(), "null: none, or no times", nullable=True),
        column("last_kept_at", TimestampType(), "null: none, or no times", nullable=True),
    ]
)

# Grain: the id. What a night takes over from the indexes of the night before.
USER_NUMBERS = StructType([USER_ID, USER_INDEX_COLUMN])

ITEM_NUMBERS = StructType([ITEM_ID, ITEM_INDEX_COLUMN])

NUMBERS = {"user": USER_NUMBERS, "item": ITEM_NUMBERS}

_IS_PRESENT = column("is_present", BooleanType(), "in tonight's input; false: departed")

# Grain: user_id. Append-only across nights: departed ids keep their number, and may return.
USER_INDEX = StructType([*USER_NUMBERS, _IS_PRESENT])

# Grain: item_id. Append-only across nights, as user_index.
ITEM_INDEX = StructType([*ITEM_NUMBERS, _IS_PRESENT])

INDEXES = {"user": USER_INDEX, "item": ITEM_INDEX}

# Grain: item_id, the items of the customer's catalogue.
CATALOGUE = StructType(
    [
        ITEM_ID,
        column("title", StringType(), "null: not given", nullable=True),
        column("category", StringType(), "null: not given", nullable=True),
        column("price", DoubleType(), "in the shop's currency; null: not given", nullable=True),
        column("url", StringType(), "null: not given", nullable=True),
        column("image_url", StringType(), "null: not given", nullable=True),
        column("brand", StringType(), "null: not given", nullable=True),
        column("in_stock", BooleanType(), "null: there is no such column", nullable=True),
        column(
            "is_active",
            BooleanType(),
            "whether the end of the run date lies between the item's dates; null: there are none",
            nullable=True,
        ),
        column(
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
        ITEM_ID,
        ITEM_INDEX_COLUMN,
        column("num_users", LongType(), "different users, at least 1"),
        column("num_events", LongType(), "events, at least 1"),
        column("activity", DoubleType(), "0 (the least active) to 1"),
        column("is_new", BooleanType(), "first seen within activity.new_item_days"),
        column("activity_by_counts", DoubleType(), "the same by users and events alone"),
        column("low_activity", DoubleType(), "chance of being drawn; sums to 1 over the table"),
        column("low_activity_by_counts", DoubleType(), "the same, by activity_by_counts"),
        column("uniform", DoubleType(), "the same, equal for all items"),
        column("popularity", DoubleType(), "the same, in proportion to the train users"),
    ]
)

# Grain: (user_index, item_index), the interactions by index and what each serves for, and with
# split.method provided the pairs that stand only in the test set.
SPLIT = StructType(
    [
        USER_INDEX_COLUMN,
        ITEM_INDEX_COLUMN,
        column("num_events", LongType(), "null: only in the provided test set", nullable=True),
        column("first_event_at", TimestampType(), "null: no time", nullable=True),
        column("last_event_at", TimestampType(), "null: no time", nullable=True),
        column("is_holdout", BooleanType(), "not for training"),
        column("is_validation", BooleanType(), "not for training either; never both"),
    ]
)

# Grain: (user_index, item_index), positives only. Laid out in folders by shard.
TRAIN = StructType(
    [
        USER_INDEX_COLUMN,
        ITEM_INDEX_COLUMN,
        column("shard", IntegerType(), "user_index % training.num_shards"),
    ]
)

# Grain: (user_index, item_index), pairs that training must not see. The table `validation`, by
# which the best epoch is chosen, has the same columns; evaluate alone looks at `holdout`, once.
HOLDOUT = StructType(
    [
        USER_INDEX_COLUMN,
        ITEM_INDEX_COLUMN,
        column("negatives", ArrayType(IntegerType(), False), "item_index of sampled_99's rivals"),
        column("shard", IntegerType(), "user_index % training.num_shards"),
    ]
)


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
    extra = [column(name, DoubleType(), "side feature; missing is 0") for name in features]
    return StructType([*schema.fields, *extra])
