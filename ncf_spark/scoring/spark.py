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
from pyspark.sql.types import StructType
from torch import Tensor

from ncf_spark.model.store import load_model
from ncf_spark.schemas import ITEM_TOPK, USER_TOPK
from ncf_spark.scoring.batches import ddl, integers, matrix, over_blocks, pairs
from ncf_spark.scoring.best import rows_of
from ncf_spark.scoring.blocks import BLOCK_ROWS, UserBlock, in_blocks, positions_in_row, top_k
from ncf_spark.scoring.places import (
    BestPlace,
    ScorerPlace,
    eligible_items,
    item_vectors,
    load_best,
    load_scorer,
)

CPU = torch.device("cpu")


def build_user_topk(
    users: DataFrame, *, scorer: ScorerPlace, eligible_uri: str, k: int, source: str
) -> DataFrame:
    """The k best eligible items of each user that the user has not seen.

    Exact for a model: the lists are those of a double-precision pass over every pair. Of popularity
    and item_item, items with a score of 0 are left out, as nothing speaks for them: lists may be
    shorter than k.

    Args:
        users: (user_index, vector, seen: array of item_index, profile: the same); no vector for
            popularity and item_item. `seen` is left out; by `profile` item_item knows a user
            (without such a column: by `seen`).
        scorer: where the scores come from.
        eligible_uri: a table of item_index.
        source: what the column of this name says.
    """
    wanted = ("user_index", "vector", "seen", "profile")
    names = [name for name in wanted if name in users.columns]
    ordered = users.select(*names).sortWithinPartitions("user_index")
    if scorer.kind == "model":
        place = BestPlace(scorer.uri, eligible_uri, k, scorer.block_bytes)
        score = over_blocks(partial(_score_users, place=place), rows_of(CPU))
    else:
        by_baseline = partial(_score_by_baseline, scorer=scorer, eligible_uri=eligible_uri, k=k)
        score = over_blocks(by_baseline, BLOCK_ROWS)
    found = ordered.mapInArrow(score, _ddl_without(USER_TOPK, "source"))
    return found.withColumn("source", F.lit(source))


def build_item_topk(
    items: DataFrame, *, kind: str, uri: str, eligible_uri: str, k: int
) -> DataFrame:
    """The k eligible items that point most nearly the same way (cosine), for each item.

    Args:
        items: (item_index).
        kind: whose directions: those of a stored model, or dot, the vectors themselves.
        uri: of the model's folder.
    """
    similar = partial(_similar_items, kind=kind, uri=uri, eligible_uri=eligible_uri, k=k)
    ordered = items.select("item_index").sortWithinPartitions("item_index")
    found = ordered.mapInArrow(
        over_blocks(similar, BLOCK_ROWS), _ddl_without(ITEM_TOPK, "method", "support")
    )
    named = {"method": F.lit("embedding"), "support": F.lit(None).cast("long")}
    return found.withColumns(named).select(*ITEM_TOPK.names)


def with_seen(users: DataFrame, pairs: DataFrame) -> DataFrame:
    """`users` with `seen`: the items of the user's pairs, null where there are none."""
    seen = pairs.groupBy("user_index").agg(F.collect_list("item_index").alias("seen"))
    return users.join(seen, on="user_index", how="left")


def build_trained_users(split: DataFrame) -> DataFrame:
    """(user_index, seen) of the users with a train pair: `seen` holds the items of all pairs.

    Args:
        split: (user_index, item_index, is_holdout, is_validation, …).
    """
    is_train = ~F.col("is_holdout") & ~F.col("is_validation")
    gathered = split.groupBy("user_index").agg(
        F.collect_list("item_index").alias("seen"), F.bool_or(is_train).alias("is_trained")
    )
    return gathered.where("is_trained").drop("is_trained")


def _ddl_without(schema: StructType, *names: str) -> str:
    """What Python gives back of a table; Spark adds the columns `names`."""
    return ddl(StructType([field for field in schema if field.name not in names]))


@lru_cache(maxsize=1)
def _item_directions(kind: str, uri: str) -> Tensor:
    """(I, any width), each of length 1, or of 0 where a vector is all zero."""
    torch.set_num_threads(1)
    if kind == "dot":
        directions = item_vectors(uri)
    else:
        model = load_model(uri).model
        directions = model.head.item_directions(model.item_vectors.detach())
    return torch.nn.functional.normalize(directions, dim=1)


def _score_users(batch: Any, *, place: BestPlace) -> dict[str, np.ndarray]:
    best = load_best(place)
    users = UserBlock(matrix(batch.column("vector")), pairs(batch.column("seen")))
    return _topk_columns(batch, *best(users))


def _score_by_baseline(
    batch: Any, *, scorer: ScorerPlace, eligible_uri: str, k: int
) -> dict[str, np.ndarray]:
    has_vectors = "vector" in batch.schema.names
    vectors = matrix(batch.column("vector")) if has_vectors else torch.empty(batch.num_rows, 0)
    seen = pairs(batch.column("seen"))
    profile = pairs(batch.column("profile")) if "profile" in batch.schema.names else seen
    scores = load_scorer(scorer)(UserBlock(vectors, profile))
    if scorer.kind in ("popularity", "item_item"):
        scores[scores <= 0] = -torch.inf
    scores[:, _ineligible(eligible_uri, scores.shape[1])] = -torch.inf
    return _topk_columns(batch, *top_k(scores, k, seen))


def _ineligible(eligible_uri: str, num_items: int) -> Tensor:
    """(num_items,): whether an item may not be recommended."""
    ineligible = torch.ones(num_items, dtype=torch.bool)
    ineligible[eligible_items(eligible_uri)] = False
    return ineligible


def _topk_columns(batch: Any, rows: Tensor, items: Tensor, scores: Tensor) -> dict[str, np.ndarray]:
    return {
        "user_index": batch.column("user_index").to_numpy()[rows.numpy()],
        "rank": positions_in_row(rows).numpy().astype(np.int32),
        "item_index": items.numpy().astype(np.int32),
        "score": scores.float().numpy(),
    }


def _similar_items(
    batch: Any, *, kind: str, uri: str, eligible_uri: str, k: int
) -> dict[str, np.ndarray]:
    directions = _item_directions(kind, uri)
    indexes = integers(batch.column("item_index").to_numpy())
    scores = in_blocks(lambda rows: rows @ directions.T, directions[indexes])
    scores[:, _ineligible(eligible_uri, scores.shape[1])] = -torch.inf
    itself = (torch.arange(len(indexes)), indexes)
    rows, items, values = top_k(scores, k, itself)
    return {
        "item_index": indexes[rows].numpy().astype(np.int32),
        "rank": positions_in_row(rows).numpy().astype(np.int32),
        "similar_item_index": items.numpy().astype(np.int32),
        "score": values.numpy(),
    }
