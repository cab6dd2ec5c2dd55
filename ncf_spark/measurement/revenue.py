"""Revenue per recipient with bootstrap intervals over users (`ncf_spark.resampling`).

Only users with revenue take part: the copies of n users without any are Poisson(n) together, which
the driver draws. So the work grows with the buyers, and what reaches the driver not at all.

Arms have no user in common, so their replicates are independent and differ pair by pair.

Shapes: B replicates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncf_spark.measurement.outcomes import ARMS
from ncf_spark.measurement.statistics import Lift
from ncf_spark.resampling import build_replicate_sums, percentile_interval, ratios

# Rows of partial sums for each arm: so many tasks share the work.
PARTS = 8

# Revenue is added in whole millionths: without any rounding up to 9 billion, in whatever order.
_MILLION = 1e6


def build_revenue_sums(users: DataFrame, *, samples: int, seed: int) -> DataFrame:
    """(arm, sums), at most PARTS rows an arm, to be added up.

    `sums` is (1 + B, 2) in one array: the number of users with revenue and their revenue in
    millionths, first as they are, then in each replicate.

    Args:
        users: (arm, user_key, revenue), one row each.
        samples: replicates.
    """
    buyers = users.where(F.col("revenue") != 0).repartition(PARTS, "user_key")
    millionths = F.rint(F.col("revenue") * _MILLION)
    return build_replicate_sums(
        buyers.withColumns({"buyers": F.lit(1), "millionths": millionths}),
        group=["arm"],
        user="user_key",
        columns=["buyers", "millionths"],
        samples=samples,
        seed=seed,
    )


def revenue_means(
    sums: Iterable[tuple[str, Sequence[float]]],
    sizes: Mapping[str, int],
    num_with: Mapping[str, int],
    *,
    samples: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """(1 + B,) revenue per user of each arm: as it is, then of each replicate; NaN: of no user.

    Args:
        sums: the rows of `build_revenue_sums` with the same samples and seed.
        sizes: users of each arm.
        num_with: those with revenue.
    """
    totals = {arm: np.zeros((1 + samples, 2)) for arm in sizes}
    for arm, of_part in sums:
        totals[arm] += np.reshape(of_part, (1 + samples, 2))
    means = {}
    for arm, (buyers, revenue) in ((arm, total.T) for arm, total in totals.items()):
        others = sizes[arm] - num_with[arm]
        drawn = np.random.default_rng([seed, ARMS.index(arm)]).poisson(others, samples)
        means[arm] = ratios(revenue / _MILLION, buyers + np.concatenate([[others], drawn]))
    return means


def revenue_lift(means: np.ndarray, base: np.ndarray) -> Lift:
    """How revenue per user differs from that of another arm; without a p-value.

    Args:
        means: (1 + B,) of `revenue_means`.
        base: the same of the arm that is compared with.
    """
    differences = means - base
    found = Lift(float(differences[0]), *_interval(differences[1:]))
    if base[0] <= 0:
        return found
    lifts = ratios(differences, base)
    low, high = _interval(lifts[1:])
    return found._replace(lift=float(lifts[0]), lift_low=low, lift_high=high)


def _interval(drawn: np.ndarray) -> tuple[float | None, float | None]:
    low, high = percentile_interval(drawn)
    return (None, None) if np.isnan(low) else (low, high)
