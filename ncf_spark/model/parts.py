"""What the heads are made of: the types of what they exchange, and gradients that are added up."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

# What a head makes of vectors on one side: one tensor for each of its parts.
Encoded = tuple[Tensor, ...]

# Gradients of logits (N, P) → those of what was encoded of the users and of the items. It may be
# called once, and adds the gradients of the head's weights to their `grad`.
PullPairs = Callable[[Tensor], tuple[Encoded, Encoded]]


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
