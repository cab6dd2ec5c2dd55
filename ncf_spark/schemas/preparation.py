"""Tables of events, catalogue, indexes and the split."""

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
from ncf_spark.schemas.columns import (
    ITEM_ID,
    ITEM_INDEX_COLUMN,
    USER_ID,
    USER_INDEX_COLUMN,
    column,
    table,
)

INTERACTIONS = table(
    "interactions",
    "A pair with at least one event that training may use.",
    ("user_id", "item_id"),
    [
        USER_ID,
        ITEM_ID,
        column("num_events", LongType(), "events of the pair, at least 1"),
        column("weight", DoubleType(), "sum of the events' weights"),
        column("first_event_at", TimestampType(), "null: the input has no times", nullable=True),
        column("last_event_at", TimestampType(), "null: the input has no times", nullable=True),
    ],
)

# The columns of the table `history` that the rules of a campaign need.
HISTORY = StructType(
    [
        USER_ID,
        ITEM_ID,
        column("last_event_at", TimestampType(), "null: no readable time", nullable=True),
        column("has_undated", BooleanType(), "an event has no readable time"),
        column("is_bought", BooleanType(), "an event has a type of campaign.pairs.bought_types"),
        column("last_bought_at", TimestampType(), "null: never, or no time", nullable=True),
        column("is_wanted", BooleanType(), "an event has a type of campaign.pairs.wanted_types"),
    ]
)

KEPT_HISTORY = table(
    "history",
    "A pair with at least one event up to the run date, also where training does without it: "
    "too few events, too old, too low a value. Columns with `kept` are about the events that "
    "training may use; they are one row of `interactions`.",
    ("user_id", "item_id"),
    [
        *HISTORY,
        column("num_kept", LongType(), "events that training may use"),
        column("kept_weight", DoubleType(), "sum of their weights; null: none", nullable=True),
        column("first_kept_at", TimestampType(), "null: none, or no times", nullable=True),
        column("last_kept_at", TimestampType(), "null: none, or no times", nullable=True),
    ],
)

# Grain: the id. What a night keeps of the indexes of the night before.
USER_NUMBERS = StructType([USER_ID, USER_INDEX_COLUMN])

ITEM_NUMBERS = StructType([ITEM_ID, ITEM_INDEX_COLUMN])

NUMBERS = {"user": USER_NUMBERS, "item": ITEM_NUMBERS}

_IS_PRESENT = column("is_present", BooleanType(), "in tonight's input; false: departed")

USER_INDEX = table(
    "user_index",
    "A user of tonight or of an earlier night. Append-only: departed users keep their index "
    "and may return. The next night continues from it.",
    ("user_id",),
    [*USER_NUMBERS, _IS_PRESENT],
)

ITEM_INDEX = table(
    "item_index",
    "An item of tonight or of an earlier night. Append-only, as `user_index`.",
    ("item_id",),
    [*ITEM_NUMBERS, _IS_PRESENT],
)

INDEXES = {"user": USER_INDEX, "item": ITEM_INDEX}

CATALOGUE = table(
    "catalogue",
    "An item of the customer's catalogue. A double column for each of `activity.features` follows.",
    ("item_id",),
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
            "where it may be recommended, in upper case; null: everywhere",
            nullable=True,
        ),
    ],
)

ITEM_ACTIVITY = table(
    "item_activity",
    "An item with interactions, counted on `train`, with its chance of being drawn as a "
    "negative by each distribution. A double column for each of `activity.features` follows.",
    ("item_id",),
    [
        ITEM_ID,
        ITEM_INDEX_COLUMN,
        column("num_users", LongType(), "different users, at least 1"),
        column("num_events", LongType(), "events, at least 1"),
        column("activity", DoubleType(), "0 (the least active) to 1"),
        column("is_new", BooleanType(), "first seen within activity.new_item_days"),
        column("activity_by_counts", DoubleType(), "the same, by users and events alone"),
        column("low_activity", DoubleType(), "chance of being drawn as a negative; sums to 1"),
        column("low_activity_by_counts", DoubleType(), "the same, by activity_by_counts"),
        column("uniform", DoubleType(), "the same, equal for all items"),
        column("popularity", DoubleType(), "the same, in proportion to its users in train"),
    ],
)

SPLIT = table(
    "split",
    "An interaction and what it is used for. With `split.method: provided` also the pairs "
    "that are only in the test set.",
    ("user_index", "item_index"),
    [
        USER_INDEX_COLUMN,
        ITEM_INDEX_COLUMN,
        column("num_events", LongType(), "null: only in the provided test set", nullable=True),
        column("first_event_at", TimestampType(), "null: no time", nullable=True),
        column("last_event_at", TimestampType(), "null: no time", nullable=True),
        column("is_holdout", BooleanType(), "held out for the metrics"),
        column("is_validation", BooleanType(), "held out to choose the best epoch; never both"),
    ],
)

TRAIN = table(
    "train",
    "A positive for training. Stored in folders `shard=<n>`, which divide the users among the "
    "workers.",
    ("user_index", "item_index"),
    [
        USER_INDEX_COLUMN,
        ITEM_INDEX_COLUMN,
        column("shard", IntegerType(), "user_index % training.num_shards"),
    ],
)

HOLDOUT = table(
    "holdout",
    "A pair that training must not see, for the metrics. Only `evaluate` reads it. Stored in "
    "folders `shard=<n>`.",
    ("user_index", "item_index"),
    [
        USER_INDEX_COLUMN,
        ITEM_INDEX_COLUMN,
        column(
            "negatives",
            ArrayType(IntegerType(), False),
            "item indexes that sampled_99 ranks it against",
        ),
        column("shard", IntegerType(), "user_index % training.num_shards"),
    ],
)

VALIDATION = table(
    "validation",
    "A pair that training must not see, by which the best epoch is chosen. Stored in folders "
    "`shard=<n>`.",
    ("user_index", "item_index"),
    HOLDOUT,
)


def with_features(schema: StructType, features: Sequence[str]) -> StructType:
    """`schema` with a double column for each configured side feature.

    Raises:
        SchemaError: when a feature has the name of another column, or a dot or backtick in it.
    """
    beside = [
        *CATALOGUE.names,
        *ITEM_ACTIVITY.names,
        "updated_at",
        "recent_events",
        "first_seen_at",
    ]
    # For Spark, Price and price are one column, and a.b is the field b of the column a.
    refused = [name for name in features if name.lower() in beside or "." in name or "`" in name]
    if refused:
        raise SchemaError(
            f"activity.features: {refused} cannot be used: they are names of other columns, or "
            "have a dot or a backtick in them. Rename these columns in your catalogue."
        )
    extra = [column(name, DoubleType(), "side feature; missing is 0") for name in features]
    return StructType([*schema.fields, *extra])
