"""How the workers add up the gradients of what they share.

Shapes: n rows of a sparse gradient, D width of a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ncf_spark.training.communicator import Communicator

# Factor of gradients in float16, which holds 6e-8 to 65,504: those of a mean over many samples are
# small.
_HALF_SCALE = 2.0**10


def use_sparse_exchange(samples: int, num_items: int) -> bool:
    """Whether a step has so few samples that its items' rows cost less than the whole table.

    Measured with two workers (docs/experiments): at 0.04 to 0.13 samples an item rows took half the
    time, at 0.4 twice the time.

    Args:
        samples: of all workers.
    """
    return 4 * samples < num_items


def start_exchange(
    parameters: Sequence[nn.Parameter], communicator: Communicator, *, in_half: bool
) -> Callable[[], None]:
    """Starts to add up the gradients of the shared parameters over the workers.

    Dense gradients travel as one tensor, sparse ones as rows.

    Args:
        in_half: whether they travel in float16.

    Returns:
        Waits for the sums and sets them as the parameters' gradients.
    """
    if communicator.num_workers == 1:
        return lambda: None
    dense = [p for p in parameters if not _gradient(p).is_sparse]
    sent = _pack(torch.cat([_gradient(p).flatten() for p in dense]), in_half)
    wait = communicator.all_reduce_async(sent, "shared_gradients")

    def finish() -> None:
        wait()
        sums = _unpack(sent, in_half).split([p.numel() for p in dense])
        for parameter, gradient in zip(dense, sums, strict=True):
            parameter.grad = gradient.view_as(parameter)
        for parameter in parameters:
            if _gradient(parameter).is_sparse:
                parameter.grad = _gather_rows(_gradient(parameter), communicator, in_half)

    return finish


def _gather_rows(gradient: Tensor, communicator: Communicator, in_half: bool) -> Tensor:
    """The sparse gradients of all workers, one after the other."""
    rows = communicator.all_gather(gradient._indices().squeeze(0), "item_rows")
    values = communicator.all_gather(_pack(gradient._values(), in_half), "item_gradients")
    return torch.sparse_coo_tensor(
        rows.unsqueeze(0), _unpack(values, in_half), gradient.shape, check_invariants=False
    )


def _gradient(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def _pack(gradients: Tensor, in_half: bool) -> Tensor:
    return (gradients * _HALF_SCALE).half() if in_half else gradients


def _unpack(sums: Tensor, in_half: bool) -> Tensor:
    return sums.float().div_(_HALF_SCALE) if in_half else sums
