"""The k best columns of each row of a table of scores (NumPy).

Shapes: B users of a block, I items.
"""

from __future__ import annotations

import numpy as np

# Items of a group: the best scores of groups bound those of items, and are fewer to search.
GROUP = 16

# Rows and items (each (S,)) of user-item pairs.
Pairs = tuple[np.ndarray, np.ndarray]


def top_k(scores: np.ndarray, k: int, hidden: Pairs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The k best items of each row, best first; of equal scores the lower item index comes first.

    Args:
        scores: (B, I); overwritten. Items whose score is -inf or NaN are ignored.
        hidden: rows and items that are left out.

    Returns:
        rows, items and scores, each (n,) with n ≤ B · k: a row with fewer than k items left has
        fewer.
    """
    scores[hidden] = -np.inf
    # In one dimension, where NumPy searches ten times as fast.
    found = np.flatnonzero(scores >= _lower_bounds(scores, k)[:, None])
    rows, items = np.divmod(found, scores.shape[1])
    values = scores[rows, items]
    order = np.lexsort((items, -values, rows))
    order = order[positions_in_row(rows) <= k]
    return rows[order], items[order], values[order]


def _lower_bounds(scores: np.ndarray, k: int) -> np.ndarray:
    """(B,): a finite score that the k best of a row reach, and all items if there are fewer than k.

    k groups of items whose best items reach it have k items that do.
    """
    num_rows, num_items = scores.shape
    least = np.full(num_rows, np.finfo(scores.dtype).min)
    width = GROUP if num_items >= 4 * GROUP * k else 1
    count = num_items // width  # the last items are in no group
    if count <= k:
        return least
    # fmax ignores NaN, unless all scores of a group are NaN.
    best = np.fmax.reduce(scores[:, : count * width].reshape(num_rows, width, count), axis=1)
    best[np.isnan(best)] = -np.inf
    return np.maximum(np.partition(best, count - k, axis=1)[:, count - k], least)


def positions_in_row(rows: np.ndarray) -> np.ndarray:
    """1, 2, … within each run of equal values: [0, 0, 2, 2, 2] → [1, 2, 1, 2, 3]."""
    begins = np.flatnonzero(np.diff(rows, prepend=rows[:1] - 1))
    lengths = np.diff(begins, append=len(rows))
    return np.arange(1, len(rows) + 1) - np.repeat(begins, lengths)
