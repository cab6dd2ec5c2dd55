"""How active each item is, and how likely it is drawn as a negative."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

_MILLION = 1e6


def build_item_counts(indexed: DataFrame, ends_at: datetime, half_life_days: float) -> DataFrame:
    """One row for each item: num_users, num_events, recent_events, first_seen_at.

    Only train pairs are counted: negatives drawn by held-out pairs would leak them to the model.
    An item without train pairs has counts of 0. `recent_events` counts each pair's events with half
    the weight for each `half_life_days` since its last one; events without times count in full.
    Added as whole millionths, so that the order of the rows does not matter.

    Args:
        indexed: (item_index, num_events, first_event_at, last_event_at, is_train).
    """
    age_days = (F.lit(ends_at).cast("double") - F.col("last_event_at").cast("double")) / 86400
    decay = F.coalesce(F.pow(F.lit(0.5), age_days / half_life_days), F.lit(1.0))
    num_events = F.when(F.col("is_train"), F.col("num_events")).otherwise(F.lit(0))
    millionths = F.rint(num_events * decay * _MILLION).cast("long")
    return indexed.groupBy("item_index").agg(
        F.count_if("is_train").alias("num_users"),
        F.sum(num_events).alias("num_events"),
        (F.sum(millionths) / _MILLION).alias("recent_events"),
        F.min("first_event_at").alias("first_seen_at"),
    )


def with_activity(
    items: DataFrame, features: Mapping[str, float], *, into: str = "activity"
) -> DataFrame:
    """`items` with the column `into`: the activity, from 0 (the least active) to 1.

    The weighted mean of log(1 + feature), each scaled to [0, 1] by the least and greatest item.
    A feature in which all items are equal counts 0.5.

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
    return items.join(ranges, how="cross").select(
        *[F.col(name) for name in items.columns], activity.alias(into)
    )


def _scaled(value: Column, low: Column, high: Column) -> Column:
    return F.when(high > low, (value - low) / (high - low)).otherwise(F.lit(0.5))


def with_is_new(items: DataFrame, run_date: date, new_item_days: int) -> DataFrame:
    """`items` with `is_new`: first seen less than `new_item_days` before the end of the night.

    Items without times are not new.
    """
    since = run_date + timedelta(days=1) - timedelta(days=new_item_days)
    is_new = F.col("first_seen_at") >= F.lit(since).cast("timestamp")
    return items.withColumn("is_new", F.coalesce(is_new, F.lit(False)))


def with_distributions(items: DataFrame) -> DataFrame:
    """`items` with the distributions that negatives are drawn from, each with sum 1.

    | column                 | in proportion to                             |
    |------------------------|----------------------------------------------|
    | low_activity           | 1 - activity, but 0 for new items            |
    | low_activity_by_counts | 1 - activity_by_counts, but 0 for new items  |
    | uniform                | 1                                            |
    | popularity             | num_users                                    |

    New items are inactive because nobody has had the time to meet them: drawn as negatives for
    that, they would never be recommended. Where no item has a weight (all are new, or all as active
    as can be), the distribution is uniform.

    Args:
        items: (activity, activity_by_counts, is_new, num_users, …).
    """
    weights = {
        "low_activity": _inactive("activity"),
        "low_activity_by_counts": _inactive("activity_by_counts"),
        "popularity": F.col("num_users").cast("double"),
    }
    sums = items.agg(
        F.count(F.lit(1)).alias("sum_items"),
        *[
            F.sum(weight.cast("decimal(30,12)")).cast("double").alias(f"sum {name}")
            for name, weight in weights.items()
        ],
    )
    uniform = F.lit(1.0) / F.col("sum_items")
    shares = {
        name: F.when(F.col(f"sum {name}") > 0, weight / F.col(f"sum {name}")).otherwise(uniform)
        for name, weight in weights.items()
    }
    return items.join(sums, how="cross").select(
        *[F.col(name) for name in items.columns],
        uniform.alias("uniform"),
        *[share.alias(name) for name, share in shares.items()],
    )


def _inactive(activity: str) -> Column:
    return F.when(F.col("is_new"), F.lit(0.0)).otherwise(F.lit(1.0) - F.col(activity))
