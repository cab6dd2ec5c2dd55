"""Which pairs are positives, asked for millions of them at once."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

# Marks for each positive, rounded up to a power of two: a pair that is no positive meets a mark
# of another pair in at most one of 64 cases. A mark is a bit.
_MARKS_PER_POSITIVE = 64
_BYTES_PER_KEY = 8
# An odd number near 2⁶⁴ / golden ratio, as a signed one: spreads keys over the marks (Knuth,
# The Art of Computer Programming, vol. 3, section 6.4).
_SPREAD = -7046029254386353131
_MARKED_AT_ONCE = 2**20
# Less than any key.
_NO_KEY = -1


class PositiveSet:
    """The positives of a worker: a table of marks, and sorted keys where a mark is no proof.

    Where the table has a mark for every pair, the mark is the answer. Else pairs are hashed to
    marks, which clears most of them, and the rest is looked up in the sorted keys: ten times as
    fast as a search of all.

    Args:
        rows: (users, items) of some positives after the other, table rows and items.
        num_positives: M, of all of them.
        num_users: U, table rows.
        num_items: I.
        device: of the pairs that will be asked for.
    """

    def __init__(
        self,
        rows: Iterable[tuple[Tensor, Tensor]],
        num_positives: int,
        num_users: int,
        num_items: int,
        device: torch.device,
    ) -> None:
        self._num_items = num_items
        bits = mark_bits(num_positives)
        self._shift, self._last = 64 - bits, 2**bits - 1
        self._keys: Tensor | None = None
        keys: Iterable[Tensor] = (
            users.long() * num_items + items
            for columns in rows
            for users, items in zip(*(c.split(_MARKED_AT_ONCE) for c in columns), strict=True)
        )
        if not has_mark_for_every_pair(num_positives, num_users, num_items):
            self._keys = _sorted_keys(keys, num_positives).to(device)
            keys = self._keys[1:].split(_MARKED_AT_ONCE)  # without _NO_KEY
        indexes = 2**bits if self._keys is not None else num_users * num_items
        self._marks = torch.zeros(-(-indexes // 8), dtype=torch.uint8, device=device)
        for part in keys:
            self._mark(self._mark_indexes(part.to(device)))

    def contains(self, users: Tensor, items: Tensor) -> Tensor:
        """(n,) bool: which of n pairs are positives.

        On a GPU it does not make the host wait.

        Args:
            users: (n,) table rows.
            items: (n,).
        """
        keys = users * self._num_items + items
        indexes = self._mark_indexes(keys)
        marks = self._marks.index_select(0, indexes >> 3) >> (indexes & 7).to(torch.uint8)
        marked = (marks & 1).bool()
        if self._keys is None:
            return marked
        if marked.is_cuda:
            return marked & self._is_key(keys)
        likely = marked.nonzero().squeeze(1)
        marked[likely] = self._is_key(keys.index_select(0, likely))
        return marked

    def _is_key(self, keys: Tensor) -> Tensor:
        assert self._keys is not None
        found = torch.searchsorted(self._keys, keys).clamp_(max=len(self._keys) - 1)
        return self._keys.index_select(0, found) == keys

    def _mark_indexes(self, keys: Tensor) -> Tensor:
        """The indexes of the marks of the keys, (n,)."""
        return keys if self._keys is None else (keys * _SPREAD >> self._shift) & self._last

    def _mark(self, indexes: Tensor) -> None:
        bits = indexes & 7
        for bit in range(8):  # one after the other: a byte may be marked more than once
            rows = indexes[bits == bit] >> 3
            self._marks[rows] = self._marks[rows] | 1 << bit


def _sorted_keys(parts: Iterable[Tensor], num_positives: int) -> Tensor:
    """(M + 1,): in ascending order, the first being `_NO_KEY`."""
    keys = torch.empty(num_positives + 1, dtype=torch.int64)
    keys[0], filled = _NO_KEY, 1
    for part in parts:
        keys[filled : filled + len(part)] = part
        filled += len(part)
    keys.numpy().sort()  # in place: torch's sort would hold three times as much
    return keys


def mark_bits(num_positives: int) -> int:
    """log₂ of the number of marks for so many positives."""
    return max(3, (_MARKS_PER_POSITIVE * num_positives - 1).bit_length())


def has_mark_for_every_pair(num_positives: int, num_users: int, num_items: int) -> bool:
    """Whether there are no more pairs than marks."""
    return num_users * num_items <= 2 ** mark_bits(num_positives)


def rejection_bytes(num_positives: int, num_users: int, num_items: int) -> int:
    """Bytes of a `PositiveSet`."""
    if has_mark_for_every_pair(num_positives, num_users, num_items):
        return -(-num_users * num_items // 8)
    return 2 ** mark_bits(num_positives) // 8 + _BYTES_PER_KEY * (num_positives + 1)
