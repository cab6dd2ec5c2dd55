"""Events → what each user did with each item, and the pairs that training may use."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

_MILLION = 1e6
# Dropped from training, but kept in `history` where user and item are known.
_STILL_HISTORY = ["no_time", "bad_time", "unknown_type", "no_value", "low_value", "before_window"]
# Buckets that events are grouped in: more than there will be tasks.
_NUM_BUCKETS = 4096


def build_history(
    events: DataFrame,
    *,
    drop_duplicates: bool,
    bought_types: Sequence[str] = (),
    wanted_types: Sequence[str] = (),
) -> DataFrame:
    """What each user did with each item, of all times up to the run date (`KEPT_HISTORY`).

    Also of users, items and events that training does without: too few of them, too old or of too
    low a value. Weights are added as whole millionths, so that the sum does not depend on the order
    of the rows.

    Args:
        events: as of `inputs.events.build_events`.
        drop_duplicates: whether events that are equal in every column count once.
        bought_types: types of events that are purchases; empty: all are.
        wanted_types: types of events that mean a cart or a wish list.
    """
    is_kept = F.col("drop_reason").isNull()
    is_of_pair = is_kept | (
        F.col("drop_reason").isin(_STILL_HISTORY)
        & F.col("user_id").isNotNull()
        & F.col("item_id").isNotNull()
    )
    # Both groupings below find their rows in one bucket, so the events are shuffled once.
    of_pairs = (
        events.where(is_of_pair)
        .select(
            F.pmod(F.xxhash64("user_id"), F.lit(_NUM_BUCKETS)).alias("bucket"),
            *("user_id", "item_id", "event_at", "type", "value", "weight"),
            is_kept.alias("is_kept"),
        )
        .repartition("bucket")
    )
    if drop_duplicates:
        of_pairs = of_pairs.distinct()
    event_at, weight = F.col("event_at"), F.rint(F.col("weight") * _MILLION).cast("long")
    is_bought = F.col("type").isin(list(bought_types)) if bought_types else F.lit(True)
    is_bought = F.coalesce(is_bought, F.lit(False))
    is_wanted = F.col("type").isin(list(wanted_types)) if wanted_types else F.lit(False)
    return (
        of_pairs.groupBy("bucket", "user_id", "item_id")
        .agg(
            F.max(event_at).alias("last_event_at"),
            F.bool_or(event_at.isNull()).alias("has_undated"),
            F.bool_or(is_bought).alias("is_bought"),
            F.max(F.when(is_bought, event_at)).alias("last_bought_at"),
            F.bool_or(F.coalesce(is_wanted, F.lit(False))).alias("is_wanted"),
            F.count_if("is_kept").alias("num_kept"),
            (F.sum(F.when(F.col("is_kept"), weight)) / _MILLION).alias("kept_weight"),
            F.min(F.when(F.col("is_kept"), event_at)).alias("first_kept_at"),
            F.max(F.when(F.col("is_kept"), event_at)).alias("last_kept_at"),
        )
        .drop("bucket")
    )


def build_interactions(history: DataFrame) -> DataFrame:
    """The pairs with kept events (`schemas.INTERACTIONS`).

    Args:
        history: `schemas.KEPT_HISTORY`.
    """
    return history.where("num_kept > 0").select(
        "user_id",
        "item_id",
        F.col("num_kept").alias("num_events"),
        F.col("kept_weight").alias("weight"),
        F.col("first_kept_at").alias("first_event_at"),
        F.col("last_kept_at").alias("last_event_at"),
    )


def build_rare_ids(interactions: DataFrame, id_name: str, *, at_least: int) -> DataFrame:
    """One column, `id_name`: the ids with fewer than `at_least` rows."""
    counted = interactions.groupBy(id_name).agg(F.count(F.lit(1)).alias("n"))
    return counted.where(F.col("n") < at_least).select(id_name)


def filter_out_ids(interactions: DataFrame, ids: DataFrame) -> DataFrame:
    """`interactions` without the rows of some ids.

    Args:
        ids: one column, `user_id` or `item_id`; ids may repeat.
    """
    return interactions.join(ids, on=ids.columns, how="left_anti")
