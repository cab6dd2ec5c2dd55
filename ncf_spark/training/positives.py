"""Which pairs are positives, asked for millions of them at once."""

from __future__ import annotations

import torch
from torch import Tensor

# Marks for each positive, rounded up to a power of two: a pair that is no positive meets a mark
# of another pair in at most one of eight cases.
_MARKS_PER_POSITIVE = 8
# An odd number near 2⁶⁴ / golden ratio, as a signed one: spreads keys over the marks (Knuth,
# The Art of Computer Programming, vol. 3, section 6.4).
_SPREAD = -7046029254386353131


class PositiveSet:
    """The positives of a worker: a table of hashed marks that clears most pairs, and sorted keys.

    The search in the sorted keys alone took five times as long.

    Args:
        users: (M,) table rows.
        items: (M,) their items.
        num_items: I.
    """

    def __init__(self, users: Tensor, items: Tensor, num_items: int) -> None:
        self._num_items = num_items
        self._keys = (users * num_items + items).sort().values
        bits = mark_bits(len(users))
        self._shift = 64 - bits
        self._last = 2**bits - 1
        self._marks = torch.zeros(2**bits, dtype=torch.bool, device=users.device)
        self._marks[self._hashed(self._keys)] = True

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
