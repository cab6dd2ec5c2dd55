"""Computes revenue per user with bootstrap intervals over users, on Spark.

SciPy's bootstrap needs every user in memory. Here a hash gives each user Poisson(1) copies in each
replicate (`ncf_spark.resampling`), and Spark sums copies and revenue of each arm. Only users with
revenue are read: the copies of n users without revenue are Poisson(n) together, which the driver
draws. So the work grows with the number of buyers, and the data at the driver does not grow.

The intervals are percentile intervals (Efron and Tibshirani 1993, chapter 13). Arms have no user in
common, so their replicates are independent, and are subtracted pair by pair.

Shapes: U users in a block, B replicates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncf_spark.measurement.outcomes import ARMS
from ncf_spark.measurement.statistics import Lift
from ncf_spark.resampling import user_weights

# Tasks that share the work; each returns partial sums of each arm.
PARTS = 8

# Users whose copies are drawn at once: 8 MB per matrix with 1000 replicates.
_BLOCK = 1024

# Revenue is summed in whole millionths: exact up to 9 billion, in any order.
_MILLION = 1e6


def build_revenue_sums(users: DataFrame, *, samples: int, seed: int) -> DataFrame:
    """(arm, sums), at most PARTS rows an arm: partial sums of copies and revenue by replicate.

    `sums` is (2, 1 + samples), flattened: the copies of the users with revenue, then their revenue
    in millionths; at index 0 of both, every user counts once.

    Args:
        users: (arm, user_key, revenue), one row each.
        samples: replicates.
    """
    sum_blocks = partial(_sums_of_blocks, samples=samples, seed=seed)
    paying = users.where(F.col("revenue") != 0).select("arm", "user_key", "revenue")
    return paying.repartition(PARTS, "user_key").mapInPandas(
        lambda blocks: sum_blocks(blocks), "arm string, sums array<double>"
    )


def _sums_of_blocks(
    blocks: Iterable[pd.DataFrame], *, samples: int, seed: int
) -> Iterator[pd.DataFrame]:
    totals: dict[str, np.ndarray] = {}
    for block in blocks:
        for arm, of_arm in block.groupby("arm", sort=False):
            for start in range(0, len(of_arm), _BLOCK):
                users = of_arm.iloc[start : start + _BLOCK]
                copies = user_weights(users["user_key"].to_numpy(), samples=samples, seed=seed)
                revenue = np.rint(users["revenue"].to_numpy() * _MILLION)  # (U,)
                sums = np.stack([copies.sum(axis=0), revenue @ copies])  # (2, 1 + B)
                totals[arm] = totals[arm] + sums if arm in totals else sums
    for arm, total in totals.items():
        yield pd.DataFrame({"arm": [arm], "sums": [total.reshape(-1)]})


def revenue_means(
    sums: Iterable[tuple[str, Sequence[float]]],
    sizes: Mapping[str, int],
    num_with: Mapping[str, int],
    *,
    samples: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """(1 + B,) revenue per user of each arm: observed, then of each replicate; nan: no users.

    Args:
        sums: the rows of `build_revenue_sums` with the same samples and seed.
        sizes: users of each arm.
        num_with: users of each arm with revenue.
    """
    totals = {arm: np.zeros((2, 1 + samples)) for arm in sizes}
    for arm, of_part in sums:
        totals[arm] += np.reshape(of_part, (2, 1 + samples))
    means = {}
    for arm, (copies, revenue) in totals.items():
        others = sizes[arm] - num_with[arm]
        drawn = np.random.default_rng([seed, ARMS.index(arm)]).poisson(others, samples)
        users = copies + np.concatenate([[others], drawn])
        means[arm] = np.divide(
            revenue / _MILLION, users, out=np.full(1 + samples, np.nan), where=users > 0
        )
    return means


def revenue_lift(means: np.ndarray, base: np.ndarray) -> Lift:
    """How revenue per user differs from another arm's; without a p-value.

    Args:
        means: (1 + B,) of `revenue_means`.
        base: the same of the other arm.
    """
    differences = means - base
    found = Lift(float(differences[0]), *_interval(differences[1:]))
    if base[0] <= 0:
        return found
    lifts = np.divide(differences, base, out=np.full_like(base, np.nan), where=base > 0)
    low, high = _interval(lifts[1:])
    return found._replace(lift=float(lifts[0]), lift_low=low, lift_high=high)


def _interval(drawn: np.ndarray) -> tuple[float | None, float | None]:
    valid = drawn[~np.isnan(drawn)]
    if not len(valid):
        return None, None
    low, high = np.percentile(valid, [2.5, 97.5])
    return float(low), float(high)
