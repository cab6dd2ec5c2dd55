"""Adam, lazy Adam and SGD over a model's parameters, and the learning rate of each step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from ncf_spark.model.recommender import Recommender
from ncf_spark.training.gradients import Gradients

_BETAS = 0.9, 0.999
_EPS = 1e-8
# Adam in one pass over the memory, where torch has it for every device.
_FUSED = tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (2, 4)


class Optimisers:
    """The optimisers of a worker's users and of what the workers have in common.

    These are apart since the users' gradients are known before those of the others are exchanged.

    Args:
        kind: adam; lazy_adam, which leaves the vectors and moments of users and items outside the
            batch as they are (Adam moves every row it has ever seen in every step, by what is left
            of its momentum); or sgd, without momentum.
    """

    def __init__(self, model: Recommender, gradients: Gradients, kind: str) -> None:
        users, joined = model.user_vectors, gradients.joined
        # The parameters that stand side by side in the memory of one.
        self._parts: dict[nn.Parameter, Sequence[nn.Parameter]] = {joined: gradients.shared}
        self._of_users: Optimiser
        self._of_shared: list[Optimiser]
        if kind == "sgd":
            self._of_users, self._of_shared = Sgd(users), [Sgd(joined)]
        elif kind == "adam":
            self._of_users, self._of_shared = Adam(users), [Adam(joined)]
        else:
            others = [p for p in gradients.shared if p is not model.item_vectors]
            first = _first(joined, sum(p.numel() for p in others))
            self._parts = {first: others}
            self._of_users = LazyAdam(users)
            self._of_shared = [LazyAdam(model.item_vectors), Adam(first)]

    def step_users(self, learning_rate: float) -> None:
        """Moves the users' vectors by their gradients, which stay as they are."""
        self._of_users.step(learning_rate)

    def step_shared(self, learning_rate: float) -> None:
        """The same of what the workers have in common."""
        for optimiser in self._of_shared:
            optimiser.step(learning_rate)

    def state(self) -> tuple[int, dict[Tensor, dict[str, Tensor]]]:
        """Steps taken, and the moments of each parameter of the model by name; none for SGD."""
        moments: dict[Tensor, dict[str, Tensor]] = {}
        for optimiser in self._all:
            parts = self._parts_of(optimiser)
            for name, values in optimiser.moments.items():
                of_parts = values.flatten().split([p.numel() for p in parts])
                for part, value in zip(parts, of_parts, strict=True):
                    moments.setdefault(part, {})[name] = value.view_as(part)
        return self._of_users.steps, moments

    def restore(self, steps: int, moments: Mapping[Tensor, Mapping[str, Tensor]]) -> None:
        """Takes over what `state` gave, for the same kind of optimiser."""
        for optimiser in self._all:
            parts = self._parts_of(optimiser)
            optimiser.steps = steps
            for name, values in optimiser.moments.items():
                values.copy_(torch.cat([moments[p][name].flatten() for p in parts]).view_as(values))

    @property
    def _all(self) -> list[Optimiser]:
        return [self._of_users, *self._of_shared]

    def _parts_of(self, optimiser: Optimiser) -> Sequence[nn.Parameter]:
        return self._parts.get(optimiser.parameter, [optimiser.parameter])


class Optimiser(Protocol):
    """Moves one parameter.

    Not torch's classes: what these do around a step, for many parameters and for hooks, took a
    tenth of a step of 2,048 samples.
    """

    parameter: nn.Parameter
    steps: int
    moments: dict[str, Tensor]

    def step(self, learning_rate: float) -> None:
        """Moves it by its gradient."""


class Sgd:
    """Stochastic gradient descent without momentum."""

    def __init__(self, parameter: nn.Parameter) -> None:
        self.parameter, self.steps = parameter, 0
        self.moments: dict[str, Tensor] = {}

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Moves the parameter by its gradient."""
        assert self.parameter.grad is not None
        self.parameter.sub_(self.parameter.grad, alpha=learning_rate)


class Adam:
    """Adam over all of a parameter (Kingma and Ba 2015), by torch's own function."""

    def __init__(self, parameter: nn.Parameter) -> None:
        self.parameter = parameter
        self.moments = _moments_of(parameter)
        self._steps = torch.zeros((), device=parameter.device)

    @property
    def steps(self) -> int:
        """Steps taken."""
        return int(self._steps)

    @steps.setter
    def steps(self, steps: int) -> None:
        self._steps.fill_(steps)

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Moves the parameter by its gradient."""
        assert self.parameter.grad is not None
        adam(
            [self.parameter],
            [self.parameter.grad],
            *([self.moments["exp_avg"]], [self.moments["exp_avg_sq"]], []),
            [self._steps],
            fused=_FUSED,
            amsgrad=False,
            beta1=_BETAS[0],
            beta2=_BETAS[1],
            lr=learning_rate,
            weight_decay=0.0,
            eps=_EPS,
            maximize=False,
        )


class LazyAdam:
    """Adam on the rows that have a gradient, and on no others.

    What a step takes does not depend on the size of the table. torch's own SparseAdam does the
    same for sparse gradients; this takes dense ones too, and half its time.

    Args:
        table: (rows, D).
    """

    def __init__(self, table: nn.Parameter) -> None:
        self.parameter, self.steps = table, 0
        self.moments = _moments_of(table)

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Moves the rows by their gradients."""
        table, (beta1, beta2) = self.parameter, _BETAS
        rows, gradients = touched_rows(table)
        averages, squares = self.moments["exp_avg"], self.moments["exp_avg_sq"]
        self.steps += 1
        average = averages.index_select(0, rows).lerp_(gradients, 1 - beta1)
        square = squares.index_select(0, rows).mul_(beta2)
        square.addcmul_(gradients, gradients, value=1 - beta2)
        rate = learning_rate * math.sqrt(1 - beta2**self.steps) / (1 - beta1**self.steps)
        moved = table.index_select(0, rows)
        moved.addcdiv_(average, square.sqrt().add_(_EPS), value=-rate)
        for target, values in (table, moved), (averages, average), (squares, square):
            target.index_copy_(0, rows, values)


def _moments_of(parameter: nn.Parameter) -> dict[str, Tensor]:
    """Averages of a parameter's gradients and of their squares, before the first step."""
    return {name: torch.zeros_like(parameter.detach()) for name in ("exp_avg", "exp_avg_sq")}


def _first(joined: nn.Parameter, count: int) -> nn.Parameter:
    """A parameter of the memory of the first `count` numbers of another, and of its gradient."""
    assert joined.grad is not None
    first = nn.Parameter(joined.data[:count])
    first.grad = joined.grad[:count]
    return first


def touched_rows(table: Tensor) -> tuple[Tensor, Tensor]:
    """The rows with a gradient, (n,), each once, and their gradients (n, D).

    Of a dense gradient those that are not all zero. It is taken after the workers' gradients were
    added up, so all of them move the same rows.
    """
    gradient = table.grad
    assert gradient is not None
    if gradient.is_sparse:
        gradient = gradient.coalesce()
        return gradient.indices().squeeze(0), gradient.values()
    rows = gradient.any(dim=1).nonzero().squeeze(1)
    return rows, gradient.index_select(0, rows)


def learning_rate_at(
    step: int, num_steps: int, *, highest: float, warmup_steps: float, decay: str
) -> float:
    """The rate of a step: a linear rise to `highest`, then none, linear or cosine decay to 0.

    Args:
        step: from 0.
        num_steps: of the whole training.
    """
    if step < warmup_steps:
        return highest * (step + 1) / (warmup_steps + 1)
    done = (step - warmup_steps) / max(1.0, num_steps - warmup_steps)
    if decay == "linear":
        return highest * (1 - done)
    if decay == "cosine":
        return highest * 0.5 * (1 + math.cos(math.pi * done))
    return highest
