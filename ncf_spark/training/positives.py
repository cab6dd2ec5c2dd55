"""Which pairs are positives, asked for millions of them at once."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

# Marks for each positive, rounded up to a power of two: a pair that is no positive meets a mark
# of another pair in at most one of eight cases.
_MARKS_PER_POSITIVE = 8
# An odd number near 2⁶⁴ / golden ratio, as a signed one: spreads keys over the marks (Knuth,
# The Art of Computer Programming, vol. 3, section 6.4).
_SPREAD = -7046029254386353131
_MARKED_AT_ONCE = 2**20


class PositiveSet:
    """The positives of a worker: a table of hashed marks that clears most pairs, and sorted keys.

    The search in the sorted keys alone took five times as long.

    Args:
        rows: (users, items) of some positives after the other, table rows and items.
        num_positives: M, of all of them.
        num_items: I.
        device: of the pairs that will be asked for.
    """

    def __init__(
        self,
        rows: Iterable[tuple[Tensor, Tensor]],
        num_positives: int,
        num_items: int,
        device: torch.device,
    ) -> None:
        self._num_items = num_items
        keys = torch.empty(num_positives, dtype=torch.int64)
        filled = 0
        for users, items in rows:
            keys[filled : filled + len(users)] = users.long() * num_items + items
            filled += len(users)
        keys.numpy().sort()  # in place, where torch's own sort would hold three times as much
        self._keys = keys.to(device)
        bits = mark_bits(num_positives)
        self._shift = 64 - bits
        self._last = 2**bits - 1
        self._marks = torch.zeros(2**bits, dtype=torch.bool, device=device)
        for part in self._keys.split(_MARKED_AT_ONCE):
            self._marks[self._hashed(part)] = True

    def among(self, users: Tensor, items: Tensor) -> Tensor:
        """Where positives stand among n pairs: positions in order, as many as there are.

        Args:
            users: (n,) table rows.
            items: (n,).
        """
        keys = users * self._num_items + items
        likely = self._marks.index_select(0, self._hashed(keys)).nonzero().squeeze(1)
        if not len(likely):
            return likely
        keys = keys.index_select(0, likely)
        places = torch.searchsorted(self._keys, keys).clamp_(max=len(self._keys) - 1)
        return likely[self._keys.index_select(0, places) == keys]

    def _hashed(self, keys: Tensor) -> Tensor:
        return (keys * _SPREAD >> self._shift) & self._last


def mark_bits(num_positives: int) -> int:
    """log₂ of the number of marks (one byte each) for so many positives."""
    return max(1, (_MARKS_PER_POSITIVE * num_positives - 1).bit_length())
