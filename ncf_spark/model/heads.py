"""GMF, MLP and NeuMF: how a user's and an item's vector become a logit (He et al. 2017).

Shapes: P positives, N negatives + 1, B users and I items of a block, F factors, E width of an MLP
embedding, D width of a vector (F, E or F + E), H width of the first hidden layer.

Each head works in two halves, so that what belongs to a user alone is computed once for the user
and not once for each pair: the first layer splits exactly, W·[u; i] = Wᵤ·u + Wᵢ·i.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

# What a head makes of vectors on one side: one tensor for each of its halves, so GMF and MLP have
# one and NeuMF has both.
Encoded = tuple[Tensor, ...]


class GMF(nn.Module):
    """Generalised matrix factorisation: h · (u ∘ i), eq. 8 and 9 of the paper.

    Args:
        factors: F, the width of the embeddings.
    """

    def __init__(self, factors: int) -> None:
        super().__init__()
        self.width = factors
        self.output = nn.Parameter(torch.empty(factors))

    def encode_users(self, users: Tensor) -> Encoded:
        """(…, F) → (…, F)."""
        return (users * self.output,)

    def encode_items(self, items: Tensor) -> Encoded:
        """(…, F) → (…, F)."""
        return (items,)

    def pairs(self, users: Encoded, items: Encoded) -> Tensor:
        """Encoded (P, F) and (P, N, F) → logits (P, N)."""
        return torch.bmm(items[0], users[0].unsqueeze(-1)).squeeze(-1)

    def block(self, users: Encoded, items: Encoded) -> Tensor:
        """Encoded (B, F) and (I, F) → logits (B, I)."""
        return users[0] @ items[0].T

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """LeCun uniform on the output weights."""
        lecun_uniform_(self.output, self.width, generator)


class MLP(nn.Module):
    """A ReLU tower over the user's and the item's embedding side by side, eq. 10 of the paper.

    Args:
        tower: widths: 2E, H, …, the last one being the number of predictive factors.
        dropout: share of each layer's outputs that is left out in training.
    """

    def __init__(self, tower: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.width = tower[0] // 2
        self.widest = max(tower[1:])
        self.first = nn.Linear(tower[0], tower[1])
        self.layers = nn.ModuleList(
            nn.Linear(inputs, outputs) for inputs, outputs in pairwise(tower[1:])
        )
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Parameter(torch.empty(tower[-1]))

    def encode_users(self, users: Tensor) -> Encoded:
        """(…, E) → (…, H): the user's half of the first layer, with its bias."""
        return (nn.functional.linear(users, self.first.weight[:, : self.width], self.first.bias),)

    def encode_items(self, items: Tensor) -> Encoded:
        """(…, E) → (…, H): the item's half of the first layer."""
        return (nn.functional.linear(items, self.first.weight[:, self.width :]),)

    def pairs(self, users: Encoded, items: Encoded) -> Tensor:
        """Encoded (P, H) and (P, N, H) → logits (P, N)."""
        return self._tower(users[0].unsqueeze(1) + items[0])

    def block(self, users: Encoded, items: Encoded) -> Tensor:
        """Encoded (B, H) and (I, H) → logits (B, I)."""
        return self._tower(users[0].unsqueeze(1) + items[0])

    def _tower(self, first: Tensor) -> Tensor:
        hidden = self.dropout(torch.relu(first))
        for layer in self.layers:
            hidden = self.dropout(torch.relu(layer(hidden)))
        return hidden @ self.output

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Glorot uniform on the tower, zero on its biases, LeCun uniform on the output weights."""
        for layer in (self.first, *self.layers):
            glorot_uniform_(layer.weight, generator)
            layer.bias.zero_()
        lecun_uniform_(self.output, self.output.numel(), generator)


class NeuMF(nn.Module):
    """GMF and MLP side by side on embeddings of their own, eq. 12 of the paper.

    The output layer over both halves is a sum of the halves' outputs.
    """

    def __init__(self, gmf: GMF, mlp: MLP) -> None:
        super().__init__()
        self.width = gmf.width + mlp.width
        self.gmf = gmf
        self.mlp = mlp

    def encode_users(self, users: Tensor) -> Encoded:
        """(…, F + E) → (…, F) and (…, H)."""
        gmf, mlp = users.split((self.gmf.width, self.mlp.width), dim=-1)
        return self.gmf.encode_users(gmf) + self.mlp.encode_users(mlp)

    def encode_items(self, items: Tensor) -> Encoded:
        """(…, F + E) → (…, F) and (…, H)."""
        gmf, mlp = items.split((self.gmf.width, self.mlp.width), dim=-1)
        return self.gmf.encode_items(gmf) + self.mlp.encode_items(mlp)

    def pairs(self, users: Encoded, items: Encoded) -> Tensor:
        """Encoded P users and P × N items → logits (P, N)."""
        return self.gmf.pairs(users[:1], items[:1]) + self.mlp.pairs(users[1:], items[1:])

    def block(self, users: Encoded, items: Encoded) -> Tensor:
        """Encoded B users and I items → logits (B, I)."""
        return self.gmf.block(users[:1], items[:1]) + self.mlp.block(users[1:], items[1:])

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """As each half; the output weights as one layer over both."""
        self.gmf.initialise(generator)
        self.mlp.initialise(generator)
        inputs = self.gmf.output.numel() + self.mlp.output.numel()
        lecun_uniform_(self.gmf.output, inputs, generator)
        lecun_uniform_(self.mlp.output, inputs, generator)


Head = GMF | MLP | NeuMF


def build_head(kind: str, factors: int, tower: Sequence[int], dropout: float) -> Head:
    """The head of a model kind: gmf, mlp or neumf."""
    if kind == "gmf":
        return GMF(factors)
    if kind == "mlp":
        return MLP(tower, dropout)
    return NeuMF(GMF(factors), MLP(tower, dropout))


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
