"""What the heads are made of: the types of what they exchange, and gradients that are added up."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

# What a head makes of vectors on one side: one tensor for each of its parts.
Encoded = tuple[Tensor, ...]

# Of the widest intermediate of a block, where nothing else is said: a core's second-level cache.
TILE_BYTES = 2**20

# Gradients of logits (N, P) → those of what was encoded of the users and of the items. It may be
# called once, and adds the gradients of the head's weights to their `grad`.
PullPairs = Callable[[Tensor], tuple[Encoded, Encoded]]


def outer(columns: Tensor, row: Tensor) -> Tensor:
    """(…) and (W,) → (…, W), each of the one times each of the other.

    As a product of matrices on a CPU: elementwise, over a last dimension this short, it took twice
    as long. A GPU has no such loop, and might round the product to tf32.
    """
    if columns.is_cuda:
        return columns.unsqueeze(-1) * row
    return columns.reshape(-1, 1).mm(row.unsqueeze(0)).view(*columns.shape, len(row))


def add_gradient(parameter: Tensor, gradient: Tensor) -> None:
    """Adds to the gradient of a parameter."""
    assert parameter.grad is not None
    parameter.grad.add_(gradient)


def add_product(parameter: Tensor, left: Tensor, right: Tensor) -> None:
    """Adds left @ right to the gradient of a parameter."""
    assert parameter.grad is not None
    if parameter.grad.dtype == left.dtype:
        parameter.grad.addmm_(left, right)
    else:
        parameter.grad.add_(left @ right)
