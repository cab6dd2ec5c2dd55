"""The whole model: vectors of users and items, a head over them, and one bias.

Shapes as in `heads.py`, with U the users of this worker's shards and I all items.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ncf_spark.model.heads import GMF, MF, MLP, Head, NeuMF

if TYPE_CHECKING:
    from ncf_spark.config import Model


@dataclass(frozen=True)
class Architecture:
    """What determines a model's shape and initial values; section model of the configuration.

    Args:
        kind: mf, gmf, mlp or neumf.
        factors: width of the MF or GMF embeddings.
        gmf_output: learned, or ones, which makes GMF plain matrix factorisation.
        tower: widths of the MLP, input first.
        activation: of the tower, relu or leaky_relu.
        dropout: share of each MLP layer's outputs dropped in training, one a layer.
        similarity: of mf, dot or cosine.
        temperature: of mf, what the similarity is divided by.
        non_negative: whether factors and output weights are kept at 0 or above.
        embedding_init: normal or glorot_uniform.
        output_init: normal or lecun_uniform.
        num_items: I.
    """

    kind: str
    factors: int
    gmf_output: str
    tower: tuple[int, ...]
    activation: str
    dropout: tuple[float, ...]
    similarity: str
    temperature: float
    non_negative: bool
    embedding_init: str
    output_init: str
    num_items: int

    @classmethod
    def of(cls, settings: Model, num_items: int) -> Architecture:
        """From the configuration."""
        values = settings.model_dump(exclude={"candidates", "selection", "dropout"})
        return cls.from_json({**values, "dropout": settings.layer_dropout, "num_items": num_items})

    def to_json(self) -> dict[str, Any]:
        """For the manifest."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Architecture:
        """From a manifest."""
        lists = {name: tuple(content[name]) for name in ("tower", "dropout")}
        return cls(**{**content, **lists})

    def build_head(self) -> Head:
        """The head of this kind, not yet initialised."""
        if self.kind == "mf":
            return MF(self.factors, self.similarity == "cosine", self.temperature)
        gmf = GMF(self.factors, learned=self.gmf_output == "learned")
        if self.kind == "gmf":
            return gmf
        mlp = MLP(self.tower, self.dropout, self.activation)
        return mlp if self.kind == "mlp" else NeuMF(gmf, mlp)


class Recommender(nn.Module):
    """Vectors of users and items with a head over them.

    Args:
        num_users: U; 0 where the users' vectors come from a table (scoring).
    """

    def __init__(self, architecture: Architecture, num_users: int) -> None:
        super().__init__()
        self.head = architecture.build_head()
        self.non_negative = architecture.non_negative
        self.bias = nn.Parameter(torch.empty(()))
        self.item_vectors = nn.Parameter(torch.empty(architecture.num_items, self.head.width))
        self.user_vectors = nn.Parameter(torch.empty(num_users, self.head.width))

    def shared_parameters(self) -> list[nn.Parameter]:
        """What all workers share: everything but the user vectors."""
        return [p for name, p in self.named_parameters() if name != "user_vectors"]

    @torch.no_grad()
    def pairs(self, user_vectors: Tensor, item_vectors: Tensor) -> Tensor:
        """(P, D) and (P, N, D) → logits (P, N)."""
        head = self.head
        users = head.encode_users(user_vectors)
        items = head.encode_items(item_vectors.transpose(0, 1))
        logits, _ = head.pairs(users, items)
        return logits.T + self.bias

    @torch.no_grad()
    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Row numbers (P,) and (P, N) → logits (P, N)."""
        return self.pairs(self.user_vectors[users], self.item_vectors[items])

    def train_in(self, precision: str) -> None:
        """Sets what the tower computes in while training; scores are computed in float32.

        Args:
            precision: float32; tf32, in which a GPU multiplies matrices of float32 by 10 bits of
                their fractions (the same as float32 on a CPU); or bfloat16.
        """
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        for module in self.modules():
            if isinstance(module, MLP):
                is_half = precision == "bfloat16"
                module.training_dtype = torch.bfloat16 if is_half else torch.float32

    def clamp_non_negative(self) -> None:
        """Raises negative factors and output weights to 0 (mf and gmf)."""
        if not isinstance(self.head, MF | GMF):
            raise TypeError("only mf and gmf have non-negative factors")
        self.head.clamp_non_negative(self.item_vectors.data)
        self.head.clamp_non_negative(self.user_vectors.data)

    @torch.no_grad()
    def join(self, gmf: Recommender, mlp: Recommender, alpha: float) -> None:
        """Sets the parameters from a trained GMF and a trained MLP of the same users and items.

        The output layer and the bias are weighted sums, `alpha` for GMF and the rest for MLP.
        """
        assert isinstance(self.head, NeuMF)
        assert isinstance(gmf.head, GMF)
        assert isinstance(mlp.head, MLP)
        self.head.join(gmf.head, mlp.head, alpha)
        self.bias.copy_(alpha * gmf.bias + (1 - alpha) * mlp.bias)
        self.item_vectors.copy_(torch.cat([gmf.item_vectors, mlp.item_vectors], dim=1))
        self.user_vectors.copy_(torch.cat([gmf.user_vectors, mlp.user_vectors], dim=1))


@torch.no_grad()
def initialise_shared(model: Recommender, architecture: Architecture, seed: int) -> None:
    """Fills the head and the item vectors: the same on every worker."""
    generator = torch.Generator().manual_seed(seed)
    model.head.initialise(generator, architecture.output_init)
    model.bias.zero_()
    rows = model.item_vectors.shape[0]
    model.item_vectors.copy_(_embedding(model.head, rows, rows, architecture, generator))
    if isinstance(model.head, GMF) and architecture.non_negative:
        model.head.output.abs_()


@torch.no_grad()
def initialise_users(
    model: Recommender,
    architecture: Architecture,
    shards: Sequence[tuple[int, int]],
    num_users: int,
    seed: int,
) -> None:
    """Fills the user vectors, shard by shard, so that they don't depend on the number of workers.

    Args:
        shards: (shard, number of its rows) in the order of this worker's rows.
        num_users: of all workers.
    """
    start = 0
    for shard, rows in shards:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + shard + 1)
        values = _embedding(model.head, rows, num_users, architecture, generator)
        model.user_vectors[start : start + rows].copy_(values)
        start += rows


def _embedding(
    head: Head, rows: int, table_rows: int, architecture: Architecture, generator: torch.Generator
) -> Tensor:
    if architecture.embedding_init == "normal":
        values = torch.randn((rows, head.width), generator=generator) * 0.01
    else:
        bound = math.sqrt(6.0 / (table_rows + head.width))
        values = (torch.rand((rows, head.width), generator=generator) * 2 - 1) * bound
    if architecture.non_negative:
        values.abs_()
    head.initialise_vectors(values)
    return values
