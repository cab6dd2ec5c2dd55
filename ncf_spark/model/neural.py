"""MLP and NeuMF: logits from a tower of layers over pairs. Shapes as in `heads.py`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ncf_spark.model.factorisation import GMF
from ncf_spark.model.gradients import Encoded, Gradients, PairsBackward
from ncf_spark.model.initialisers import glorot_uniform_, initialise_output_
from ncf_spark.model.tiles import TILE_BYTES, Layer, add_tower
from ncf_spark.model.tower import run_tower

# Of each activation, its slope below 0.
SLOPES = {"relu": 0.0, "leaky_relu": 0.01}


class MLP(nn.Module):
    """A tower over the concatenated embeddings of user and item, eq. 10 of the paper.

    Args:
        tower: 2E, H, …; the last one is the number of predictive factors.
        dropout: of each layer's outputs in training, one number a layer.
        activation: relu or leaky_relu.
    """

    def __init__(
        self, tower: Sequence[int], dropout: Sequence[float], activation: str = "relu"
    ) -> None:
        super().__init__()
        self.width = tower[0] // 2
        self.widest = max(tower[1:])
        self.first = nn.Linear(tower[0], tower[1])
        self.layers = nn.ModuleList(
            nn.Linear(inputs, outputs) for inputs, outputs in pairwise(tower[1:])
        )
        self.dropout = list(dropout)
        self.slope = SLOPES[activation]
        self.output = nn.Parameter(torch.empty(tower[-1]))
        # Of the tower in training; scores are always computed in float32.
        self.training_dtype = torch.float32

    def encode_users(self, users: Tensor) -> Encoded:
        """(…, E) → (…, H): the user's half of the first layer, with its bias."""
        return (nn.functional.linear(users, self.first.weight[:, : self.width], self.first.bias),)

    def encode_items(self, items: Tensor) -> Encoded:
        """(…, E) → (…, H): the item's half of the first layer."""
        return (nn.functional.linear(items, self.first.weight[:, self.width :]),)

    def item_directions(self, items: Tensor) -> Tensor:
        """(…, E) → (…, E): what makes two items alike."""
        return items

    def users_backward(self, users: Tensor, grad: Encoded, gradients: Gradients) -> Tensor:
        """Gradients of P encoded users → of their vectors (P, E), and of the layer's half."""
        gradients[self.first.bias].add_(grad[0].sum(dim=0))
        return self._half_backward(users, grad, slice(None, self.width), gradients)

    def items_backward(self, items: Tensor, grad: Encoded, gradients: Gradients) -> Tensor:
        """Gradients of encoded items → of their vectors (…, E), and of the layer's half."""
        return self._half_backward(items, grad, slice(self.width, None), gradients)

    def _half_backward(
        self, vectors: Tensor, grad: Encoded, half: slice, gradients: Gradients
    ) -> Tensor:
        rows = grad[0].flatten(0, -2)
        gradients[self.first.weight][:, half].addmm_(rows.T, vectors.flatten(0, -2))
        return (rows @ self.first.weight[:, half]).view(vectors.shape)

    def pairs(self, users: Encoded, items: Encoded) -> tuple[Tensor, PairsBackward]:
        """Encoded (P, H) and (N, P, H), which is overwritten → logits (N, P), and their backward.

        In training with dropout, and computed in `training_dtype`.
        """
        first = items[0].add_(users[0])
        dtype = self.training_dtype if self.training else first.dtype
        logits, tower_backward = run_tower(
            first.flatten(0, 1).to(dtype),
            self.further(),
            self.output,
            slope=self.slope,
            dropout=self.dropout if self.training else [0.0] * len(self.dropout),
        )

        def backward(grad: Tensor, gradients: Gradients) -> tuple[Encoded, Encoded]:
            grad_first = tower_backward(grad.flatten(), gradients).float().view(first.shape)
            return (grad_first.sum(dim=0),), (grad_first,)

        return logits.view(first.shape[:2]).float(), backward

    def block(self, users: Encoded, items: Encoded, tile_bytes: int = TILE_BYTES["cpu"]) -> Tensor:
        """Encoded (B, H) and (I, H) → logits (B, I)."""
        logits = users[0].new_zeros(len(users[0]), len(items[0]))
        self.add_block(logits, users, items, tile_bytes)
        return logits

    def add_block(self, logits: Tensor, users: Encoded, items: Encoded, tile_bytes: int) -> None:
        """Adds to (B, I), contiguous. No dropout, whatever the mode."""
        layers, slope = self.further(), self.slope
        sides = users[0], items[0]
        add_tower(logits, *sides, layers, self.output, slope=slope, tile_bytes=tile_bytes)

    def further(self) -> list[Layer]:
        """Weight and bias of each layer after the first."""
        layers = [layer for layer in self.layers if isinstance(layer, nn.Linear)]
        return [(layer.weight, layer.bias) for layer in layers]

    @torch.no_grad()
    def initialise(self, generator: torch.Generator, output_init: str) -> None:
        """Glorot uniform on the tower, zero on its biases, and the output weights."""
        for layer in (self.first, *self.layers):
            glorot_uniform_(layer.weight, generator)
            layer.bias.zero_()
        initialise_output_(self.output, self.output.numel(), generator, output_init)

    def initialise_vectors(self, vectors: Tensor) -> None:
        """No-op."""


class NeuMF(nn.Module):
    """GMF and MLP, each on its own embeddings, eq. 12 of the paper.

    The output layer over both halves is a sum of the halves' outputs.
    """

    def __init__(self, gmf: GMF, mlp: MLP) -> None:
        super().__init__()
        self.width = gmf.width + mlp.width
        self.widest = max(gmf.widest, mlp.widest)
        self.gmf = gmf
        self.mlp = mlp

    def _split(self, vectors: Tensor) -> tuple[Tensor, ...]:
        """(…, F + E) → (…, F) and (…, E)."""
        return vectors.split((self.gmf.width, self.mlp.width), dim=-1)

    def encode_users(self, users: Tensor) -> Encoded:
        """(…, F + E) → (…, F) and (…, H)."""
        gmf, mlp = self._split(users)
        return self.gmf.encode_users(gmf) + self.mlp.encode_users(mlp)

    def encode_items(self, items: Tensor) -> Encoded:
        """(…, F + E) → (…, F) and (…, H)."""
        gmf, mlp = self._split(items)
        return self.gmf.encode_items(gmf) + self.mlp.encode_items(mlp)

    def item_directions(self, items: Tensor) -> Tensor:
        """(…, F + E) → (…, F + E): what makes two items alike."""
        return items

    def users_backward(self, users: Tensor, grad: Encoded, gradients: Gradients) -> Tensor:
        """Gradients of P encoded users → of their vectors (P, F + E)."""
        gmf, mlp = self._split(users)
        grad_gmf = self.gmf.users_backward(gmf, grad[:1], gradients)
        return torch.cat([grad_gmf, self.mlp.users_backward(mlp, grad[1:], gradients)], dim=-1)

    def items_backward(self, items: Tensor, grad: Encoded, gradients: Gradients) -> Tensor:
        """Gradients of encoded items → of their vectors (…, F + E)."""
        gmf, mlp = self._split(items)
        grad_gmf = self.gmf.items_backward(gmf, grad[:1], gradients)
        return torch.cat([grad_gmf, self.mlp.items_backward(mlp, grad[1:], gradients)], dim=-1)

    def pairs(self, users: Encoded, items: Encoded) -> tuple[Tensor, PairsBackward]:
        """Encoded P users and N × P items → logits (N, P), and their backward pass."""
        gmf_logits, gmf_backward = self.gmf.pairs(users[:1], items[:1])
        mlp_logits, mlp_backward = self.mlp.pairs(users[1:], items[1:])

        def backward(grad: Tensor, gradients: Gradients) -> tuple[Encoded, Encoded]:
            gmf_users, gmf_items = gmf_backward(grad, gradients)
            mlp_users, mlp_items = mlp_backward(grad, gradients)
            return gmf_users + mlp_users, gmf_items + mlp_items

        return gmf_logits.add_(mlp_logits), backward

    def block(self, users: Encoded, items: Encoded, tile_bytes: int = TILE_BYTES["cpu"]) -> Tensor:
        """Encoded B users and I items → logits (B, I)."""
        logits = self.gmf.block(users[:1], items[:1])
        self.mlp.add_block(logits, users[1:], items[1:], tile_bytes)
        return logits

    @torch.no_grad()
    def initialise(self, generator: torch.Generator, output_init: str) -> None:
        """As each half; the output weights as one layer over both."""
        self.gmf.initialise(generator, output_init)
        self.mlp.initialise(generator, output_init)
        inputs = self.gmf.output.numel() + self.mlp.output.numel()
        self.gmf.initialise_output(inputs, generator, output_init)
        initialise_output_(self.mlp.output, inputs, generator, output_init)

    def initialise_vectors(self, vectors: Tensor) -> None:
        """No-op."""

    @torch.no_grad()
    def join(self, gmf: GMF, mlp: MLP, alpha: float) -> None:
        """Sets the weights from two trained halves (He et al. 2017, section 3.4.1, eq. 13).

        Args:
            alpha: weight of GMF's output layer; MLP's has the rest.
        """
        self.mlp.load_state_dict(mlp.state_dict())
        self.gmf.output.copy_(alpha * gmf.output)
        self.mlp.output.copy_((1 - alpha) * mlp.output)
