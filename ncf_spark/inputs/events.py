"""Raw events → events in our terms, each with the reason why it is dropped, or none."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ncf_spark.inputs.columns import (
    id_column,
    id_source,
    is_implausible,
    number_column,
    odd_id,
    text_column,
    time_column,
    time_text,
)
from ncf_spark.schemas.results import DROP_REASONS


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
