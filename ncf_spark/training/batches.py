"""The batches of an epoch from a worker's positives.

Each positive is taken exactly once an epoch, in a new order each time.

Shapes: P positives of a step, M positives of a worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

# A positive's user row, its item and its position in the order of the epoch, each int32.
BYTES_PER_POSITIVE = 12

Rows = tuple[Tensor, Tensor]


class Batch(NamedTuple):
    """The positives of a step, as int64.

    Args:
        users: (P,) table rows.
        items: (P,).
        positions: (P,) among all of the worker's positives; None where these are streamed.
    """

    users: Tensor
    items: Tensor
    positions: Tensor | None


class Positives(Protocol):
    """The positives of a worker, in memory or not."""

    mode: str
    num_positives: int

    def rows(self) -> Iterator[Rows]:
        """(users, items) in chunks: table rows and items, int32."""

    def batches(self, sizes: Iterable[int], seed: int) -> Iterator[Batch]:
        """An epoch's batches.

        Args:
            sizes: of each batch; they add up to M.
        """


class Resident:
    """Positives that stay in memory, on the device.

    Args:
        users: (M,) table rows, int32.
        items: (M,) int32.
    """

    mode = "resident"

    def __init__(self, users: Tensor, items: Tensor) -> None:
        self.users = users
        self.items = items
        self.num_positives = len(users)

    def rows(self) -> Iterator[Rows]:
        """(users, items): all of them at once, int32."""
        yield self.users, self.items

    def batches(self, sizes: Iterable[int], seed: int) -> Iterator[Batch]:
        """An epoch's batches, in an order that is drawn over all positives."""
        order = drawn_order(self.num_positives, torch.Generator().manual_seed(seed))
        order = order.to(self.users.device)
        for size in sizes:
            yield self.at(order[:size])
            order = order[size:]

    def at(self, positions: Tensor) -> Batch:
        """The positives at the positions (P,)."""
        users, items = (t.index_select(0, positions) for t in (self.users, self.items))
        return Batch(users.long(), items.long(), positions.long())


def is_resident(num_positives: int, resident_bytes: int | None) -> bool:
    """Whether so many positives are held in memory."""
    return resident_bytes is None or BYTES_PER_POSITIVE * num_positives <= resident_bytes


def drawn_order(length: int, generator: torch.Generator) -> Tensor:
    """(length,) int32: a permutation."""
    return torch.randperm(length, generator=generator, dtype=torch.int32)
