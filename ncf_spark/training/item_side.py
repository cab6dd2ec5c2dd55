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
        """Items (N + 1, P) → parts (N + 1, P, …)."""
        rows = self._model.item_vectors.index_select(0, items.flatten())
        self._rows = rows.view(*items.shape, rows.shape[1])
        return self._model.head.encode_items(self._rows)

    def collect(self, items: Tensor, of_encoded: Encoded, weights: Tensor) -> None:
        """Adds up the gradients of what was encoded last.

        Args:
            items: (N + 1, P).
            weights: (P,) of the positives.
        """
        of_rows = self._model.head.pull_items(self._rows, of_encoded)
        if self._l2:
            of_rows = of_rows + self._rows * (2 * self._l2 * weights).unsqueeze(1)
        self._gradients.add_items(items.flatten(), of_rows.flatten(0, 1))

    def finish(self) -> None:
        """Nothing is left to do."""


class EveryItem:
    """Encodes all items once a step, and takes what a slice needs from there.

    The gradients of what is encoded stand side by side in one table, so that a slice adds up rows
    once and not once a part.

    Args:
        l2: what the squares of a vector cost, for each sample of weight 1.
    """

    def __init__(self, model: Recommender, gradients: Gradients, l2: float) -> None:
        self._model, self._gradients, self._l2 = model, gradients, l2
        # Each part in memory of its own: what is computed of it runs through without gaps.
        self._encoded = [part.contiguous() for part in model.head.encode_items(model.item_vectors)]
        self._widths = [part[0].numel() for part in self._encoded]
        # One more column for the weights, which L2 needs the sums of.
        width = sum(self._widths) + bool(l2)
        self._of_table = model.item_vectors.new_zeros(len(model.item_vectors), width)

    def encode(self, items: Tensor) -> Encoded:
        """Items (N + 1, P) → parts (N + 1, P, …)."""
        places = items.flatten()
        taken = (part.index_select(0, places) for part in self._encoded)
        return tuple(part.view(*items.shape, *part.shape[1:]) for part in taken)

    def collect(self, items: Tensor, of_encoded: Encoded, weights: Tensor) -> None:
        """Adds up the gradients of what was encoded last.

        Args:
            items: (N + 1, P).
            weights: (P,) of the positives.
        """
        parts = [part.flatten(0, 1) for part in of_encoded]
        if self._l2:
            parts.append(weights.repeat(len(items)))
        self._of_table.index_add_(0, items.flatten(), _side_by_side(parts))

    def finish(self) -> None:
        """Takes the sums back to the vectors and the weights."""
        vectors, width = self._model.item_vectors, sum(self._widths)
        parts = self._of_table[:, :width].split(self._widths, dim=1)
        of_encoded = tuple(p.view_as(e) for p, e in zip(parts, self._encoded, strict=True))
        of_vectors = self._model.head.pull_items(vectors, of_encoded)
        if self._l2:
            weights = self._of_table[:, width:]
            of_vectors = of_vectors.addcmul(vectors, weights, value=2 * self._l2)
        self._gradients.add_every_item(of_vectors)


def _side_by_side(parts: Encoded | list[Tensor]) -> Tensor:
    """Parts (n, …) → (n, width)."""
    columns = (part.unsqueeze(1) if part.dim() == 1 else part for part in parts)
    return torch.cat([part.flatten(1) for part in columns], dim=1)
