"""The tower over pairs as one node of autograd, in memory that is used again.

Built of torch's own layers, autograd keeps two tensors for each layer, fills a new one for each
gradient, and reads each of them from memory: that took half as long again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Tower(torch.autograd.Function):
    """Hidden layers over sums of an encoded user and an encoded item, then the output layer.

    Shapes: S pairs in any number of dimensions, H width of the first layer.
    """

    @staticmethod
    def forward(
        ctx: Any,
        users: Tensor,
        items: Tensor,
        slope: float,
        dropout: Sequence[float],
        output: Tensor,
        *layers: Tensor,
    ) -> Tensor:
        """Logits (S,).

        Args:
            users: broadcast with items to (S, H): what the first layer makes of them.
            items: the same.
            slope: of the activation below 0; 0 is ReLU.
            dropout: share of each layer's outputs that is left out, one a layer; 0 when judging.
            output: (width of the last layer,).
            layers: weight (outputs, inputs) and bias (outputs,) of each further layer.
        """
        first = users + items
        hidden = [first.flatten(0, -2)]
        masks = [_leave_out(_activate(hidden[0], slope), dropout[0])]
        for weight, bias, share in zip(layers[::2], layers[1::2], dropout[1:], strict=True):
            hidden.append(_activate(torch.addmm(bias, hidden[-1], weight.T), slope))
            masks.append(_leave_out(hidden[-1], share))
        ctx.save_for_backward(output, *layers, *hidden)
        ctx.masks, ctx.slope = masks, slope
        ctx.shapes = users.shape, items.shape, first.shape
        return (hidden[-1] @ output).view(first.shape[:-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of users, items, output and layers."""
        output, *saved = ctx.saved_tensors
        depth = len(ctx.masks)
        layers, hidden = saved[: 2 * (depth - 1)], saved[2 * (depth - 1) :]
        of_logits = gradients[0].flatten()
        of_output = hidden[-1].T @ of_logits
        of_hidden = of_logits.unsqueeze(1) * output
        of_layers: list[Tensor] = []
        for place in range(depth - 1, -1, -1):
            if ctx.masks[place] is not None:
                of_hidden.mul_(ctx.masks[place])
            _deactivate(of_hidden, hidden[place], ctx.slope)
            if place:
                weight = layers[2 * (place - 1)]
                of_layers = [of_hidden.T @ hidden[place - 1], of_hidden.sum(0), *of_layers]
                of_hidden = of_hidden @ weight
        users, items, first = ctx.shapes
        of_hidden = of_hidden.view(first)
        sides = of_hidden.sum_to_size(users), of_hidden.sum_to_size(items)
        return (*sides, None, None, of_output, *of_layers)


def _activate(hidden: Tensor, slope: float) -> Tensor:
    return torch.nn.functional.leaky_relu_(hidden, slope) if slope else hidden.relu_()


def _deactivate(gradient: Tensor, hidden: Tensor, slope: float) -> None:
    """The gradient before an activation, in place, by the sign of what came out of it."""
    if slope:
        torch.ops.aten.leaky_relu_backward.grad_input(
            gradient, hidden, slope, True, grad_input=gradient
        )
    else:
        torch.ops.aten.threshold_backward.grad_input(gradient, hidden, 0, grad_input=gradient)


def _leave_out(hidden: Tensor, share: float) -> Tensor | None:
    """Dropout in place; what it multiplied by."""
    if not share:
        return None
    if share == 1:
        mask = torch.zeros_like(hidden)
    else:
        mask = torch.empty_like(hidden).bernoulli_(1 - share).div_(1 - share)
    hidden.mul_(mask)
    return mask
