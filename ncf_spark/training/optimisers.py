"""The optimisers of a model by `training.optimiser`, and the learning rate of each step."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

# Of Adam: the running averages of a parameter's gradients and of their squares.
MOMENTS = ("exp_avg", "exp_avg_sq")

# torch's Adam in one pass over the memory exists on every device since 2.4.
_HAS_FUSED_ON_CPU = tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (2, 4)


def build_optimisers(parameters: Sequence[nn.Parameter], kind: str) -> list[Optimizer]:
    """The optimisers that move the parameters of a model.

    Args:
        parameters: the vectors of users and of items, and all others as one.
        kind: adam; lazy_adam, for the vectors, and Adam for the others; or sgd, without momentum.
    """
    if kind == "sgd":
        return [SGD(parameters, lr=0.0)]
    tables, others = (parameters[:2], parameters[2:]) if kind == "lazy_adam" else ([], parameters)
    adam = Adam(others, fused=parameters[0].is_cuda or _HAS_FUSED_ON_CPU)
    return [LazyAdam(tables), adam] if tables else [adam]


class LazyAdam(Optimizer):
    """Adam (Kingma and Ba 2015) on the rows that have a gradient; others stay as they are.

    Adam moves every row that it has ever seen in every step, by its momentum. Here the time of a
    step does not depend on the number of rows. torch's `SparseAdam` computes the same from sparse
    gradients, in twice the time, and takes no dense ones.

    Args:
        tables: each (rows, D), with a sparse or a dense gradient.
    """

    def __init__(self, tables: Iterable[nn.Parameter], lr: float = 1e-3) -> None:
        super().__init__(tables, {"lr": lr, "betas": (0.9, 0.999), "eps": 1e-8})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Moves the rows by their gradients."""
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for table in group["params"]:
                state = self.state[table]
                if not state:
                    state |= {m: torch.zeros_like(table) for m in MOMENTS}
                    state["step"] = torch.zeros((), device=table.device)
                state["step"] += 1
                steps = int(state["step"])
                rows, gradients = touched_rows(table)
                average = state["exp_avg"].index_select(0, rows).lerp_(gradients, 1 - beta1)
                square = state["exp_avg_sq"].index_select(0, rows).mul_(beta2)
                square.addcmul_(gradients, gradients, value=1 - beta2)
                rate = group["lr"] * math.sqrt(1 - beta2**steps) / (1 - beta1**steps)
                moved = table.index_select(0, rows)
                moved.addcdiv_(average, square.sqrt().add_(group["eps"]), value=-rate)
                table.index_copy_(0, rows, moved)
                state["exp_avg"].index_copy_(0, rows, average)
                state["exp_avg_sq"].index_copy_(0, rows, square)


def touched_rows(table: Tensor) -> tuple[Tensor, Tensor]:
    """The rows with a gradient, (n,), each once, and their gradients (n, D).

    Of a dense gradient those that are not all zero. The gradients were added up over the workers
    before, so all workers move the same rows.
    """
    gradient = table.grad
    assert gradient is not None
    if gradient.is_sparse:
        gradient = gradient.coalesce()
        return gradient.indices().squeeze(0), gradient.values()
    rows = gradient.any(dim=1).nonzero().squeeze(1)
    return rows, gradient.index_select(0, rows)


# By optimised parameter, the parameters of the model that it consists of, by name.
Parts = Mapping[Tensor, Mapping[str, Tensor]]


def moments_of(
    optimisers: Sequence[Optimizer], parts: Parts
) -> tuple[int, dict[str, dict[str, Tensor]]]:
    """Steps taken, and by moment its values for each parameter by name; 0 and none for SGD."""
    steps, moments = 0, defaultdict[str, dict[str, Tensor]](dict)
    for optimiser in optimisers:
        for parameter, state in optimiser.state.items():
            steps = int(state["step"])
            named = parts[parameter]
            for moment in MOMENTS:
                values = state[moment].flatten().split([p.numel() for p in named.values()])
                for (name, part), value in zip(named.items(), values, strict=True):
                    moments[moment][name] = value.view(part.shape)
    return steps, moments


def load_moments(
    optimisers: Sequence[Optimizer],
    parts: Parts,
    steps: int,
    moments: Mapping[str, Mapping[str, Tensor]],
) -> None:
    """Restores what `moments_of` returned, for the same kind of optimiser."""
    for optimiser in optimisers:
        for parameter in optimiser.param_groups[0]["params"] if moments else ():
            optimiser.state[parameter] = {
                "step": torch.tensor(float(steps), device=parameter.device),
                **{
                    moment: torch.cat(
                        [moments[moment][name].flatten() for name in parts[parameter]]
                    ).view(parameter.shape)
                    for moment in MOMENTS
                },
            }


def set_learning_rate(optimisers: Sequence[Optimizer], rate: float) -> None:
    """Sets the rate of the next step."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = rate


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
