"""The rank of a held-out item among others, from 1; among ties it comes last.

A model that gives every item the same score must not look good, so a tie counts against it
(as in the reference results for the published MovieLens split).

Shapes: B rows, N rivals of each, I items.
"""

from __future__ import annotations

import torch
from torch import Tensor


def sampled_ranks(
    positive_scores: Tensor, rival_scores: Tensor, positives: Tensor, rivals: Tensor
) -> Tensor:
    """Ranks among given rivals: 1 + the number of rivals that score at least as high.

    A rival that is the held-out item itself ties with it, whatever rounding does to its score.

    Args:
        positive_scores: (B,).
        rival_scores: (B, N).
        positives: (B,) item indexes.
        rivals: (B, N) item indexes; a negative one is padding and does not count.

    Returns:
        (B,) int64, 1 to N + 1.
    """
    not_below = _not_below(rival_scores, positive_scores) | (rivals == positives.unsqueeze(1))
    return 1 + (not_below & (rivals >= 0)).sum(dim=1)


def full_ranks(scores: Tensor, positives: Tensor, seen: tuple[Tensor, Tensor]) -> Tensor:
    """Ranks among all items that the user has no other pair with.

    Args:
        scores: (B, I).
        positives: (B,) item indexes.
        seen: rows and items (each (S,)) of the pairs that don't take part.

    Returns:
        (B,) int64, 1 to I.
    """
    rows = torch.arange(len(positives), device=scores.device)
    not_below = _not_below(scores, scores[rows, positives])
    not_below[seen] = False
    not_below[rows, positives] = False
    return 1 + not_below.sum(dim=1)


def _not_below(scores: Tensor, positive_scores: Tensor) -> Tensor:
    # Not `>=`, which is false for nan: a model that diverged would rank every item first.
    return ~(scores < positive_scores.unsqueeze(1))


def pad(values: Tensor, offsets: Tensor) -> Tensor:
    """Lists of different lengths as a matrix (B, longest), filled up with -1.

    Args:
        values: all lists, one after the other.
        offsets: (B + 1,); list b is values[offsets[b] : offsets[b + 1]].
    """
    lengths = offsets[1:] - offsets[:-1]
    width = int(lengths.max()) if len(lengths) else 0
    padded = values.new_full((len(lengths), width), -1)
    padded[torch.arange(width) < lengths.unsqueeze(1)] = values
    return padded
