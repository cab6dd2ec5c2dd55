"""Scores of all items for a block of users, and their exact top-k (torch).

Shapes: B users of a block, I items, D width of a vector, H the widest intermediate of a pair.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ncf_spark.model.heads import GMF, NeuMF
from ncf_spark.model.recommender import Recommender

# (B, D) user vectors → (B, I) scores.
Scorer = Callable[[Tensor], Tensor]

# Rows of a block. More bring nothing: the inner loop runs over items.
BLOCK_ROWS = 64


def in_blocks(score: Scorer, rows: Tensor) -> Tensor:
    """`score` on blocks of exactly BLOCK_ROWS rows, the last one filled up with zeros.

    BLAS adds in another order for other shapes. With one shape, a row's scores don't depend on how
    many rows it happens to be scored with, and a rerun on other partitions gives the same bits.

    Args:
        rows: (B, D), B ≥ 0.

    Returns:
        (B, I).
    """
    filled = torch.zeros(-(-len(rows) // BLOCK_ROWS) * BLOCK_ROWS, rows.shape[1])
    filled[: len(rows)] = rows
    return torch.cat([score(block) for block in filled.split(BLOCK_ROWS)])[: len(rows)]


class ModelScorer:
    """Logits of a model for every item; the items' half is computed once.

    Args:
        model: with its item vectors; it is put into evaluation mode.
        block_bytes: bound on the largest intermediate, which decides how many items are scored at
            a time.
    """

    def __init__(self, model: Recommender, block_bytes: int) -> None:
        self._model = model.eval()
        self._block_bytes = block_bytes
        with torch.no_grad():
            self._items = model.head.encode_items(model.item_vectors)

    @torch.no_grad()
    def __call__(self, user_vectors: Tensor) -> Tensor:
        """(B, D) → (B, I)."""
        return in_blocks(self._block, user_vectors)

    def _block(self, user_vectors: Tensor) -> Tensor:
        head = self._model.head
        users = head.encode_users(user_vectors)
        num_items = self._model.item_vectors.shape[0]
        step = items_at_a_time(self._model, len(user_vectors), self._block_bytes)
        scores = torch.empty(len(user_vectors), num_items)
        for low in range(0, num_items, step):
            part = slice(low, low + step)
            scores[:, part] = head.block(users, tuple(half[part] for half in self._items))
        return scores + self._model.bias


def items_at_a_time(model: Recommender, num_users: int, block_bytes: int) -> int:
    """Items whose largest intermediate for `num_users` users fits into `block_bytes`."""
    head = model.head
    if isinstance(head, GMF):
        return model.item_vectors.shape[0]
    mlp = head.mlp if isinstance(head, NeuMF) else head
    return max(1, block_bytes // (4 * mlp.widest * max(1, num_users)))


class SameForAll:
    """A score of each item that does not depend on the user: item popularity.

    Args:
        item_scores: (I,).
    """

    def __init__(self, item_scores: Tensor) -> None:
        self._item_scores = item_scores

    def __call__(self, user_vectors: Tensor) -> Tensor:
        """(B, D) → (B, I); a copy for each user, since callers mask it."""
        return self._item_scores.repeat(len(user_vectors), 1)


def top_k(scores: Tensor, k: int, hidden: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """The k best items of each row, best first; of equal scores the lower item index comes first.

    Args:
        scores: (B, I); overwritten.
        hidden: rows and items (each (S,)) that are left out.

    Returns:
        rows, items and scores, each (n,) with n ≤ B · k: rows with fewer than k items left have
        fewer.
    """
    scores[hidden] = -torch.inf
    count = min(k, scores.shape[1])
    # topk decides ties as it likes: whatever ties with the last place is kept, then ordered.
    threshold = scores.topk(count, dim=1).values[:, -1:]
    rows, items = ((scores >= threshold) & (scores > -torch.inf)).nonzero(as_tuple=True)
    values = scores[rows, items]
    order = torch.argsort(values, descending=True, stable=True)
    order = order[torch.argsort(rows[order], stable=True)]
    rows, items, values = rows[order], items[order], values[order]
    kept = positions_in_row(rows) <= k
    return rows[kept], items[kept], values[kept]


def positions_in_row(rows: Tensor) -> Tensor:
    """1, 2, … within each run of equal values: [0, 0, 2, 2, 2] → [1, 2, 1, 2, 3]."""
    _, counts = torch.unique_consecutive(rows, return_counts=True)
    starts = counts.cumsum(0) - counts
    return torch.arange(1, len(rows) + 1) - starts.repeat_interleave(counts)
