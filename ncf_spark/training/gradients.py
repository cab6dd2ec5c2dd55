"""Where the gradients of a step are added up, and how the workers exchange them.

Shapes: P positives and S samples of a slice, D width of a vector, I items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ncf_spark.model.recommender import Recommender
from ncf_spark.training.communicator import Communicator

# By which gradients are multiplied in float16, which holds 6e-8 to 65,504: those of a mean over
# many samples are small.
_HALF_SCALE = 2.0**10


def are_few(samples: int, num_items: int) -> bool:
    """Whether a step has so few samples that its items' rows cost less than the whole table.

    Measured with two workers (docs/experiments): at 0.04 to 0.13 samples an item rows took half the
    time, at 0.4 twice the time.

    Args:
        samples: of all workers.
    """
    return 4 * samples < num_items


class Gradients:
    """The gradients of all parameters, in buffers that are kept from step to step.

    The shared parameters are laid side by side in one, `joined`, the items last: one all-reduce and
    one call of the optimiser take less time than those of each parameter.

    Args:
        sparse_users: whether only the rows of the step's users are kept; if not, every row has a
            place of its own.
        sparse_items: the same of items, which then are exchanged by rows and not within `flat`.
        in_half: whether they are exchanged in float16.
    """

    def __init__(
        self, model: Recommender, *, sparse_users: bool, sparse_items: bool, in_half: bool = False
    ) -> None:
        self._in_half = in_half
        self._users, self._items = model.user_vectors, model.item_vectors
        self._rows: dict[nn.Parameter, list[tuple[Tensor, Tensor]]] = {}
        self.shared = [p for p in model.shared_parameters() if p is not self._items]
        if sparse_items:
            self._rows[self._items] = []
        else:
            self.shared.append(self._items)
        self.joined = side_by_side(self.shared)
        if sparse_users:
            self._rows[self._users] = []
        else:
            self._users.grad = torch.zeros_like(self._users)

    @property
    def flat(self) -> Tensor:
        """The gradients of `joined`."""
        assert self.joined.grad is not None
        return self.joined.grad

    def clear(self) -> None:
        """Sets all to 0."""
        self.flat.zero_()
        for rows in self._rows.values():
            rows.clear()
        if self._users not in self._rows and self._users.grad is not None:
            self._users.grad.zero_()

    def add_users(self, users: Tensor, gradients: Tensor) -> None:
        """Adds gradients (P, D) to the rows `users` (P,)."""
        self._add(self._users, users, gradients)

    def add_items(self, items: Tensor, gradients: Tensor) -> None:
        """Adds gradients (S, D) to the rows `items` (S,)."""
        self._add(self._items, items, gradients)

    def add_every_item(self, gradients: Tensor) -> None:
        """Adds gradients (I, D) of all items."""
        assert self._items.grad is not None
        self._items.grad.add_(gradients)

    def _add(self, table: nn.Parameter, rows: Tensor, gradients: Tensor) -> None:
        # A row may occur more than once.
        if table in self._rows:
            self._rows[table].append((rows, gradients))
        else:
            assert table.grad is not None
            table.grad.index_add_(0, rows, gradients)

    def start_exchange(self, communicator: Communicator) -> Callable[[], None]:
        """Begins to add up what is shared over the workers; each has its users for itself.

        Returns:
            What waits for it; the users' gradients are ready before.
        """
        sent = _in_half(self.flat) if self._in_half else self.flat
        wait = communicator.start_sum(sent, "shared_gradients")
        if self._users in self._rows:
            self._users.grad = _sparse(self._users, *self._rows_of(self._users))

        def finish() -> None:
            wait()
            if self._in_half:
                self.flat.copy_(sent).div_(_HALF_SCALE)
            if self._items in self._rows:
                rows, gradients = self._rows_of(self._items)
                rows = communicator.join(rows, "item_rows")
                if self._in_half:
                    joined = communicator.join(_in_half(gradients), "item_gradients")
                    gradients = joined.float().div_(_HALF_SCALE)
                else:
                    gradients = communicator.join(gradients, "item_gradients")
                self._items.grad = _sparse(self._items, rows, gradients)

        return finish

    def _rows_of(self, table: nn.Parameter) -> tuple[Tensor, Tensor]:
        """Rows (n,) and their gradients (n, D), as they were added."""
        rows, gradients = zip(*self._rows[table], strict=True)
        return torch.cat(rows), torch.cat(gradients)


def side_by_side(parameters: Sequence[nn.Parameter]) -> nn.Parameter:
    """One parameter of the memory of several, which stay what they are: parts of it.

    Its gradient is zero, and theirs are the parts of that.
    """
    joined = nn.Parameter(torch.cat([p.detach().flatten() for p in parameters]))
    joined.grad = torch.zeros_like(joined)
    sizes = [p.numel() for p in parameters]
    parts = zip(parameters, joined.data.split(sizes), joined.grad.split(sizes), strict=True)
    for parameter, values, gradients in parts:
        parameter.data, parameter.grad = values.view_as(parameter), gradients.view_as(parameter)
    return joined


def _in_half(gradients: Tensor) -> Tensor:
    return (gradients * _HALF_SCALE).half()


def _sparse(table: Tensor, rows: Tensor, gradients: Tensor) -> Tensor:
    return torch.sparse_coo_tensor(
        rows.unsqueeze(0), gradients, table.shape, check_invariants=False
    )
