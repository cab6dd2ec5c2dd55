"""Adam, lazy Adam and SGD over a model's parameters, and the learning rate of each step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer, SparseAdam

from ncf_spark.model.recommender import Recommender


class Optimisers:
    """One optimiser for everything, or two where the rows of a batch are treated apart.

    Args:
        kind: adam; lazy_adam, which leaves the vectors and moments of users and items outside the
            batch as they are (Adam moves every row it has ever seen in every step, by what is left
            of its momentum); or sgd, without momentum.
    """

    def __init__(self, model: Recommender, kind: str) -> None:
        self._lazy = [model.user_vectors, model.item_vectors] if kind == "lazy_adam" else []
        self._all: list[Optimizer] = []
        if kind == "sgd":
            self._all = [SGD(model.parameters(), lr=0.0)]
        elif kind == "adam":
            self._all = [_adam(model.parameters())]
        else:
            rows = {id(p) for p in self._lazy}
            others = [p for p in model.parameters() if id(p) not in rows]
            self._all = [SparseAdam(self._lazy, lr=1.0), _adam(others)]

    def step(self, learning_rate: float) -> None:
        """Moves the parameters by their gradients, which stay as they are."""
        dense = [p.grad for p in self._lazy]
        for parameter in self._lazy:
            parameter.grad = touched_rows(parameter)
        for optimiser in self._all:
            for group in optimiser.param_groups:
                group["lr"] = learning_rate
            optimiser.step()
        for parameter, gradient in zip(self._lazy, dense, strict=True):
            parameter.grad = gradient

    def state(self) -> tuple[int, dict[Tensor, dict[str, Tensor]]]:
        """Steps taken, and each parameter's moments by name; none for SGD."""
        found = [(p, s) for o in self._all for p, s in o.state.items() if "step" in s]
        steps = int(found[0][1]["step"]) if found else 0
        return steps, {p: {n: v for n, v in s.items() if n != "step"} for p, s in found}

    def restore(self, steps: int, moments: Mapping[Tensor, Mapping[str, Tensor]]) -> None:
        """Takes over what `state` gave, for the same kind of optimiser."""
        for optimiser in self._all:
            for group in optimiser.param_groups:
                for parameter in group["params"]:
                    if parameter in moments:
                        step = (
                            steps
                            if isinstance(optimiser, SparseAdam)
                            else _counter(parameter, steps)
                        )
                        optimiser.state[parameter] = {"step": step, **moments[parameter]}


def _counter(parameter: Tensor, steps: int) -> Tensor:
    """Adam's own count of its steps; a fused one keeps it beside the parameter."""
    return torch.tensor(float(steps), device=parameter.device)


def _adam(parameters: Iterable[nn.Parameter]) -> Adam:
    """Adam in one pass over the memory where torch has it for every device (from 2.4)."""
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    return Adam(parameters, lr=0.0, fused=version >= (2, 4))


def touched_rows(parameter: nn.Parameter) -> Tensor:
    """The gradient as a sparse tensor of the rows that are not all zero, which the batch touched.

    It is taken after the workers' gradients were added up, so all of them move the same rows.
    """
    assert parameter.grad is not None
    gradient = parameter.grad
    return gradient.coalesce() if gradient.is_sparse else gradient.to_sparse(1)


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
