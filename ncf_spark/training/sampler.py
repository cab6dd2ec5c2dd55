"""Negatives: drawn on the device, never the user's own positives, anew in every step (D3).

Shapes: P positives of a step, N negatives for each, I items, M positives of this worker.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ncf_spark.training.alias import AliasTable
from ncf_spark.training.positives import PositiveSet

# Drawn at a time for a negative that must be redrawn: calls cost more than draws.
_CANDIDATES = 3


class Sampler(Protocol):
    """Where the negatives of a step come from."""

    def draw(self, users: Tensor, batch: Tensor | None) -> tuple[Tensor, Tensor]:
        """Negatives for each positive of a step.

        Args:
            users: (P,) table rows.
            batch: (P,) positions of the positives among all of this worker's; None where these
                are streamed.

        Returns:
            Items (P, N), and (n,) flat positions of those that must not be learnt from.
        """


class NegativeSampler:
    """Draws items by a given distribution and redraws those that are the user's positives.

    Args:
        probabilities: (I,) of each item, ≥ 0; normalised here.
        positives: of this worker; None: a positive may be drawn.
        num_negatives: N.
        max_retries: redraws before a negative that is still a positive is given up.
        generator: source of randomness, on the device of the tensors.

    Raises:
        ValueError: when no item can be drawn.
    """

    def __init__(
        self,
        probabilities: Tensor,
        positives: PositiveSet | None,
        num_negatives: int,
        max_retries: int,
        generator: torch.Generator,
    ) -> None:
        try:
            self._items = AliasTable(probabilities).to(generator.device)
        except ValueError as error:
            raise ValueError(f"{error} as a negative") from None
        self._positives = positives
        self._num_negatives = num_negatives
        self._max_retries = max_retries
        self._generator = generator

    def draw(self, users: Tensor, batch: Tensor | None) -> tuple[Tensor, Tensor]:
        """Negatives for each user of a step.

        Args:
            users: (P,) table rows.
            batch: not needed: the negatives of a positive are drawn anew every time.

        Returns:
            Items (P, N), and (n,) flat positions of those that are still positives after all
            retries: they must not be learnt from.
        """
        owners = users.unsqueeze(1).expand(-1, self._num_negatives).reshape(-1)
        items = self._items.draw(len(owners), self._generator)
        if self._positives is None:
            return items.view(-1, self._num_negatives), owners.new_empty(0)
        left = self._positives.among(owners, items)
        retries = 0
        while len(left) and retries < self._max_retries:
            count = min(_CANDIDATES, self._max_retries - retries)
            own = owners.index_select(0, left).unsqueeze(1).expand(-1, count).reshape(-1)
            drawn = self._items.draw(len(own), self._generator)
            taken = torch.zeros_like(drawn, dtype=torch.bool)
            taken[self._positives.among(own, drawn)] = True
            drawn, taken = drawn.view(-1, count), taken.view(-1, count)
            best = taken.byte().argmin(dim=1, keepdim=True)  # the first that is free
            items[left] = drawn.gather(1, best).squeeze(1)
            left = left[taken.all(dim=1)]
            retries += count
        return items.view(-1, self._num_negatives), left


class FixedNegatives:
    """Negatives that are drawn once: each positive meets the same ones in every epoch.

    They are kept in memory, 8 · M · N bytes and M · N for the marks.

    Args:
        source: what draws them.
        users: (M,) table rows of this worker's positives.
    """

    def __init__(self, source: Sampler, users: Tensor) -> None:
        positions = torch.arange(len(users), device=users.device)
        parts = [source.draw(users[part].long(), part) for part in positions.split(2**16)]
        self._items = torch.cat([items for items, _ in parts])
        self._unresolved = torch.cat([_marked(*part) for part in parts])

    def draw(self, users: Tensor, batch: Tensor | None) -> tuple[Tensor, Tensor]:
        """The negatives of the positives at the positions `batch`."""
        assert batch is not None, "the preflight refuses to stream these positives"
        unresolved = self._unresolved[batch].flatten().nonzero().squeeze(1)
        return self._items[batch], unresolved


def _marked(items: Tensor, unresolved: Tensor) -> Tensor:
    marks = torch.zeros_like(items, dtype=torch.bool)
    marks.view(-1)[unresolved] = True
    return marks
