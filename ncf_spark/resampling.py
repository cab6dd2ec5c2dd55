"""How often a bootstrap over users draws each of them, by a hash.

Drawing n of n users with replacement gives each of them about Poisson(1) copies, apart from all
others', so that each can be counted wherever the user's rows are; `ncf_spark.evaluation.bootstrap`
has the reasons and the sources.

Shapes: U users, B replicates.
"""

from __future__ import annotations

import math

import numpy as np


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
