"""Warm start: a model that starts from the parameters of another run's model."""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd

import numpy as np
import torch

from ncf_spark.model import store
from ncf_spark.model.recommender import Recommender
from ncf_spark.storage import arrays
from ncf_spark.training.failures import reading
from ncf_spark.training.shards import UserShards
from ncf_spark.training.task import Start


@torch.no_grad()
def load_start(model: Recommender, start: Start, shards: UserShards) -> None:
    """Sets a model to the stored parameters; rows of new users and items stay as they are.

    A worker reads the files of its own shards only, one at a time. Where the stored model
    had another number of shards, these are all files that hold one of its users.
    """
    with reading(start.model_uri):
        stored = store.load_model(start.model_uri).model
        own = dict(model.named_parameters())
        for name, values in stored.named_parameters():
            if name == "item_vectors":
                own[name][: len(values)] = values.to(own[name].device)
            elif name != "user_vectors":
                own[name].copy_(values)
        del stored
        for users, vectors in _own_users(start, shards):
            rows = torch.from_numpy(shards.rows_of(users)).to(model.user_vectors.device)
            learnt = torch.from_numpy(vectors).to(model.user_vectors.device)
            model.user_vectors.index_copy_(0, rows, learnt)


def _own_users(start: Start, shards: UserShards) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(users, vectors) of this worker, by file."""
    owned = np.array([shard for shard, _ in shards.owned])
    # A user of shard s then and of shard t now: s and t are equal modulo the common divisor.
    common = gcd(start.num_shards, shards.num_shards)
    for shard in range(min(start.num_shards, start.num_users)):
        if shard % common not in owned % common:
            continue
        path = f"{start.model_uri}/{store.users_file(shard)}"
        users, vectors = arrays.read_vectors(path, "user_index")
        kept = np.isin(users % shards.num_shards, owned)
        yield users[kept], vectors[kept]
