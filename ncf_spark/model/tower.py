"""The hidden layers of the MLP over pairs, forwards and backwards, in memory that is used again.

Built of torch's own layers, autograd keeps two tensors for each layer, fills a new one for each
gradient, and reads each of them from memory: that took half as long again.

Shapes: S pairs, H width of the first hidden layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ncf_spark.model.parts import add_gradient, add_product

# Gradients of logits (S,) → those of the first hidden layer before its activation, (S, H).
PullTower = Callable[[Tensor], Tensor]

_FEW_OUTPUTS = 8


def run_tower(
    first: Tensor,
    layers: Sequence[nn.Linear],
    output: nn.Parameter,
    *,
    slope: float,
    dropout: Sequence[float],
) -> tuple[Tensor, PullTower]:
    """Logits (S,), and the way back, which may be taken once.

    Args:
        first: (S, H) the first hidden layer before its activation; overwritten. The layers compute
            in its type.
        layers: the further ones.
        output: (width of the last layer,).
        slope: of the activation below 0; 0 is ReLU.
        dropout: share of each layer's outputs that is left out, one a layer; 0 when judging.

    Returns:
        The way back adds the gradients of the weights to their `grad`.
    """
    hidden = [first]
    masks = [_leave_out(_activate(first, slope), dropout[0])]
    weights = [layer.weight.to(first.dtype) for layer in layers]
    for layer, weight, share in zip(layers, weights, dropout[1:], strict=True):
        outputs = _layer(hidden[-1], weight, layer.bias.to(first.dtype))
        hidden.append(_activate(outputs, slope))
        masks.append(_leave_out(hidden[-1], share))
    last = output.to(first.dtype)

    def pull(of_logits: Tensor) -> Tensor:
        of_logits = of_logits.to(first.dtype)
        add_gradient(output, hidden[-1].T @ of_logits)
        # Laid out as the layer is.
        of_hidden = torch.empty_like(hidden[-1])
        torch.mul(of_logits.unsqueeze(1), last, out=of_hidden)
        for place in range(len(layers), -1, -1):
            if (mask := masks[place]) is not None:
                of_hidden.mul_(mask)
            _deactivate(of_hidden, hidden[place], slope)
            if place:
                add_product(layers[place - 1].weight, of_hidden.T, hidden[place - 1])
                add_gradient(layers[place - 1].bias, of_hidden.sum(0))
                of_hidden = of_hidden @ weights[place - 1]
        return of_hidden

    return hidden[-1] @ last, pull


def _layer(rows: Tensor, weight: Tensor, biases: Tensor) -> Tensor:
    """(S, inputs) → (S, outputs), before the activation.

    Few outputs stand features × pairs in memory: filling short rows with the biases took longer
    than the product.
    """
    if len(weight) <= _FEW_OUTPUTS:
        return torch.addmm(biases.unsqueeze(1), weight, rows.T).T
    return torch.addmm(biases, rows, weight.T)


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
