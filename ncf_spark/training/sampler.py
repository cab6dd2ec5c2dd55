"""Negatives: drawn on the device in every step, never one of the user's own positives.

Shapes: P positives drawn for, N negatives of each, I items, M positives of this worker.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ncf_spark.training.alias import AliasTable
from ncf_spark.training.positives import PositiveSet

# Drawn at once for a negative that must be redrawn: calls cost more than draws.
_CANDIDATES = 3


class Sampler(Protocol):
    """Where negatives come from."""

    def draw(self, users: Tensor, positions: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Negatives for each of some positives.

        Args:
            users: (P,) table rows.
            positions: (P,) of the positives among all of this worker's; None where these are
                streamed.

        Returns:
            Items (N, P), and (N, P) which of them must not be learnt from; None: there are none.
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

    def draw(self, users: Tensor, positions: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Negatives for each user, drawn anew every time, whatever the positions.

        Unresolved are those that are still positives after all retries.
        """
        owners = users.repeat(self._num_negatives)
        items = self._items.draw(len(owners), self._generator)
        shape = self._num_negatives, len(users)
        if self._positives is None:
            return items.view(shape), None
        taken = self._positives.contains(owners, items)
        redraw = self._redraw_in_place if items.is_cuda else self._redraw_taken
        unresolved = redraw(owners, items, taken, self._positives)
        return items.view(shape), None if unresolved is None else unresolved.view(shape)

    def _redraw_taken(
        self, owners: Tensor, items: Tensor, taken: Tensor, positives: PositiveSet
    ) -> Tensor | None:
        """Replaces the items that are taken, with as few draws as possible.

        Returns:
            (n,) which are still taken; None: none is.
        """
        left, retries = taken.nonzero().squeeze(1), 0
        while len(left) and retries < self._max_retries:
            count = min(_CANDIDATES, self._max_retries - retries)
            own = owners.index_select(0, left).unsqueeze(1).expand(-1, count).reshape(-1)
            drawn = self._items.draw(len(own), self._generator)
            is_taken = positives.contains(own, drawn).view(-1, count)
            best = is_taken.byte().argmin(dim=1, keepdim=True)  # the first that is free
            items[left] = drawn.view(-1, count).gather(1, best).squeeze(1)
            left = left[is_taken.all(dim=1)]
            retries += count
        return torch.zeros_like(taken).index_fill_(0, left, True) if len(left) else None

    def _redraw_in_place(
        self, owners: Tensor, items: Tensor, taken: Tensor, positives: PositiveSet
    ) -> Tensor:
        """The same with the maximum number of draws: nothing depends on how many are taken.

        So the host queues all of it on a GPU without waiting for a result.
        """
        for _ in range(self._max_retries):
            drawn = self._items.draw(len(items), self._generator)
            items.copy_(torch.where(taken, drawn, items))
            taken = taken & positives.contains(owners, drawn)
        return taken


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
        self._items = torch.cat([items for items, _ in parts], dim=1)
        self._unresolved = torch.cat(
            [torch.zeros_like(items, dtype=torch.bool) if u is None else u for items, u in parts],
            dim=1,
        )

    def draw(self, users: Tensor, positions: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The negatives of the positives at the positions (P,)."""
        assert positions is not None, "the preflight refuses to stream these positives"
        return self._items[:, positions], self._unresolved[:, positions]
