"""The block scorer on Spark: `mapInArrow` over a table of user vectors, no shuffle of scores.

What is sent to the executors is where the model stands; each Python worker loads the item side
once and keeps it.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from torch import Tensor

from ncf_spark.model.store import load_model
from ncf_spark.schemas import ITEM_TOPK, USER_TOPK
from ncf_spark.scoring.batches import ddl, integers, matrix, over_blocks, pairs
from ncf_spark.scoring.best import rows_of
from ncf_spark.scoring.blocks import BLOCK_ROWS, UserBlock, in_blocks, positions_in_row, top_k
from ncf_spark.scoring.places import BestPlace, eligible_items, load_best

CPU = torch.device("cpu")


def build_user_topk(
    users: DataFrame, *, model_uri: str, eligible_uri: str, k: int, block_bytes: int
) -> DataFrame:
    """The k best eligible items of each user that the user has not seen.

    Exact: the lists are those of a double-precision pass over every pair.

    Args:
        users: (user_index, vector, seen: array of item_index).
        eligible_uri: a table of item_index.
    """
    place = BestPlace(model_uri, eligible_uri, k, block_bytes)
    ordered = users.select("user_index", "vector", "seen").sortWithinPartitions("user_index")
    columns = ", ".join(part for part in ddl(USER_TOPK).split(", ") if "source" not in part)
    score = partial(_score_users, place=place)
    topk = ordered.mapInArrow(over_blocks(score, rows_of(CPU)), columns)
    return topk.withColumn("source", F.lit("model"))


def build_item_topk(items: DataFrame, *, model_uri: str, eligible_uri: str, k: int) -> DataFrame:
    """The k eligible items that point most nearly the same way (cosine), for each item.

    Args:
        items: (item_index); the model knows their directions.
    """
    similar = partial(_similar_items, model_uri=model_uri, eligible_uri=eligible_uri, k=k)
    ordered = items.select("item_index").sortWithinPartitions("item_index")
    return ordered.mapInArrow(over_blocks(similar, BLOCK_ROWS), ddl(ITEM_TOPK))


def with_seen(users: DataFrame, pairs: DataFrame) -> DataFrame:
    """`users` with `seen`: the items of the user's pairs, null where there are none."""
    seen = pairs.groupBy("user_index").agg(F.collect_list("item_index").alias("seen"))
    return users.join(seen, on="user_index", how="left")


@lru_cache(maxsize=1)
def _item_directions(model_uri: str) -> Tensor:
    """(I, any width), each of length 1."""
    torch.set_num_threads(1)
    model = load_model(model_uri).model
    directions = model.head.item_directions(model.item_vectors.detach())
    return torch.nn.functional.normalize(directions, dim=1)


def _score_users(batch: Any, *, place: BestPlace) -> dict[str, np.ndarray]:
    best = load_best(place)
    users = UserBlock(matrix(batch.column("vector")), pairs(batch.column("seen")))
    rows, items, scores = best(users)
    return {
        "user_index": batch.column("user_index").to_numpy()[rows.numpy()],
        "rank": positions_in_row(rows).numpy().astype(np.int32),
        "item_index": items.numpy().astype(np.int32),
        "score": scores.float().numpy(),
    }


def _similar_items(
    batch: Any, *, model_uri: str, eligible_uri: str, k: int
) -> dict[str, np.ndarray]:
    directions = _item_directions(model_uri)
    indexes = integers(batch.column("item_index").to_numpy())
    scores = in_blocks(lambda rows: rows @ directions.T, directions[indexes])
    ineligible = torch.ones(scores.shape[1], dtype=torch.bool)
    ineligible[eligible_items(eligible_uri)] = False
    scores[:, ineligible] = -torch.inf
    itself = (torch.arange(len(indexes)), indexes)
    rows, items, values = top_k(scores, k, itself)
    return {
        "item_index": indexes[rows].numpy().astype(np.int32),
        "rank": positions_in_row(rows).numpy().astype(np.int32),
        "similar_item_index": items.numpy().astype(np.int32),
        "score": values.numpy(),
    }
