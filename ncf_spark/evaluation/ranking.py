"""The rank of a held-out item among others, from 1; among ties it is the last.

A model that gives every item the same score must not look good, so a tie counts against it
(as in the reference results for the published MovieLens split).

Shapes: P held-out items, N negatives of each, B users, I items.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def sampled_ranks(
    positive_scores: Any, negative_scores: Any, positives: Any, negatives: Any
) -> Any:
    """Ranks among given negatives: 1 + the number of negatives that score at least as high.

    A negative that is the held-out item itself ties with it, whatever rounding does to its score.

    Args:
        positive_scores: (P,). All are NumPy arrays, or all torch tensors.
        negative_scores: (P, N).
        positives: (P,) item indexes.
        negatives: (P, N) item indexes; a negative one is padding and does not count.

    Returns:
        (P,) int64, 1 to N + 1.
    """
    not_below = _not_below(negative_scores, positive_scores) | (negatives == positives[:, None])
    return 1 + (not_below & (negatives >= 0)).sum(1)


def full_ranks(
    scores: np.ndarray, positives: np.ndarray, seen: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Ranks among all items that the user has no other pair with.

    Args:
        scores: (B, I).
        positives: (B,) item indexes.
        seen: rows and items (each (S,)) of the pairs that take no part.

    Returns:
        (B,) int64, 1 to I.
    """
    rows = np.arange(len(positives))
    not_below = _not_below(scores, scores[rows, positives])
    not_below[seen] = False
    not_below[rows, positives] = False
    return np.asarray(1 + not_below.sum(axis=1))


def _not_below(scores: Any, positive_scores: Any) -> Any:
    # Not `>=`, which is false for NaN: a model that diverged would rank every item first.
    return ~(scores < positive_scores[:, None])


def pad(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Lists of different lengths as a matrix (P, longest), filled up with -1.

    Args:
        values: all lists, one after the other.
        offsets: (P + 1,); list p is values[offsets[p] : offsets[p + 1]].
    """
    lengths = np.diff(offsets)
    padded = np.full((len(lengths), lengths.max(initial=0)), -1, values.dtype)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = values
    return padded
