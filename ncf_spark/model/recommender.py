"""The whole model: vectors of users and items, a head over them, and one bias.

Shapes as in `heads.py`, with U the users of this worker's shards and I all items.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ncf_spark.model.heads import build_head


@dataclass(frozen=True)
class Architecture:
    """What determines a model's shape.

    Args:
        kind: gmf, mlp or neumf.
        factors: width of the GMF embeddings.
        tower: widths of the MLP, input first.
        dropout: share of each MLP layer's outputs left out in training.
        embedding_init: normal or glorot_uniform.
        num_items: I.
    """

    kind: str
    factors: int
    tower: tuple[int, ...]
    dropout: float
    embedding_init: str
    num_items: int

    def to_json(self) -> dict[str, Any]:
        """For the manifest."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Architecture:
        """From a manifest."""
        return cls(**{**content, "tower": tuple(content["tower"])})


class Recommender(nn.Module):
    """Vectors of users and items with a head over them.

    Args:
        num_users: U; 0 where the users' vectors come from a table (scoring).
    """

    def __init__(self, architecture: Architecture, num_users: int) -> None:
        super().__init__()
        a = architecture
        self.head = build_head(a.kind, a.factors, a.tower, a.dropout)
        self.bias = nn.Parameter(torch.empty(()))
        self.item_vectors = nn.Parameter(torch.empty(a.num_items, self.head.width))
        self.user_vectors = nn.Parameter(torch.empty(num_users, self.head.width))

    def shared_parameters(self) -> list[nn.Parameter]:
        """What all workers have in common: everything but the users' vectors."""
        return [p for name, p in self.named_parameters() if name != "user_vectors"]

    def pairs(self, user_vectors: Tensor, item_vectors: Tensor) -> Tensor:
        """(P, D) and (P, N, D) → logits (P, N)."""
        head = self.head
        users, items = head.encode_users(user_vectors), head.encode_items(item_vectors)
        return head.pairs(users, items) + self.bias

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Row numbers (P,) and (P, N) → logits (P, N)."""
        return self.pairs(self.user_vectors[users], self.item_vectors[items])


@torch.no_grad()
def initialise_shared(model: Recommender, architecture: Architecture, seed: int) -> None:
    """Fills the head and the item vectors: the same on every worker."""
    generator = torch.Generator().manual_seed(seed)
    model.head.initialise(generator)
    model.bias.zero_()
    rows = model.item_vectors.shape[0]
    model.item_vectors.copy_(_embedding(rows, rows, model.head.width, architecture, generator))


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
        values = _embedding(rows, num_users, model.head.width, architecture, generator)
        model.user_vectors[start : start + rows].copy_(values)
        start += rows


def _embedding(
    rows: int, table_rows: int, width: int, architecture: Architecture, generator: torch.Generator
) -> Tensor:
    if architecture.embedding_init == "normal":
        return torch.randn((rows, width), generator=generator) * 0.01
    bound = math.sqrt(6.0 / (table_rows + width))
    return (torch.rand((rows, width), generator=generator) * 2 - 1) * bound
