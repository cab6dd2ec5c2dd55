"""Scores of all items for a block of users, and their exact top-k (torch).

Shapes: B users of a block, I items, D width of a vector, H the widest intermediate of a pair.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ncf_spark.model.heads import Encoded, NeuMF
from ncf_spark.model.recommender import Recommender

# Rows and items (each (S,)) of pairs.
Pairs = tuple[Tensor, Tensor]


class UserBlock(NamedTuple):
    """What scores are made from; a scorer takes what it needs.

    Args:
        vectors: (B, D); D is 0 for scorers that need none.
        seen: the items of each user.
    """

    vectors: Tensor
    seen: Pairs


class Scorer(Protocol):
    """Scores of all items for a block of users, in memory of their own: callers mask them."""

    num_items: int

    def __call__(self, users: UserBlock) -> Tensor:
        """(B, I)."""
        ...


# Rows of a block. More bring nothing: the inner loop runs over items.
BLOCK_ROWS = 64


def in_blocks(score: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """`score` on blocks of exactly BLOCK_ROWS rows, the last one filled up with zeros.

    BLAS adds in another order for other shapes. With one shape, a row's scores don't depend on how
    many rows it happens to be scored with, and a rerun on other partitions gives the same bits.

    Args:
        rows: (B, D), B ≥ 0.

    Returns:
        (B, I).
    """
    parts = [score(block) for block in filled_up(rows, BLOCK_ROWS).split(BLOCK_ROWS)]
    return torch.cat(parts)[: len(rows)]


def filled_up(rows: Tensor, size: int) -> Tensor:
    """`rows`, and as many of zeros as make them a multiple of `size`; at least one `size`."""
    missing = -len(rows) % size if len(rows) else size
    return torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])])


class ModelScorer:
    """Logits of a model for every item; the items' half is computed once.

    Args:
        model: with its item vectors, on the device that is to score; it is put into evaluation
            mode.
        tile_bytes: bound on the largest intermediate.
    """

    def __init__(self, model: Recommender, tile_bytes: int) -> None:
        self._model = model.eval()
        self.num_items = model.item_vectors.shape[0]
        with torch.no_grad():
            # Each user's scores begin on a line of the cache, and each user is a tile: otherwise
            # the place in the block would decide about the last bits.
            vectors = filled_up(model.item_vectors, 16)
            self._items = laid_out(model.head.encode_items(vectors))
        self._tile_bytes = min(tile_bytes, row_bytes(model, len(vectors)))

    @torch.no_grad()
    def __call__(self, users: UserBlock) -> Tensor:
        """(B, I)."""
        return in_blocks(self._block, users.vectors)[:, : self.num_items]

    def _block(self, user_vectors: Tensor) -> Tensor:
        head = self._model.head
        users = head.encode_users(user_vectors)
        return head.block(users, self._items, self._tile_bytes).add_(self._model.bias)


def row_bytes(model: Recommender, num_items: int) -> int:
    """Of a user's widest intermediate for so many items."""
    mlp = model.head.mlp if isinstance(model.head, NeuMF) else model.head
    return max(1, 4 * mlp.widest * num_items)


def laid_out(items: Encoded) -> Encoded:
    """The same numbers in the order that blocks are quickest with: an item's stand apart."""
    return tuple(part.T.contiguous().T if part.dim() == 2 else part for part in items)


class DotScorer:
    """Plain products of user and item vectors: ALS.

    Args:
        item_vectors: (I, D).
    """

    def __init__(self, item_vectors: Tensor) -> None:
        self._items = item_vectors.T
        self.num_items = len(item_vectors)

    def __call__(self, users: UserBlock) -> Tensor:
        """(B, I)."""
        return in_blocks(lambda rows: rows @ self._items, users.vectors)


class SameForAll:
    """A score of each item that does not depend on the user: item popularity.

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
        self, items: Tensor, neighbours: Tensor, similarities: Tensor, num_items: int
    ) -> None:
        # By neighbour: what a seen item adds to stands together.
        order = torch.argsort(neighbours * num_items + items)
        self._items = items[order]
        self._similarities = similarities.double()[order]
        self._counts = torch.bincount(neighbours, minlength=num_items)
        self._starts = self._counts.cumsum(0) - self._counts
        self.num_items = num_items

    def __call__(self, users: UserBlock) -> Tensor:
        """(B, I), double. The order of the seen items does not matter, not even to the last bit."""
        keys = torch.sort(users.seen[0] * self.num_items + users.seen[1]).values
        scores = torch.zeros(len(users.vectors) * self.num_items, dtype=torch.float64)
        counts = self._counts[keys % self.num_items]
        for part in slices_up_to(_TERMS, counts):
            seen, lengths = keys[part] % self.num_items, counts[part]
            within = torch.arange(int(lengths.sum()))
            shift = self._starts[seen] - (lengths.cumsum(0) - lengths)
            terms = within + shift.repeat_interleave(lengths)
            rows = (keys[part] - seen).repeat_interleave(lengths)
            scores.index_add_(0, rows + self._items[terms], self._similarities[terms])
        return scores.view(len(users.vectors), self.num_items)


# Terms of the sums that are laid out at a time, 40 bytes each.
_TERMS = 2**20


def slices_up_to(limit: int, counts: Tensor) -> list[slice]:
    """Slices of `counts` that start below each further `limit`: [3, 4, 5, 1] by 5 → 0:2, 2:3, 3:4.

    The sum of a slice is at most `limit` and its last count.
    """
    if not len(counts):
        return []
    numbers = (counts.cumsum(0) - counts) // limit
    _, lengths = torch.unique_consecutive(numbers, return_counts=True)
    ends = lengths.cumsum(0).tolist()
    return [slice(low, high) for low, high in zip([0, *ends], ends, strict=False)]


def top_k(scores: Tensor, k: int, hidden: Pairs) -> tuple[Tensor, Tensor, Tensor]:
    """The k best items of each row, best first; of equal scores the lower item index comes first.

    Args:
        scores: (B, I); overwritten.
        hidden: rows and items (each (S,)) that are left out.

    Returns:
        rows, items and scores, each (n,) with n ≤ B · k: rows with fewer than k items left have
        fewer. A score that is not a number is none.
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
    places = torch.arange(1, len(rows) + 1, device=rows.device)
    return places - starts.repeat_interleave(counts)
