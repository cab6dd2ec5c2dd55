"""Initial values of weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


@torch.no_grad()
def initialise_output_(
    weight: Tensor, inputs: int, generator: torch.Generator, output_init: str
) -> None:
    """Fills an output layer: normal (deviation 0.01, as in the paper) or lecun_uniform."""
    if output_init == "normal":
        weight.copy_(torch.randn(tuple(weight.shape), generator=generator) * 0.01)
    else:
        lecun_uniform_(weight, inputs, generator)


def lecun_uniform_(weight: Tensor, inputs: int, generator: torch.Generator) -> None:
    """Fills with U(-√(3 / inputs), √(3 / inputs)) (LeCun et al. 1998)."""
    bound = math.sqrt(3.0 / inputs)
    weight.copy_(_uniform(weight.shape, bound, generator))


def glorot_uniform_(weight: Tensor, generator: torch.Generator) -> None:
    """Fills (outputs, inputs) with U(±√(6 / (inputs + outputs))) (Glorot and Bengio 2010)."""
    outputs, inputs = weight.shape
    weight.copy_(_uniform(weight.shape, math.sqrt(6.0 / (inputs + outputs)), generator))


def _uniform(shape: Sequence[int], bound: float, generator: torch.Generator) -> Tensor:
    # Drawn on the CPU, so that a seed means the same weights on every device.
    return (torch.rand(tuple(shape), generator=generator) * 2 - 1) * bound
