"""Where the gradients of a step are added up.

Shapes: P positives of a step, N negatives of each, D width of a vector.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ncf_spark.model.recommender import Recommender


class Gradients:
    """Where gradients are added up: buffers that are kept from step to step.

    Those of all shared parameters lie side by side in one buffer, `flat`: one all-reduce of one
    buffer takes less time than one of each parameter.

    Args:
        dense_users: whether every user row has a place of its own; if not, the rows of a batch are
            kept as a sparse tensor.
    """

    def __init__(self, model: Recommender, dense_users: bool) -> None:
        self._users, self._items = model.user_vectors, model.item_vectors
        self._dense_users = dense_users
        parameters = model.shared_parameters()
        sizes = [p.numel() for p in parameters]
        self.flat = torch.zeros(sum(sizes), device=parameters[0].device)
        for parameter, part in zip(parameters, self.flat.split(sizes), strict=True):
            parameter.grad = part.view_as(parameter)
        if dense_users:
            self._users.grad = torch.zeros_like(self._users)

    def clear(self) -> None:
        """Sets all to 0."""
        self.flat.zero_()
        if self._dense_users and self._users.grad is not None:
            self._users.grad.zero_()

    def add_users(self, users: Tensor, vectors: Tensor) -> None:
        """Adds the gradients of `vectors` (P, D) to the rows `users` (P,)."""
        if self._dense_users:
            _add_rows(self._users, users, vectors)
        else:
            assert vectors.grad is not None
            self._users.grad = torch.sparse_coo_tensor(
                users.unsqueeze(0), vectors.grad, self._users.shape, check_invariants=False
            )

    def add_items(self, items: Tensor, vectors: Tensor) -> None:
        """Adds the gradients of `vectors` (P, N + 1, D) to the rows `items` (P, N + 1)."""
        _add_rows(self._items, items, vectors)


def _add_rows(parameter: nn.Parameter, rows: Tensor, vectors: Tensor) -> None:
    # A row may occur more than once. In place: autograd would make a new tensor of the whole table
    # in each step.
    assert parameter.grad is not None
    assert vectors.grad is not None
    parameter.grad.index_put_((rows,), vectors.grad, accumulate=True)
