"""MF and GMF: logits that are (weighted) products of a user's and an item's factors.

Shapes as in `heads.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ncf_spark.model.initialisers import initialise_output_
from ncf_spark.model.parts import Encoded, PullPairs, add_gradient


def dot(users: Tensor, items: Tensor) -> Tensor:
    """(P, F) and (N, P, F) → (N, P)."""
    return (items * users) @ users.new_ones(users.shape[1])


def pull_dot(users: Tensor, items: Tensor, of_products: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients (N, P) of `dot` → those of users (P, F) and of items (N, P, F)."""
    of_factors = _repeated(of_products, users.shape[1])
    return (items * of_factors).sum(dim=0), users * of_factors


def _repeated(numbers: Tensor, count: int) -> Tensor:
    """(N, P) → (N, P, count), each number side by side with itself.

    On a CPU as a product of matrices: to run over rows this short took twice as long.
    """
    if numbers.is_cuda:  # which might round the product to tf32
        return numbers.unsqueeze(-1).expand(-1, -1, count)
    return numbers.reshape(-1, 1).mm(numbers.new_ones(1, count)).view(*numbers.shape, count)


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

    def pull_users(self, users: Tensor, of_encoded: Encoded) -> Tensor:
        """Gradients of encoded users → of their vectors (…, F + 1)."""
        of_factors, of_biases = of_encoded
        return self.pull_items(users, (of_factors / self.temperature, of_biases))

    def pull_items(self, items: Tensor, of_encoded: Encoded) -> Tensor:
        """Gradients of encoded items → of their vectors (…, F + 1)."""
        of_factors, of_biases = of_encoded
        if self.cosine:
            of_factors = _pull_normalised(items[..., : self.factors], of_factors)
        return torch.cat([of_factors, of_biases.unsqueeze(-1)], dim=-1)

    def pairs_and_pull(self, users: Encoded, items: Encoded) -> tuple[Tensor, PullPairs]:
        """Encoded P users and N × P items → logits (N, P), and the way back."""

        def pull(of_logits: Tensor) -> tuple[Encoded, Encoded]:
            of_users, of_items = pull_dot(users[0], items[0], of_logits)
            return (of_users, of_logits.sum(dim=0)), (of_items, of_logits)

        return dot(users[0], items[0]) + users[1] + items[1], pull

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


# Below it nn.functional.normalize divides by this number in place of the length.
_LEAST_LENGTH = 1e-12


def _pull_normalised(vectors: Tensor, of_directions: Tensor) -> Tensor:
    """Gradients of x / |x| → of x: what is at right angles to x, divided by |x|."""
    lengths = vectors.norm(dim=-1, keepdim=True).clamp_(min=_LEAST_LENGTH)
    directions = vectors / lengths
    along = (of_directions * directions).sum(dim=-1, keepdim=True)
    return (of_directions - along * directions) / lengths


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

    def pull_users(self, users: Tensor, of_encoded: Encoded) -> Tensor:
        """Gradients of P encoded users → of their vectors (P, F); adds up those of h."""
        [of_products] = of_encoded
        if self.output.requires_grad:
            add_gradient(self.output, (of_products * users).sum(dim=0))
        return of_products * self.output

    def pull_items(self, items: Tensor, of_encoded: Encoded) -> Tensor:
        """Gradients of encoded items → of their vectors (…, F)."""
        return of_encoded[0]

    def pairs_and_pull(self, users: Encoded, items: Encoded) -> tuple[Tensor, PullPairs]:
        """Encoded (P, F) and (N, P, F) → logits (N, P), and the way back."""

        def pull(of_logits: Tensor) -> tuple[Encoded, Encoded]:
            of_users, of_items = pull_dot(users[0], items[0], of_logits)
            return (of_users,), (of_items,)

        return dot(users[0], items[0]), pull

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
