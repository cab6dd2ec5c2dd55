"""Adam, lazy Adam and SGD over a model's parameters, and the learning rate of each step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from ncf_spark.model.recommender import Recommender
from ncf_spark.training.gradients import Gradients


class Optimisers:
    """The optimisers of a worker's users and of what the workers have in common.

    These are apart since the users' gradients are known before those of the others are exchanged.

    Args:
        kind: adam; lazy_adam, which leaves the vectors and moments of users and items outside the
            batch as they are (Adam moves every row it has ever seen in every step, by what is left
            of its momentum); or sgd, without momentum.
    """

    def __init__(self, model: Recommender, gradients: Gradients, kind: str) -> None:
        users, items, joined = [model.user_vectors], [model.item_vectors], gradients.joined
        # The parameters whose moments stand side by side in those of one parameter.
        self._parts: dict[Tensor, Sequence[Tensor]] = {joined: gradients.shared}
        if kind == "sgd":
            self._of_users: list[Optimizer] = [SGD(users, lr=0.0)]
            self._of_shared: list[Optimizer] = [SGD([joined], lr=0.0)]
        elif kind == "adam":
            self._of_users, self._of_shared = [_adam(users)], [_adam([joined])]
        else:
            others = [p for p in gradients.shared if p is not model.item_vectors]
            first = _first(joined, sum(p.numel() for p in others))
            self._parts = {first: others}
            self._of_users, self._of_shared = [LazyAdam(users)], [LazyAdam(items), _adam([first])]

    def step_users(self, learning_rate: float) -> None:
        """Moves the users' vectors by their gradients, which stay as they are."""
        _step(self._of_users, learning_rate)

    def step_shared(self, learning_rate: float) -> None:
        """The same of what the workers have in common."""
        _step(self._of_shared, learning_rate)

    @property
    def _all(self) -> list[Optimizer]:
        return [*self._of_users, *self._of_shared]

    def state(self) -> tuple[int, dict[Tensor, dict[str, Tensor]]]:
        """Steps taken, and the moments of each parameter of the model by name; none for SGD."""
        found = [(p, s) for o in self._all for p, s in o.state.items() if "step" in s]
        steps = int(found[0][1]["step"]) if found else 0
        moments: dict[Tensor, dict[str, Tensor]] = {}
        for parameter, of_parameter in found:
            parts = self._parts.get(parameter, [parameter])
            for name in of_parameter.keys() - {"step"}:
                values = of_parameter[name].flatten().split([p.numel() for p in parts])
                for part, value in zip(parts, values, strict=True):
                    moments.setdefault(part, {})[name] = value.view_as(part)
        return steps, moments

    def restore(self, steps: int, moments: Mapping[Tensor, Mapping[str, Tensor]]) -> None:
        """Takes over what `state` gave, for the same kind of optimiser."""
        for optimiser in self._all:
            for group in optimiser.param_groups:
                for parameter in group["params"]:
                    parts = self._parts.get(parameter, [parameter])
                    if parts[0] in moments:
                        step = torch.tensor(float(steps), device=parameter.device)
                        optimiser.state[parameter] = {
                            "step": steps if isinstance(optimiser, LazyAdam) else step,
                            **_side_by_side([moments[part] for part in parts], parameter),
                        }


def _first(joined: nn.Parameter, count: int) -> nn.Parameter:
    """A parameter of the memory of the first `count` numbers of another, and of its gradient."""
    assert joined.grad is not None
    first = nn.Parameter(joined.data[:count])
    first.grad = joined.grad[:count]
    return first


def _side_by_side(parts: list[Mapping[str, Tensor]], like: Tensor) -> dict[str, Tensor]:
    """The moments of several parameters as those of one."""
    return {
        name: torch.cat([part[name].flatten() for part in parts]).view_as(like) for name in parts[0]
    }


class LazyAdam(Optimizer):
    """Adam on the rows that have a gradient, and on no others.

    What a step takes does not depend on the size of the tables. torch's own SparseAdam does the
    same for sparse gradients; this takes dense ones too, and half its time.

    Args:
        tables: (rows, D) each.
    """

    def __init__(
        self, tables: Iterable[Tensor], betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        super().__init__(tables, {"lr": 0.0, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Moves the rows by their gradients."""
        for group in self.param_groups:
            for table in group["params"]:
                self._move(table, group)

    def _move(self, table: Tensor, group: Mapping[str, Any]) -> None:
        rows, gradients = touched_rows(table)
        if table not in self.state:
            zeros = {name: torch.zeros_like(table) for name in ("exp_avg", "exp_avg_sq")}
            self.state[table] = {"step": 0, **zeros}
        state, (beta1, beta2) = self.state[table], group["betas"]
        state["step"] += 1
        average = state["exp_avg"].index_select(0, rows).lerp_(gradients, 1 - beta1)
        square = state["exp_avg_sq"].index_select(0, rows).mul_(beta2)
        square.addcmul_(gradients, gradients, value=1 - beta2)
        rate = group["lr"] * math.sqrt(1 - beta2 ** state["step"]) / (1 - beta1 ** state["step"])
        moved = table.index_select(0, rows)
        moved.addcdiv_(average, square.sqrt().add_(group["eps"]), value=-rate)
        targets = (table, moved), (state["exp_avg"], average), (state["exp_avg_sq"], square)
        for target, values in targets:
            target.index_copy_(0, rows, values)


def _step(optimisers: Iterable[Optimizer], learning_rate: float) -> None:
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate
        optimiser.step()


def _adam(parameters: Iterable[nn.Parameter]) -> Adam:
    """Adam in one pass over the memory where torch has it for every device (from 2.4)."""
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    return Adam(parameters, lr=0.0, fused=version >= (2, 4))


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
