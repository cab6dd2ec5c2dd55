"""The hidden layers of the MLP over pairs: forward and backward by hand, in memory that is reused.

Measured beside autograd in docs/experiments/training_step.md.

Shapes: S pairs, H width of the first hidden layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ncf_spark.model.gradients import Gradients
from ncf_spark.model.tiles import Layer

# Gradients of logits (S,) → those of the first hidden layer before its activation (S, H). It adds
# the gradients of the weights to `Gradients`, and may be called once.
TowerBackward = Callable[[Tensor, Gradients], Tensor]

_FEW_OUTPUTS = 8


def run_tower(
    first: Tensor,
    layers: Sequence[Layer],
    output: Tensor,
    *,
    slope: float,
    dropout: Sequence[float],
) -> tuple[Tensor, TowerBackward]:
    """Logits (S,), and their backward pass.

    Args:
        first: (S, H) the first hidden layer before its activation; overwritten. The layers compute
            in its type; gradients of weights have the weights' own type.
        layers: the further ones.
        output: (width of the last layer,).
        slope: of the activation below 0; 0 is ReLU.
        dropout: share of each layer's outputs that is dropped, one a layer; 0 in evaluation.
    """
    hidden = [first]
    masks = [_drop_out(_activate(first, slope), dropout[0])]
    weights = [weight.to(first.dtype) for weight, _ in layers]
    for (_, bias), weight, share in zip(layers, weights, dropout[1:], strict=True):
        hidden.append(_activate(_layer(hidden[-1], weight, bias.to(first.dtype)), slope))
        masks.append(_drop_out(hidden[-1], share))
    last = output.to(first.dtype)

    def backward(grad: Tensor, gradients: Gradients) -> Tensor:
        grad = grad.to(first.dtype)
        gradients[output].add_(hidden[-1].T @ grad)
        # In the memory layout of the layer.
        grad_hidden = torch.empty_like(hidden[-1])
        torch.mul(grad.unsqueeze(1), last, out=grad_hidden)
        for depth in range(len(layers), -1, -1):
            if (mask := masks[depth]) is not None:
                grad_hidden.mul_(mask)
            _activation_backward(grad_hidden, hidden[depth], slope)
            if depth:
                weight, bias = layers[depth - 1]
                gradients[weight].add_(grad_hidden.T @ hidden[depth - 1])
                gradients[bias].add_(grad_hidden.sum(0))
                grad_hidden = grad_hidden @ weights[depth - 1]
        return grad_hidden

    return hidden[-1] @ last, backward


def _layer(rows: Tensor, weight: Tensor, biases: Tensor) -> Tensor:
    """(S, inputs) → (S, outputs), before the activation.

    Few outputs are stored features × pairs: filling short rows with the biases took longer than
    the product.
    """
    if len(weight) <= _FEW_OUTPUTS:
        return torch.addmm(biases.unsqueeze(1), weight, rows.T).T
    return torch.addmm(biases, rows, weight.T)


def _activate(hidden: Tensor, slope: float) -> Tensor:
    return torch.nn.functional.leaky_relu_(hidden, slope) if slope else hidden.relu_()


def _activation_backward(gradient: Tensor, hidden: Tensor, slope: float) -> None:
    """The gradient before an activation, in place, by the sign of the activation's output."""
    if slope:
        torch.ops.aten.leaky_relu_backward.grad_input(
            gradient, hidden, slope, True, grad_input=gradient
        )
    else:
        torch.ops.aten.threshold_backward.grad_input(gradient, hidden, 0, grad_input=gradient)


def _drop_out(hidden: Tensor, share: float) -> Tensor | None:
    """Dropout in place; the mask that it multiplied by."""
    if not share:
        return None
    if share == 1:
        mask = torch.zeros_like(hidden)
    else:
        mask = torch.empty_like(hidden).bernoulli_(1 - share).div_(1 - share)
    hidden.mul_(mask)
    return mask
