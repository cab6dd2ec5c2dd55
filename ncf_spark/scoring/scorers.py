"""Scores of all items for a block of users: what every scorer is, and the baselines'.

Shapes: B users of a block, I items, D width of a vector.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from ncf_spark.scoring.topk import Pairs

# Users of a block, at most, by device. On a CPU more bring nothing: the inner loop runs over items.
BLOCK_ROWS = {"cpu": 64, "cuda": 256}


class UserBlock(NamedTuple):
    """At most BLOCK_ROWS users of the device; a scorer takes what it needs.

    Args:
        vectors: (B, D) float32; D is 0 for scorers that need none.
        seen: the items of each user.
    """

    vectors: np.ndarray
    seen: Pairs = (np.empty(0, np.int64), np.empty(0, np.int64))


class Scorer(Protocol):
    """Scores of all items for a block of users, as a new tensor: callers may overwrite it."""

    num_items: int

    def __call__(self, users: UserBlock) -> Tensor:
        """(B, I)."""
        ...


def filled_up(rows: np.ndarray, device: torch.device) -> Tensor:
    """(B, D) → (BLOCK_ROWS of the device, D), with zeros in the further rows.

    BLAS adds in another order for other shapes. With one shape a row's products are the same to the
    last bit in any block, and a rerun on other partitions gives the same.
    """
    filled = np.zeros((BLOCK_ROWS[device.type], rows.shape[1]), rows.dtype)
    filled[: len(rows)] = rows
    return torch.from_numpy(filled).to(device)


class DotScorer:
    """Products of user and item vectors: ALS, or cosines where all vectors are of length 1.

    Args:
        item_vectors: (I, D), on the device that is to score.
    """

    def __init__(self, item_vectors: Tensor) -> None:
        self._items = item_vectors.T
        self.num_items = len(item_vectors)

    def __call__(self, users: UserBlock) -> Tensor:
        """(B, I)."""
        vectors = filled_up(users.vectors, self._items.device)
        return (vectors @ self._items)[: len(users.vectors)]


class PopularityScorer:
    """A score of each item that does not depend on the user.

    Args:
        item_scores: (I,).
    """

    def __init__(self, item_scores: Tensor) -> None:
        self._item_scores = item_scores
        self.num_items = len(item_scores)

    def __call__(self, users: UserBlock) -> Tensor:
        """(B, I)."""
        return self._item_scores.repeat(len(users.vectors), 1)


class ItemItemScorer:
    """For item j the sum of similarity(j, i) over the seen items i that are neighbours of j.

    The neighbours are those of the item that is scored (Sarwar et al. 2001, section 3.2.1, without
    the division, since there are no ratings). Deshpande and Karypis (2004) take those of the seen
    items, which on MovieLens 1M brings HR@10 down from 0.66 to 0.59. An item without a seen
    neighbour has 0.

    Args:
        items: (n,) items j.
        neighbours: (n,) their neighbours i.
        similarities: (n,).
        num_items: I.
    """

    def __init__(
        self,
        items: np.ndarray,
        neighbours: np.ndarray,
        similarities: np.ndarray,
        num_items: int,
    ) -> None:
        # Sorted by neighbour: the items that a seen item adds to are contiguous.
        order = np.lexsort((items, neighbours))
        self._items, self._similarities = items[order], similarities[order].astype(np.float64)
        self._lengths = np.bincount(neighbours, minlength=num_items)
        self._begins = self._lengths.cumsum() - self._lengths
        self.num_items = num_items

    def __call__(self, users: UserBlock) -> Tensor:
        """(B, I) float64. The order of the seen items changes nothing, not even the last bit."""
        rows, seen = users.seen
        scores = [self._score(np.sort(seen[rows == row])) for row in range(len(users.vectors))]
        return torch.from_numpy(np.stack(scores))

    def _score(self, seen: np.ndarray) -> np.ndarray:
        """(I,), of a user."""
        lengths = self._lengths[seen]
        shift = self._begins[seen] - (lengths.cumsum() - lengths)
        terms = np.arange(lengths.sum()) + np.repeat(shift, lengths)
        return np.bincount(self._items[terms], self._similarities[terms], self.num_items)
