"""MF and GMF: logits that are (weighted) products of a user's and an item's factors.

Shapes as in `heads.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ncf_spark.model.gradients import Encoded, Gradients, PairsBackward
from ncf_spark.model.initialisers import initialise_output_
from ncf_spark.model.tiles import TILE_BYTES


def dot(users: Tensor, items: Tensor) -> Tensor:
    """(P, F) and (N, P, F) → (N, P)."""
    return (items * users) @ users.new_ones(users.shape[1])


def dot_backward(users: Tensor, items: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients (N, P) of `dot` → those of users (P, F) and of items (N, P, F)."""
    repeated = _repeat(grad, users.shape[1])
    return (items * repeated).sum(dim=0), users * repeated


def _repeat(numbers: Tensor, count: int) -> Tensor:
    """(N, P) → (N, P, count): each number `count` times.

    On a CPU as a matrix product, which takes half the time for rows this short.
    """
    if numbers.is_cuda:  # which might round the product to tf32
        return numbers.unsqueeze(-1).expand(-1, -1, count)
    return numbers.reshape(-1, 1).mm(numbers.new_ones(1, count)).view(*numbers.shape, count)


class MF(nn.Module):
    """Matrix factorisation with biases: s(u, i) / temperature + bᵤ + bᵢ (Koren et al. 2009, eq. 4).

    The bias is the last number of each vector, so a vector has F + 1 numbers.

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

    def users_backward(self, users: Tensor, grad: Encoded, gradients: Gradients) -> Tensor:
        """Gradients of encoded users → of their vectors (…, F + 1)."""
        return self.items_backward(users, (grad[0] / self.temperature, grad[1]), gradients)

    def items_backward(self, items: Tensor, grad: Encoded, gradients: Gradients) -> Tensor:
        """Gradients of encoded items → of their vectors (…, F + 1)."""
        grad_factors, grad_biases = grad
        if self.cosine:
            grad_factors = _normalise_backward(items[..., : self.factors], grad_factors)
        return torch.cat([grad_factors, grad_biases.unsqueeze(-1)], dim=-1)

    def pairs(self, users: Encoded, items: Encoded) -> tuple[Tensor, PairsBackward]:
        """Encoded P users and N × P items → logits (N, P), and their backward pass."""

        def backward(grad: Tensor, gradients: Gradients) -> tuple[Encoded, Encoded]:
            grad_users, grad_items = dot_backward(users[0], items[0], grad)
            return (grad_users, grad.sum(dim=0)), (grad_items, grad)

        return dot(users[0], items[0]) + users[1] + items[1], backward

    def block(self, users: Encoded, items: Encoded, tile_bytes: int = TILE_BYTES["cpu"]) -> Tensor:
        """Encoded B users and I items → logits (B, I)."""
        return users[0] @ items[0].T + users[1].unsqueeze(-1) + items[1]

    def initialise(self, generator: torch.Generator, output_init: str) -> None:
        """No-op: there is no output layer."""

    @torch.no_grad()
    def initialise_vectors(self, vectors: Tensor) -> None:
        """Biases start at 0."""
        vectors[:, -1] = 0.0

    @torch.no_grad()
    def clamp_non_negative(self, vectors: Tensor) -> None:
        """Raises negative factors to 0; a bias may be negative."""
        vectors[:, : self.factors].clamp_(min=0.0)


# nn.functional.normalize divides by this number where a vector is shorter.
_MIN_LENGTH = 1e-12


def _normalise_backward(vectors: Tensor, grad: Tensor) -> Tensor:
    """Gradients of x / |x| → of x: the part at right angles to x, divided by |x|."""
    lengths = vectors.norm(dim=-1, keepdim=True).clamp_(min=_MIN_LENGTH)
    directions = vectors / lengths
    along = (grad * directions).sum(dim=-1, keepdim=True)
    return (grad - along * directions) / lengths


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

    def users_backward(self, users: Tensor, grad: Encoded, gradients: Gradients) -> Tensor:
        """Gradients of P encoded users → of their vectors (P, F), and of h."""
        if self.output.requires_grad:
            gradients[self.output].add_((grad[0] * users).sum(dim=0))
        return grad[0] * self.output

    def items_backward(self, items: Tensor, grad: Encoded, gradients: Gradients) -> Tensor:
        """Gradients of encoded items → of their vectors (…, F)."""
        return grad[0]

    def pairs(self, users: Encoded, items: Encoded) -> tuple[Tensor, PairsBackward]:
        """Encoded (P, F) and (N, P, F) → logits (N, P), and their backward pass."""

        def backward(grad: Tensor, gradients: Gradients) -> tuple[Encoded, Encoded]:
            grad_users, grad_items = dot_backward(users[0], items[0], grad)
            return (grad_users,), (grad_items,)

        return dot(users[0], items[0]), backward

    def block(self, users: Encoded, items: Encoded, tile_bytes: int = TILE_BYTES["cpu"]) -> Tensor:
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
        """No-op."""

    @torch.no_grad()
    def clamp_non_negative(self, vectors: Tensor) -> None:
        """Raises negative factors to 0, and negative output weights with them."""
        vectors.clamp_(min=0.0)
        self.output.clamp_(min=0.0)
