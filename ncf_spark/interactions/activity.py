"""How active each item is, and how likely it is drawn as a negative."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def build_item_counts(
    interactions: DataFrame, *, ends_at: datetime, half_life_days: float
) -> DataFrame:
    """One row for each item: num_users, num_events, recent_events, first_seen_at.

    `recent_events` counts each pair's events with half the weight for each `half_life_days` since
    its last one; events without times count in full. Added as decimals, so that the order of the
    rows does not matter.
    """
    age_days = (F.lit(ends_at).cast("double") - F.col("last_event_at").cast("double")) / 86400
    decay = F.coalesce(F.pow(F.lit(0.5), age_days / half_life_days), F.lit(1.0))
    recent = (F.col("num_events") * decay).cast("decimal(20,6)")
    return interactions.groupBy("item_id").agg(
        F.count(F.lit(1)).alias("num_users"),
        F.sum("num_events").alias("num_events"),
        F.sum(recent).cast("double").alias("recent_events"),
        F.min("first_event_at").alias("first_seen_at"),
    )


def with_activity(items: DataFrame, features: Mapping[str, float]) -> DataFrame:
    """`items` with `activity`, from 0 (the least active) to 1.

    The weighted mean of log(1 + feature), each scaled to [0, 1] by the least and greatest item.
    Where all items are equal in a feature it says nothing and counts 0.5.

    Args:
        items: one row an item with the columns that `features` names, each ≥ 0; negative values
            count as 0.
        features: column → weight.
    """
    logs = {name: F.log1p(F.greatest(F.col(name), F.lit(0.0))) for name in features}
    ranges = items.agg(
        *[F.min(value).alias(f"low {name}") for name, value in logs.items()],
        *[F.max(value).alias(f"high {name}") for name, value in logs.items()],
    )
    weighted = [
        _scaled(value, F.col(f"low {name}"), F.col(f"high {name}")) * F.lit(float(features[name]))
        for name, value in logs.items()
    ]
    total = F.lit(float(sum(features.values())))
    activity = sum(weighted[1:], start=weighted[0]) / total
    return items.join(F.broadcast(ranges), how="cross").select(
        *[F.col(name) for name in items.columns], activity.alias("activity")
    )


def _scaled(value: Column, low: Column, high: Column) -> Column:
    return F.when(high > low, (value - low) / (high - low)).otherwise(F.lit(0.5))


def with_is_new(items: DataFrame, *, run_date: date, new_item_days: int) -> DataFrame:
    """`items` with `is_new`: first seen less than `new_item_days` before the end of the night.

    Items without times are not new.
    """
    since = run_date + timedelta(days=1) - timedelta(days=new_item_days)
    is_new = F.col("first_seen_at") >= F.lit(since).cast("timestamp")
    return items.withColumn("is_new", F.coalesce(is_new, F.lit(False)))


def with_negative_probability(
    items: DataFrame, *, low_activity: float, uniform: float, popularity: float
) -> DataFrame:
    """`items` with `negative_probability`: a mixture of three distributions, sum 1.

    | part         | in proportion to                                     |
    |--------------|------------------------------------------------------|
    | low_activity | 1 - activity, but 0 for new items                    |
    | uniform      | 1                                                    |
    | popularity   | num_users                                            |

    New items are inactive because nobody has had the time to meet them: drawn as negatives for
    that, they would never be recommended. Where no item has a low-activity weight (all are new, or
    all as active as can be), that part is drawn uniformly.

    Args:
        items: (activity, is_new, num_users, …).
        low_activity, uniform, popularity: weights ≥ 0, not all 0; they are normalised.
    """
    inactive = F.when(F.col("is_new"), F.lit(0.0)).otherwise(F.lit(1.0) - F.col("activity"))
    sums = items.agg(
        F.sum(inactive.cast("decimal(20,12)")).cast("double").alias("sum_inactive"),
        F.count(F.lit(1)).alias("sum_items"),
        F.sum("num_users").alias("sum_users"),
    )
    equal = F.lit(1.0) / F.col("sum_items")
    by_inactivity = F.when(F.col("sum_inactive") > 0, inactive / F.col("sum_inactive"))
    mixture = (
        F.lit(low_activity) * F.coalesce(by_inactivity, equal)
        + F.lit(uniform) * equal
        + F.lit(popularity) * F.col("num_users") / F.col("sum_users")
    ) / F.lit(low_activity + uniform + popularity)
    return items.join(F.broadcast(sums), how="cross").select(
        *[F.col(name) for name in items.columns], mixture.alias("negative_probability")
    )
