"""Raw events → events in our terms, each with the reason why it is dropped, or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ncf_spark.interactions.columns import (
    id_column,
    id_source,
    is_implausible,
    number_column,
    odd_id,
    text_column,
    time_column,
    time_text,
)

_MILLION = 1e6

# Dropped, but of a known user and item: what the user did all the same, for `history`.
_STILL_HISTORY = ["no_time", "bad_time", "unknown_type", "no_value", "low_value", "before_window"]

# Buckets that events are grouped in: more than there will be tasks.
_NUM_BUCKETS = 4096

# Reasons in the order in which they are looked at: an event counts under the first that holds.
DROP_REASONS = {
    "where": "input.where does not hold",
    "no_user": "the user id is null or empty",
    "no_item": "the item id is null or empty",
    "no_time": "the time is null",
    "bad_time": "the time does not parse",
    "unknown_type": "the type is not in input.event_weights",
    "no_value": "the value is null or not a number",
    "low_value": "the value is below input.min_value",
    "after_run_date": "the event is later than the run date",
    "before_window": "the event is older than input.window_days",
}

# What becomes of events that no reason above drops.
LATER_DROP_REASONS = {
    "duplicates": "another event is equal to it",
    "minimum_counts": "its user or item is below the minimum counts",
}


def build_events(
    raw: DataFrame,
    columns: Mapping[str, str | None],
    time_format: str,
    event_weights: Mapping[str, float],
    min_value: float | None,
    where: str | None,
    starts_at: datetime | None,
    ends_at: datetime,
) -> DataFrame:
    """Every raw event in our terms, with `drop_reason` (null: it is kept).

    Grain: one row a raw event. Columns: user_id, item_id, event_at, type, value, weight, raw_time,
    raw_value, user_finding, item_finding (`columns.odd_id`), drop_reason. Nothing is filtered
    here, so that one pass also counts what is dropped.

    Args:
        columns: user, item, time, type and value → the raw column, or None where there is none.
        event_weights: weight of each type; empty: each event weighs 1.
        starts_at: the window's first moment, or None; `ends_at` is the first moment after it.
    """
    return raw.select(
        id_column(raw, columns["user"]).alias("user_id"),
        id_column(raw, columns["item"]).alias("item_id"),
        time_column(raw, columns["time"], time_format).alias("event_at"),
        text_column(columns["type"]).alias("type"),
        number_column(columns["value"]).alias("value"),
        time_text(raw, columns["time"]).alias("raw_time"),
        text_column(columns["value"]).alias("raw_value"),
        id_source(raw, columns["user"]).alias("user_source"),
        id_source(raw, columns["item"]).alias("item_source"),
        (F.expr(where) if where else F.lit(True)).alias("passes_where"),
    ).select(
        "user_id",
        "item_id",
        "event_at",
        "type",
        "value",
        _weight(event_weights).alias("weight"),
        "raw_time",
        "raw_value",
        odd_id(F.col("user_id"), F.col("user_source")).alias("user_finding"),
        odd_id(F.col("item_id"), F.col("item_source")).alias("item_finding"),
        _drop_reason(columns, event_weights, min_value, starts_at, ends_at).alias("drop_reason"),
    )


def count_raw() -> dict[str, Column]:
    """Aggregates of the raw events: how many are `kept`, and how many go for each drop reason."""
    reason = F.coalesce("drop_reason", F.lit("kept"))
    return {name: F.count_if(reason == name) for name in ("kept", *DROP_REASONS)}


def count_odd() -> dict[str, Column]:
    """Aggregates of the raw events: those with an `implausible` time, and with `odd_ids`."""
    passes = F.coalesce("drop_reason", F.lit("kept")) != "where"
    is_odd = F.coalesce("user_finding", "item_finding").isNotNull()
    return {
        "implausible": F.count_if(passes & is_implausible(F.col("event_at"))),
        "odd_ids": F.count_if(passes & is_odd),
    }


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
        events: as of `build_events`.
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


def _weight(event_weights: Mapping[str, float]) -> Column:
    if not event_weights:
        return F.lit(1.0)
    pairs = [F.lit(part) for pair in event_weights.items() for part in pair]
    return F.create_map(*pairs)[F.col("type")].cast("double")


def _drop_reason(
    columns: Mapping[str, str | None],
    event_weights: Mapping[str, float],
    min_value: float | None,
    starts_at: datetime | None,
    ends_at: datetime,
) -> Column:
    value, event_at = F.col("value"), F.col("event_at")
    has_time = columns["time"] is not None
    known = F.coalesce(F.col("type").isin(list(event_weights)), F.lit(False))
    tests = {
        "where": ~F.coalesce("passes_where", F.lit(False)),
        "no_user": F.col("user_id").isNull(),
        "no_item": F.col("item_id").isNull(),
        "no_time": F.lit(has_time) & F.col("raw_time").isNull(),
        "bad_time": F.lit(has_time) & event_at.isNull(),
        "unknown_type": F.lit(bool(event_weights)) & ~known,
        "no_value": F.lit(min_value is not None) & (value.isNull() | F.isnan(value)),
        "low_value": F.lit(False) if min_value is None else value < min_value,
        "after_run_date": event_at >= F.lit(ends_at),
        "before_window": F.lit(False) if starts_at is None else event_at < F.lit(starts_at),
    }
    assert list(tests) == list(DROP_REASONS)
    whens = [F.when(test, F.lit(reason)) for reason, test in tests.items()]
    return F.coalesce(*whens)
