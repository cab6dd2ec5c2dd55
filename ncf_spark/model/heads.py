"""MF, GMF, MLP and NeuMF: how a user's and an item's vector become a logit (He et al. 2017).

Shapes: P positives, N negatives + 1, B users and I items of a block, F factors, E width of an MLP
embedding, D width of a vector (F + 1, F, E or F + E), H width of the first hidden layer.

Each head works in two halves, so that what belongs to a user alone is computed once for the user
and not once for each pair: the first layer splits exactly, W·[u; i] = Wᵤ·u + Wᵢ·i.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ncf_spark.model.tower import Tower

# What a head makes of vectors on one side: one tensor for each of its parts.
Encoded = tuple[Tensor, ...]

# Of the activations below 0.
SLOPES = {"relu": 0.0, "leaky_relu": 0.01}


def dot(users: Tensor, items: Tensor) -> Tensor:
    """(P, F) and (P, N, F) → (P, N). A batched matrix product took ten times as long on a CPU."""
    return (items * users.unsqueeze(1)).sum(dim=-1)


class MF(nn.Module):
    """Matrix factorisation with biases: s(u, i) / temperature + bᵤ + bᵢ (Koren et al. 2009, eq. 4).

    The bias stands at the end of each vector, so a vector has F + 1 numbers.

    Args:
        factors: F.
        cosine: s is the cosine of the factors; otherwise their dot product.
        temperature: what the similarity is divided by.
    """

    def __init__(self, factors: int, cosine: bool = False, temperature: float = 1.0) -> None:
        super().__init__()
        self.factors = factors
        self.width = self.widest = factors + 1
        self.cosine = cosine
        self.temperature = temperature

    def encode_users(self, users: Tensor) -> Encoded:
        """(…, F + 1) → factors (…, F), scaled, and biases (…,)."""
        return self.item_directions(users) / self.temperature, users[..., -1]

    def encode_items(self, items: Tensor) -> Encoded:
        """(…, F + 1) → factors (…, F) and biases (…,)."""
        return self.item_directions(items), items[..., -1]

    def item_directions(self, items: Tensor) -> Tensor:
        """(…, F + 1) → (…, F): what makes two items alike, without the bias."""
        factors = items[..., : self.factors]
        return nn.functional.normalize(factors, dim=-1) if self.cosine else factors

    def pairs(self, users: Encoded, items: Encoded) -> Tensor:
        """Encoded P users and P × N items → logits (P, N)."""
        return dot(users[0], items[0]) + users[1].unsqueeze(-1) + items[1]

    def block(self, users: Encoded, items: Encoded) -> Tensor:
        """Encoded B users and I items → logits (B, I)."""
        return users[0] @ items[0].T + users[1].unsqueeze(-1) + items[1]

    def initialise(self, generator: torch.Generator, output_init: str) -> None:
        """There is no output layer to fill."""

    @torch.no_grad()
    def initialise_vectors(self, vectors: Tensor) -> None:
        """Biases start at 0."""
        vectors[:, -1] = 0.0

    @torch.no_grad()
    def clamp_non_negative(self, vectors: Tensor) -> None:
        """Raises negative factors to 0; a bias may be negative."""
        vectors[:, : self.factors].clamp_(min=0.0)


class GMF(nn.Module):
    """Generalised matrix factorisation: h · (u ∘ i), eq. 8 and 9 of the paper.

    Args:
        factors: F, the width of the embeddings.
        learned: whether h is learned. If not, it is a vector of ones and GMF is plain matrix
            factorisation (section 3.2 of the paper). A learned h can grow as the embeddings shrink,
            which makes L2 on the embeddings void.
    """

    def __init__(self, factors: int, learned: bool = True) -> None:
        super().__init__()
        self.width = self.widest = factors
        self.output = nn.Parameter(torch.empty(factors), requires_grad=learned)

    def encode_users(self, users: Tensor) -> Encoded:
        """(…, F) → (…, F)."""
        return (users * self.output,)

    def encode_items(self, items: Tensor) -> Encoded:
        """(…, F) → (…, F)."""
        return (items,)

    def item_directions(self, items: Tensor) -> Tensor:
        """(…, F) → (…, F): what makes two items alike."""
        return items

    def pairs(self, users: Encoded, items: Encoded) -> Tensor:
        """Encoded (P, F) and (P, N, F) → logits (P, N)."""
        return dot(users[0], items[0])

    def block(self, users: Encoded, items: Encoded) -> Tensor:
        """Encoded (B, F) and (I, F) → logits (B, I)."""
        return users[0] @ items[0].T

    @torch.no_grad()
    def initialise(self, generator: torch.Generator, output_init: str) -> None:
        """The output weights h."""
        self.initialise_output(self.width, generator, output_init)

    @torch.no_grad()
    def initialise_output(self, inputs: int, generator: torch.Generator, output_init: str) -> None:
        """The output weights as part of an output layer over `inputs` numbers."""
        if self.output.requires_grad:
            initialise_output_(self.output, inputs, generator, output_init)
        else:
            self.output.fill_(1.0)

    def initialise_vectors(self, vectors: Tensor) -> None:
        """Nothing but the embedding's own initialiser."""

    @torch.no_grad()
    def clamp_non_negative(self, vectors: Tensor) -> None:
        """Raises negative factors to 0, and negative output weights with them."""
        vectors.clamp_(min=0.0)
        self.output.clamp_(min=0.0)


class MLP(nn.Module):
    """A tower over the user's and the item's embedding side by side, eq. 10 of the paper.

    Args:
        tower: widths: 2E, H, …, the last one being the number of predictive factors.
        dropout: share of each layer's outputs that is left out in training, one a layer.
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

    def encode_users(self, users: Tensor) -> Encoded:
        """(…, E) → (…, H): the user's half of the first layer, with its bias."""
        return (nn.functional.linear(users, self.first.weight[:, : self.width], self.first.bias),)

    def encode_items(self, items: Tensor) -> Encoded:
        """(…, E) → (…, H): the item's half of the first layer."""
        return (nn.functional.linear(items, self.first.weight[:, self.width :]),)

    def item_directions(self, items: Tensor) -> Tensor:
        """(…, E) → (…, E): what makes two items alike."""
        return items

    def pairs(self, users: Encoded, items: Encoded) -> Tensor:
        """Encoded (P, H) and (P, N, H) → logits (P, N)."""
        return self._tower(users[0].unsqueeze(1), items[0])

    def block(self, users: Encoded, items: Encoded) -> Tensor:
        """Encoded (B, H) and (I, H) → logits (B, I)."""
        return self._tower(users[0].unsqueeze(1), items[0])

    def _tower(self, users: Tensor, items: Tensor) -> Tensor:
        dropout = self.dropout if self.training else [0.0] * len(self.dropout)
        layers = [p for layer in self.layers for p in (layer.weight, layer.bias)]
        logits: Tensor = Tower.apply(users, items, self.slope, dropout, self.output, *layers)
        return logits

    @torch.no_grad()
    def initialise(self, generator: torch.Generator, output_init: str) -> None:
        """Glorot uniform on the tower, zero on its biases, and the output weights."""
        for layer in (self.first, *self.layers):
            glorot_uniform_(layer.weight, generator)
            layer.bias.zero_()
        initialise_output_(self.output, self.output.numel(), generator, output_init)

    def initialise_vectors(self, vectors: Tensor) -> None:
        """Nothing but the embedding's own initialiser."""


class NeuMF(nn.Module):
    """GMF and MLP side by side on embeddings of their own, eq. 12 of the paper.

    The output layer over both halves is a sum of the halves' outputs.
    """

    def __init__(self, gmf: GMF, mlp: MLP) -> None:
        super().__init__()
        self.width = gmf.width + mlp.width
        self.widest = max(gmf.widest, mlp.widest)
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

    def item_directions(self, items: Tensor) -> Tensor:
        """(…, F + E) → (…, F + E): what makes two items alike."""
        return items

    def pairs(self, users: Encoded, items: Encoded) -> Tensor:
        """Encoded P users and P × N items → logits (P, N)."""
        return self.gmf.pairs(users[:1], items[:1]) + self.mlp.pairs(users[1:], items[1:])

    def block(self, users: Encoded, items: Encoded) -> Tensor:
        """Encoded B users and I items → logits (B, I)."""
        return self.gmf.block(users[:1], items[:1]) + self.mlp.block(users[1:], items[1:])

    @torch.no_grad()
    def initialise(self, generator: torch.Generator, output_init: str) -> None:
        """As each half; the output weights as one layer over both."""
        self.gmf.initialise(generator, output_init)
        self.mlp.initialise(generator, output_init)
        inputs = self.gmf.output.numel() + self.mlp.output.numel()
        self.gmf.initialise_output(inputs, generator, output_init)
        initialise_output_(self.mlp.output, inputs, generator, output_init)

    def initialise_vectors(self, vectors: Tensor) -> None:
        """Nothing but the embedding's own initialiser."""

    @torch.no_grad()
    def join(self, gmf: GMF, mlp: MLP, alpha: float) -> None:
        """Takes over two trained halves (He et al. 2017, section 3.4.1, eq. 13).

        Args:
            alpha: weight of GMF's output layer; MLP's has the rest.
        """
        self.mlp.load_state_dict(mlp.state_dict())
        self.gmf.output.copy_(alpha * gmf.output)
        self.mlp.output.copy_((1 - alpha) * mlp.output)


Head = MF | GMF | MLP | NeuMF


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
