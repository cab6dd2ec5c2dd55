"""Counts the outcomes of a campaign: how many users of each arm opened, clicked, and bought.

All users of an arm count, whether or not their email arrived: the arms are random, and nothing that
happened later may select users.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

# The first arm is compared with each of the others.
ARMS = ("model", "popular", "holdout")

# In the order in which they are checked: an event counts under the first reason that applies.
DROP_REASONS = {
    "no_user": "the user id is null or empty",
    "no_time": "the time is null, or does not parse",
    "no_arm": "the user is in no arm",
    "other_campaign": "the event belongs to another campaign",
    "before_window": "the event is not later than the run date",
    "after_window": "the event is later than measurement.window_days",
    "other_type": "the type is no outcome of section measurement",
}

_MILLION = 1e6


def build_arms(recipients: DataFrame, *, campaign_id: str) -> DataFrame:
    """(user_id, arm) of the users who got email or, in the arm holdout, would have got it.

    Args:
        recipients: schemas.CAMPAIGN_RECIPIENTS.
    """
    in_arm = F.col("reason").isNull() & F.col("arm").isin(*ARMS)
    return recipients.where(in_arm & (F.col("campaign_id") == campaign_id)).select("user_id", "arm")


def with_drop_reason(
    events: DataFrame,
    arms: DataFrame,
    *,
    types: Mapping[str, Sequence[str]],
    campaign_id: str,
    starts_at: datetime,
    ends_at: datetime,
) -> DataFrame:
    """`events` with the user's `arm` and `drop_reason` (null: the event counts).

    Args:
        events: (user_id, type, event_at, value, campaign_id); campaign_id null: unknown.
        arms: (user_id, arm), one row each.
        types: the types of each outcome.
        starts_at: the window's first moment; `ends_at` is the first moment after it.
    """
    tests = {
        "no_user": F.col("user_id").isNull(),
        "no_time": F.col("event_at").isNull(),
        "no_arm": F.col("arm").isNull(),
        "other_campaign": F.col("campaign_id") != campaign_id,
        "before_window": F.col("event_at") < F.lit(starts_at),
        "after_window": F.col("event_at") >= F.lit(ends_at),
        "other_type": ~_is_of([one for several in types.values() for one in several]),
    }
    assert list(tests) == list(DROP_REASONS)
    reason = F.coalesce(*[F.when(test, F.lit(name)) for name, test in tests.items()])
    return events.join(arms, on="user_id", how="left").withColumn("drop_reason", reason)


def build_event_counts(marked: DataFrame, *, bought: Sequence[str]) -> DataFrame:
    """(drop_reason, num_events, num_without_value), one row a reason; null: the events that count.

    Args:
        marked: of `with_drop_reason`.
        bought: types whose value is revenue; `num_without_value` counts those without a number.
    """
    without = F.count(F.when(_is_of(bought) & ~_is_number("value"), F.lit(1)))
    counts = (F.count(F.lit(1)).alias("num_events"), without.alias("num_without_value"))
    return marked.groupBy("drop_reason").agg(*counts)


def build_user_outcomes(marked: DataFrame, *, types: Mapping[str, Sequence[str]]) -> DataFrame:
    """(arm, user_key, each outcome as 0 or 1, revenue), one row for each user with an event.

    | user_id | type   | value |     | arm   | user_key | opened | bought | revenue |
    |---------|--------|-------|-----|-------|----------|--------|--------|---------|
    | ana     | bought | 7.5   |  →  | model | …        | 0      | 1      | 10.0    |
    | ana     | bought | 2.5   |

    `user_key` is a hash: user ids do not leave the cluster. Revenue is summed in whole millionths,
    so that the order of the rows does not change the sum.

    Args:
        marked: of `with_drop_reason`.
        types: the types of each outcome; the value of `bought` events is revenue.
    """
    flags = [F.max(_is_of(of).cast("int")).alias(outcome) for outcome, of in types.items()]
    pays = _is_of(types.get("bought", ())) & _is_number("value")
    paid = F.when(pays, F.rint(F.col("value") * _MILLION)).otherwise(0.0)
    return (
        marked.where(F.col("drop_reason").isNull())
        .groupBy("arm", "user_id")
        .agg(*flags, (F.sum(paid) / _MILLION).alias("revenue"))
        .withColumn("user_key", F.xxhash64("user_id"))
        .select("arm", "user_key", *types, "revenue")
    )


def build_outcome_counts(
    arms: DataFrame, users: DataFrame, *, outcomes: Sequence[str]
) -> DataFrame:
    """(arm, outcome, num_users, num_with): users of each arm, and those with each outcome.

    Args:
        arms: (user_id, arm), one row each.
        users: of `build_user_outcomes`.
        outcomes: columns of `users`: an outcome, or revenue, which counts if it is not 0.
    """
    sizes = arms.groupBy("arm").agg(F.count(F.lit(1)).alias("num_users"))
    counts = [F.count(F.when(F.col(name) != 0, F.lit(1))).alias(name) for name in outcomes]
    found = sizes.join(users.groupBy("arm").agg(*counts), on="arm", how="left")
    each = [
        F.struct(F.lit(name).alias("outcome"), F.coalesce(name, F.lit(0)).alias("num_with"))
        for name in outcomes
    ]
    rows = found.select("arm", "num_users", F.explode(F.array(*each)).alias("found"))
    return rows.select("arm", "found.outcome", "num_users", "found.num_with")


def _is_of(types: Sequence[str]) -> Column:
    return F.coalesce(F.col("type").isin(list(types)), F.lit(False))


def _is_number(name: str) -> Column:
    """Whether a double is neither null, nan nor infinite."""
    return F.coalesce(F.abs(name) < float("inf"), F.lit(False))
