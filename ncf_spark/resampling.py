"""The bootstrap over users, computed where their rows are: replicates by a hash, and their sums.

The bootstrap draws as many users as there are, with replacement, and computes a figure again; the
middle 95 % of many such figures is its interval (Efron and Tibshirani 1993, chapter 13, the
percentile interval). Users are drawn and not their rows, as the rows of one user are alike. Drawing
n of n users gives each of them a Binomial(n, 1/n) number of copies, which for all but the smallest
n is Poisson(1): then each user's copies can be drawn apart from all others', in one pass over a
distributed table (Hanley and MacGibbon 2006; Chamandy et al. 2012, "Estimating uncertainty for
massive data streams"). SciPy's bootstrap would need every user in memory.

The number of copies is a hash of (user, replicate, seed). Partitions, their order and the number of
machines change nothing, and whatever is computed of the same users is computed of the same draws.

Shapes: U users, B replicates, C columns, L rows of a block.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

# Values are rounded to multiples of it: up to 8 million rows of at most 1 add up without any
# rounding, so that no order of the rows changes the last digits.
PRECISION = 2.0**-30

# Users whose copies are drawn at a time: with 1000 replicates 8 MB a matrix, of which there are
# some.
_BLOCK = 1024


def build_replicate_sums(
    rows: DataFrame,
    *,
    group: Sequence[str],
    user: str,
    columns: Sequence[str],
    samples: int,
    seed: int,
) -> DataFrame:
    """(group …, sums): the columns' sums over the rows of each group and over each replicate.

    `sums` is (1 + B, C) in one array: first as they are, then weighted by each replicate's copies
    of the users. One row for each group and partition, to be added up.

    Args:
        group: columns of strings.
        user: a column of whole numbers, one a user: user_index, or a hash of the id.
        samples: replicates.
    """
    names, values = list(group), list(columns)
    add_up = partial(
        sum_replicates, group=names, user=user, columns=values, samples=samples, seed=seed
    )
    chosen = rows.select(*names, user, *[F.col(name).cast("double") for name in values])
    ddl = ", ".join(f"{name} string" for name in names)
    return chosen.mapInPandas(lambda blocks: add_up(blocks), f"{ddl}, sums array<double>")


def ratios(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Quotients; NaN where `below` is not positive."""
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def percentile_interval(drawn: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of a figure from its replicates (B,), NaN left out; NaN without any."""
    known = drawn[~np.isnan(drawn)]
    low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (np.nan, np.nan)
    return float(low), float(high)


def sum_replicates(
    blocks: Iterable[pd.DataFrame],
    *,
    group: list[str],
    user: str,
    columns: list[str],
    samples: int,
    seed: int,
) -> Iterator[pd.DataFrame]:
    """The same for the blocks of one partition."""
    totals: dict[tuple[str, ...], np.ndarray] = {}
    for block in blocks:
        users, user_rows = np.unique(block[user].to_numpy(), return_inverse=True)
        values = np.rint(block[columns].to_numpy() / PRECISION) * PRECISION  # (L, C)
        groups = block.groupby(group, sort=False).indices
        for start in range(0, len(users), _BLOCK):
            weights = user_weights(users[start : start + _BLOCK], samples=samples, seed=seed)
            for key, rows in groups.items():
                chosen = rows[user_rows[rows] // _BLOCK == start // _BLOCK]
                of_block = weights[user_rows[chosen] - start].T @ values[chosen]  # (1 + B, C)
                names = key if isinstance(key, tuple) else (key,)
                totals[names] = totals.get(names, 0.0) + of_block
    for names, total in totals.items():
        yield pd.DataFrame({**dict(zip(group, names, strict=True)), "sums": [total.reshape(-1)]})


def user_weights(users: np.ndarray, *, samples: int, seed: int) -> np.ndarray:
    """(U, 1 + B) copies of each user: 1 in the first column, then Poisson(1) in each replicate.

    Args:
        users: (U,) whole numbers, one a user: user_index, or a hash of the id.
    """
    of_user = _mixed(users.astype(np.uint64) ^ _mixed(np.array([seed], np.int64).view(np.uint64)))
    steps = np.arange(1, samples + 1, dtype=np.uint64) * _GOLDEN
    uniform = (_mixed(of_user[:, None] + steps) >> np.uint64(11)) * 2.0**-53
    copies = np.searchsorted(_POISSON_CDF, uniform, side="right")
    return np.concatenate([np.ones((len(users), 1)), copies], axis=1)


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_POISSON_CDF = np.cumsum([math.exp(-1) / math.factorial(n) for n in range(18)])


def _mixed(values: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): every bit depends on all."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
