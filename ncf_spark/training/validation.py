"""Evaluation of epochs on the validation items, which are neither trained on nor in the holdout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ncf_spark.evaluation.metrics import metric_values, rank_histogram
from ncf_spark.evaluation.ranking import pad, sampled_ranks
from ncf_spark.model.recommender import Recommender
from ncf_spark.storage import arrays, files
from ncf_spark.training.communicator import Communicator
from ncf_spark.training.shards import UserShards


@dataclass(frozen=True)
class ValidationItems:
    """This worker's rows of `validation`, on which epochs are evaluated.

    Args:
        users: (B,) table rows.
        items: (B,) the held-out items.
        negatives: (B, N) items to rank each against; -1 is padding.
    """

    users: Tensor
    items: Tensor
    negatives: Tensor

    @classmethod
    def read(cls, uri: str, shards: UserShards, device: torch.device) -> ValidationItems:
        """Reads the shards' rows of the table."""
        parts = [
            part
            for shard, _ in shards.owned
            for part in files.list_files(f"{uri}/shard={shard}", ".parquet")
        ]
        scalars, values, offsets = arrays.read_lists(
            parts, "negatives", ["user_index", "item_index"]
        )
        users = torch.from_numpy(shards.rows_of(scalars["user_index"]))
        items = torch.from_numpy(scalars["item_index"].astype(np.int64))
        negatives = torch.from_numpy(pad(values.astype(np.int64), offsets))
        return cls(users.to(device), items.to(device), negatives.to(device))

    @torch.no_grad()
    def evaluate(
        self, model: Recommender, ks: tuple[int, ...], communicator: Communicator
    ) -> dict[str, float]:
        """`{"hr@10": …, "ndcg@10": …}` over the rows of all workers, by the sampled protocol."""
        model.eval()
        ranks = [
            _ranks(model, self.users[part], self.items[part], self.negatives[part])
            for part in torch.arange(len(self.users), device=self.users.device).split(1024)
        ]
        found = torch.cat(ranks).cpu().numpy() if ranks else np.empty(0, np.int64)
        counts = torch.from_numpy(rank_histogram(found, max(ks)).astype(np.float64))
        communicator.all_reduce_(counts, "rank_counts")
        return {f"{name}@{k}": value for name, k, value in metric_values(counts.numpy(), ks)}


def _ranks(model: Recommender, users: Tensor, items: Tensor, negatives: Tensor) -> Tensor:
    candidates = torch.cat([items.unsqueeze(1), negatives.clamp(min=0)], dim=1)
    scores = model(users, candidates)
    ranks: Tensor = sampled_ranks(scores[:, 0], scores[:, 1:], items, negatives)
    return ranks
