"""MLP and NeuMF: logits by a tower of layers over pairs. Shapes as in `heads.py`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ncf_spark.model.factorisation import GMF
from ncf_spark.model.initialisers import glorot_uniform_, initialise_output_
from ncf_spark.model.parts import Encoded, PullPairs, add_gradient
from ncf_spark.model.tower import PullTower, run_tower

# Of the activations below 0.
SLOPES = {"relu": 0.0, "leaky_relu": 0.01}


class MLP(nn.Module):
    """A tower over the user's and the item's embedding side by side, eq. 10 of the paper.

    Args:
        tower: 2E, H, …, the last one being the number of predictive factors.
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
        # What the tower computes in when training; scores are always computed in float32.
        self.training_dtype = torch.float32

    @property
    def _of_users(self) -> Tensor:
        """(H, E): the user's half of the first layer."""
        return self.first.weight[:, : self.width]

    @property
    def _of_items(self) -> Tensor:
        """(H, E): the item's half of the first layer."""
        return self.first.weight[:, self.width :]

    def encode_users(self, users: Tensor) -> Encoded:
        """(…, E) → (…, H): the user's half of the first layer, with its bias."""
        return (nn.functional.linear(users, self._of_users, self.first.bias),)

    def encode_items(self, items: Tensor) -> Encoded:
        """(…, E) → (…, H): the item's half of the first layer."""
        return (nn.functional.linear(items, self._of_items),)

    def pull_users(self, users: Tensor, of_encoded: Encoded) -> Tensor:
        """Gradients of P encoded users → of their vectors (P, E); adds up those of the layer."""
        add_gradient(self.first.bias, of_encoded[0].sum(dim=0))
        return self._pull(users, of_encoded, slice(None, self.width))

    def pull_items(self, items: Tensor, of_encoded: Encoded) -> Tensor:
        """Gradients of encoded items → of their vectors (…, E); adds up those of the layer."""
        return self._pull(items, of_encoded, slice(self.width, None))

    def _pull(self, vectors: Tensor, of_encoded: Encoded, half: slice) -> Tensor:
        of_layer = of_encoded[0].flatten(0, -2)
        assert self.first.weight.grad is not None
        self.first.weight.grad[:, half].addmm_(of_layer.T, vectors.flatten(0, -2))
        return (of_layer @ self.first.weight[:, half]).view(vectors.shape)

    def pairs_and_pull(self, users: Encoded, items: Encoded) -> tuple[Tensor, PullPairs]:
        """Encoded (P, H) and (N, P, H) → logits (N, P), and the way back."""
        logits, pull_tower = self._tower(items[0].add_(users[0]))

        def pull(of_logits: Tensor) -> tuple[Encoded, Encoded]:
            of_first = pull_tower(of_logits.flatten()).float().view(items[0].shape)
            return (of_first.sum(dim=0),), (of_first,)

        return logits, pull

    @property
    def _further(self) -> list[nn.Linear]:
        """The layers after the first."""
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    def _tower(self, first: Tensor) -> tuple[Tensor, PullTower]:
        """(N, P, H) → logits (N, P), and the way back to (N · P, H)."""
        dtype = self.training_dtype if self.training else first.dtype
        logits, pull = run_tower(
            first.flatten(0, 1).to(dtype),
            self._further,
            self.output,
            slope=self.slope,
            dropout=self.dropout if self.training else [0.0] * len(self.dropout),
        )
        return logits.view(first.shape[:2]).float(), pull

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

    def pull_users(self, users: Tensor, of_encoded: Encoded) -> Tensor:
        """Gradients of P encoded users → of their vectors (P, F + E)."""
        gmf, mlp = self._split(users)
        of_gmf = self.gmf.pull_users(gmf, of_encoded[:1])
        return torch.cat([of_gmf, self.mlp.pull_users(mlp, of_encoded[1:])], dim=-1)

    def pull_items(self, items: Tensor, of_encoded: Encoded) -> Tensor:
        """Gradients of encoded items → of their vectors (…, F + E)."""
        gmf, mlp = self._split(items)
        of_gmf = self.gmf.pull_items(gmf, of_encoded[:1])
        return torch.cat([of_gmf, self.mlp.pull_items(mlp, of_encoded[1:])], dim=-1)

    def pairs_and_pull(self, users: Encoded, items: Encoded) -> tuple[Tensor, PullPairs]:
        """Encoded P users and N × P items → logits (N, P), and the way back."""
        of_gmf, pull_gmf = self.gmf.pairs_and_pull(users[:1], items[:1])
        of_mlp, pull_mlp = self.mlp.pairs_and_pull(users[1:], items[1:])

        def pull(of_logits: Tensor) -> tuple[Encoded, Encoded]:
            users_of_gmf, items_of_gmf = pull_gmf(of_logits)
            users_of_mlp, items_of_mlp = pull_mlp(of_logits)
            return users_of_gmf + users_of_mlp, items_of_gmf + items_of_mlp

        return of_gmf.add_(of_mlp), pull

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
