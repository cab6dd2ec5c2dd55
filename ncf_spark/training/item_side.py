"""The items of a step: encoded, and their gradients collected, by whichever way encodes fewer.

Shapes: P positives of a slice, N negatives of each, D width of a vector, I items.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ncf_spark.model.heads import Encoded
from ncf_spark.model.recommender import Recommender
from ncf_spark.training.gradients import Gradients


class EachItem:
    """Encodes the items of a slice: where a step has fewer samples than there are items.

    Args:
        l2: what the squares of a vector cost, for each sample of weight 1.
    """

    def __init__(self, model: Recommender, gradients: Gradients, l2: float) -> None:
        self._model, self._gradients, self._l2 = model, gradients, l2
        self._rows = model.item_vectors.new_empty(0)

    def encode(self, items: Tensor) -> Encoded:
        """Items (P, N + 1) → parts (P, N + 1, …)."""
        rows = self._model.item_vectors.index_select(0, items.flatten())
        self._rows = rows.view(*items.shape, rows.shape[1])
        return self._model.head.encode_items(self._rows)

    def collect(self, items: Tensor, of_encoded: Encoded, weights: Tensor) -> None:
        """Adds up the gradients of what was encoded last.

        Args:
            items: (P, N + 1).
            weights: (P,) of the positives.
        """
        of_rows = self._model.head.pull_items(self._rows, of_encoded)
        if self._l2:
            of_rows = of_rows + self._rows * (2 * self._l2 * weights).view(-1, 1, 1)
        self._gradients.add_items(items.flatten(), of_rows.flatten(0, 1))

    def finish(self) -> None:
        """Nothing is left to do."""


class EveryItem:
    """Encodes all items once a step, and takes what a slice needs from there.

    The parts of what is encoded stand side by side in one table, so that a slice takes and adds up
    rows once and not once a part.

    Args:
        l2: what the squares of a vector cost, for each sample of weight 1.
    """

    def __init__(self, model: Recommender, gradients: Gradients, l2: float) -> None:
        self._model, self._gradients, self._l2 = model, gradients, l2
        encoded = model.head.encode_items(model.item_vectors)
        self._tails = [part.shape[1:] for part in encoded]
        self._table = _side_by_side(encoded)  # (I, width)
        # One more column for the weights, which L2 needs the sums of.
        width = self._table.shape[1] + bool(l2)
        self._of_table = self._table.new_zeros(len(self._table), width)

    def encode(self, items: Tensor) -> Encoded:
        """Items (P, N + 1) → parts (P, N + 1, …)."""
        rows = self._table.index_select(0, items.flatten())
        return self._parts(rows, items.shape)

    def collect(self, items: Tensor, of_encoded: Encoded, weights: Tensor) -> None:
        """Adds up the gradients of what was encoded last.

        Args:
            items: (P, N + 1).
            weights: (P,) of the positives.
        """
        parts = [part.flatten(0, 1) for part in of_encoded]
        if self._l2:
            parts.append(weights.repeat_interleave(items.shape[1]))
        self._of_table.index_add_(0, items.flatten(), _side_by_side(parts))

    def finish(self) -> None:
        """Takes the sums back to the vectors and the weights."""
        vectors, of_table = self._model.item_vectors, self._of_table
        width = self._table.shape[1]
        of_encoded = self._parts(of_table[:, :width], torch.Size([len(of_table)]))
        of_vectors = self._model.head.pull_items(vectors, of_encoded)
        if self._l2:
            of_vectors = of_vectors.addcmul(vectors, of_table[:, width:], value=2 * self._l2)
        self._gradients.add_every_item(of_vectors)

    def _parts(self, rows: Tensor, shape: torch.Size) -> Encoded:
        """(n, width) → parts (*shape, …)."""
        widths = [tail.numel() for tail in self._tails]
        parts = zip(rows.split(widths, dim=1), self._tails, strict=True)
        return tuple(part.view(*shape, *tail) for part, tail in parts)


def _side_by_side(parts: Encoded | list[Tensor]) -> Tensor:
    """Parts (n, …) → (n, width)."""
    columns = (part.unsqueeze(1) if part.dim() == 1 else part for part in parts)
    return torch.cat([part.flatten(1) for part in columns], dim=1)
