"""The samples of a step: positives with the negatives drawn for them.

Shapes: P positives, N negatives of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from ncf_spark.training.batches import Batch
from ncf_spark.training.sampler import Sampler


class Samples(NamedTuple):
    """The samples of one step or of several.

    Args:
        users: (P,) table rows.
        items: (N + 1, P), the positives in the first row.
        weights: (P,) of the positives.
        counted: (N + 1, P) 1, or 0 for samples that must not be learnt from; None: all count.
    """

    users: Tensor
    items: Tensor
    weights: Tensor
    counted: Tensor | None

    def part(self, own: slice) -> Samples:
        """Those of some of the positives."""
        of_counted = None if self.counted is None else self.counted[:, own]
        items = self.items[:, own].contiguous()  # they are flattened more than once
        return Samples(self.users[own], items, self.weights[own], of_counted)

    def split(self, sizes: Sequence[int]) -> Iterator[Samples]:
        """The samples cut into parts of these numbers of positives."""
        if len(sizes) == 1:
            yield self
            return
        low = 0
        for size in sizes:
            yield self.part(slice(low, low + size))
            low += size


T = TypeVar("T")


class Ahead(Iterator[T]):
    """Another iterator, whose next value can be prefetched."""

    def __init__(self, values: Iterator[T]) -> None:
        self._values = values
        self._fetched: list[T] = []

    def fetch(self) -> None:
        """Prefetches the next value, if there is one."""
        if not self._fetched:
            self._fetched.extend(islice(self._values, 1))

    def __next__(self) -> T:
        """The next value."""
        self.fetch()
        if not self._fetched:
            raise StopIteration
        return self._fetched.pop()


def draw_samples(batch: Batch, sampler: Sampler, user_weights: Tensor) -> Samples:
    """A batch with its negatives.

    Args:
        user_weights: of each user's positives, by table row.
    """
    negatives, unresolved = sampler.draw(batch.users, batch.positions)
    return Samples(
        users=batch.users,
        items=torch.cat([batch.items.unsqueeze(0), negatives]),
        weights=user_weights.index_select(0, batch.users),
        counted=None if unresolved is None else counted(unresolved),
    )


def counted(unresolved: Tensor) -> Tensor:
    """(N + 1, P) 1 for each positive and each negative but for the unresolved (N, P)."""
    return torch.nn.functional.pad((~unresolved).float(), (0, 0, 1, 0), value=1.0)
