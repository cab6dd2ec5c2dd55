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
        with_squares: whether the sum of a vector's squares is one more part of what is encoded.
    """

    def __init__(self, model: Recommender, gradients: Gradients, with_squares: bool) -> None:
        self._model, self._gradients, self._with_squares = model, gradients, with_squares
        self._rows = model.item_vectors.new_empty(0)

    def encode(self, items: Tensor) -> Encoded:
        """Items (P, N + 1) → parts (P, N + 1, …)."""
        self._rows = _rows_of(self._model.item_vectors, items)
        return _encode(self._model, self._rows, self._with_squares)

    def collect(self, items: Tensor) -> None:
        """Adds up the gradients of what was encoded last."""
        self._gradients.add_items(items, self._rows)

    def finish(self) -> None:
        """Nothing is left to do."""


class EveryItem:
    """Encodes all items once a step, and takes what a slice needs from there."""

    def __init__(self, model: Recommender, with_squares: bool) -> None:
        self._encoded = _encode(model, model.item_vectors, with_squares)
        self._totals = [torch.zeros_like(part) for part in self._encoded]
        self._parts: Encoded = ()

    def encode(self, items: Tensor) -> Encoded:
        """Items (P, N + 1) → parts (P, N + 1, …)."""
        self._parts = tuple(_rows_of(part, items) for part in self._encoded)
        return self._parts

    def collect(self, items: Tensor) -> None:
        """Adds up the gradients of what was encoded last."""
        for total, part in zip(self._totals, self._parts, strict=True):
            assert part.grad is not None
            total.index_add_(0, items.flatten(), part.grad.flatten(0, 1))

    def finish(self) -> None:
        """Takes the sums back to the vectors and the weights."""
        torch.autograd.backward(self._encoded, self._totals)


def _rows_of(table: Tensor, items: Tensor) -> Tensor:
    """(I, …) and (P, N + 1) → (P, N + 1, …), a leaf. Indexing took six times as long on a CPU."""
    rows = table.detach().index_select(0, items.flatten())
    return rows.view(*items.shape, *table.shape[1:]).requires_grad_()


def _encode(model: Recommender, vectors: Tensor, with_squares: bool) -> Encoded:
    encoded = model.head.encode_items(vectors)
    return (*encoded, vectors.square().sum(dim=-1)) if with_squares else encoded
