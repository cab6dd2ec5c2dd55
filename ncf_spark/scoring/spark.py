"""The block scorer on Spark: `mapInArrow` over a table of user vectors, no shuffle of scores.

What is sent to the executors is where the model stands; each Python worker loads the item side
once and keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType
from torch import Tensor

from ncf_spark.evaluation.ranking import full_ranks, pad, sampled_ranks
from ncf_spark.model.store import load_model
from ncf_spark.schemas import ITEM_TOPK, RANKS, USER_TOPK
from ncf_spark.scoring.blocks import (
    BLOCK_ROWS,
    ModelScorer,
    SameForAll,
    Scorer,
    in_blocks,
    positions_in_row,
    top_k,
)
from ncf_spark.storage import arrays


def build_user_topk(
    users: DataFrame, *, model_uri: str, eligible_uri: str, k: int, block_bytes: int
) -> DataFrame:
    """The k best eligible items of each user that the user has not seen.

    Args:
        users: (user_index, vector, seen: array of item_index).
        eligible_uri: a table of item_index.
    """
    score = partial(
        _score_users, model_uri=model_uri, eligible_uri=eligible_uri, k=k, block_bytes=block_bytes
    )
    ordered = users.select("user_index", "vector", "seen").sortWithinPartitions("user_index")
    return ordered.mapInArrow(_batches(score), _ddl(USER_TOPK))


def build_ranks(holdout: DataFrame, *, name: str, scorer: ScorerPlace, sampled: str) -> DataFrame:
    """The rank of each held-out item, among its negatives and among all unseen items.

    Args:
        holdout: (user_index, item_index, negatives, vector, seen).
        name: of the model, for the column.
        scorer: where the scores come from.
        sampled: name of the sampled protocol.
    """
    rank = partial(_rank_holdout, name=name, scorer=scorer, sampled=sampled)
    columns = ["user_index", "item_index", "negatives", "vector", "seen"]
    ordered = holdout.select(*columns).sortWithinPartitions("user_index", "item_index")
    return ordered.mapInArrow(_batches(rank), _ddl(RANKS))


def build_item_topk(items: DataFrame, *, model_uri: str, eligible_uri: str, k: int) -> DataFrame:
    """The k eligible items whose vectors point most nearly the same way (cosine), for each item.

    Args:
        items: (item_index, vector).
    """
    similar = partial(_similar_items, model_uri=model_uri, eligible_uri=eligible_uri, k=k)
    ordered = items.select("item_index", "vector").sortWithinPartitions("item_index")
    return ordered.mapInArrow(_batches(similar), _ddl(ITEM_TOPK))


def with_seen(users: DataFrame, pairs: DataFrame) -> DataFrame:
    """`users` with `seen`: the items of the user's pairs, null where there are none."""
    seen = pairs.groupBy("user_index").agg(F.collect_list("item_index").alias("seen"))
    return users.join(seen, on="user_index", how="left")


# ("model", uri, block_bytes) or ("popularity", uri of item_popularity, 0)
ScorerPlace = tuple[str, str, int]


@lru_cache(maxsize=2)
def load_scorer(place: ScorerPlace) -> Scorer:
    """The scorer at a place; a Python worker that serves several tasks loads it once."""
    # Spark runs as many Python workers as there are cores; each gets one.
    torch.set_num_threads(1)
    kind, uri, block_bytes = place
    if kind == "model":
        return ModelScorer(load_model(uri).model, block_bytes)
    table = arrays.read_columns(uri, ["item_index", "num_users"])
    # Counts above 2^24 would tie as float32.
    scores = torch.zeros(len(table["item_index"]), dtype=torch.float64)
    scores[_integers(table["item_index"])] = _integers(table["num_users"]).double()
    return SameForAll(scores)


@lru_cache(maxsize=2)
def _ineligible(uri: str, num_items: int) -> Tensor:
    mask = torch.ones(num_items, dtype=torch.bool)
    mask[_integers(arrays.read_columns(uri, ["item_index"])["item_index"])] = False
    return mask


@lru_cache(maxsize=1)
def _unit_item_vectors(model_uri: str) -> Tensor:
    torch.set_num_threads(1)
    return _unit(load_model(model_uri).model.item_vectors.detach())


def _score_users(
    batch: Any, *, model_uri: str, eligible_uri: str, k: int, block_bytes: int
) -> dict[str, np.ndarray]:
    scores = load_scorer(("model", model_uri, block_bytes))(_matrix(batch, "vector"))
    scores[:, _ineligible(eligible_uri, scores.shape[1])] = -torch.inf
    rows, items, values = top_k(scores, k, _pairs(batch, "seen"))
    return {
        "user_index": batch.column("user_index").to_numpy()[rows.numpy()],
        "rank": positions_in_row(rows).numpy().astype(np.int32),
        "item_index": items.numpy().astype(np.int32),
        "score": values.numpy(),
        "source": np.full(len(rows), "model"),
    }


def _rank_holdout(
    batch: Any, *, name: str, scorer: ScorerPlace, sampled: str
) -> dict[str, np.ndarray]:
    scores = load_scorer(scorer)(_matrix(batch, "vector"))
    positives = _integers(batch.column("item_index").to_numpy())
    values, offsets = arrays.ragged(batch.column("negatives"))
    rivals = pad(_integers(values), torch.from_numpy(offsets))
    positive_scores = scores.gather(1, positives.unsqueeze(1)).squeeze(1)
    rival_scores = scores.gather(1, rivals.clamp(min=0))
    among_negatives = sampled_ranks(positive_scores, rival_scores, positives, rivals)
    among_all = full_ranks(scores, positives, _pairs(batch, "seen"))
    count = len(positives)
    return {
        "model": np.full(2 * count, name),
        "protocol": np.repeat([sampled, "full"], count),
        "user_index": np.tile(batch.column("user_index").to_numpy(), 2),
        "item_index": np.tile(batch.column("item_index").to_numpy(), 2),
        "rank": torch.cat([among_negatives, among_all]).numpy().astype(np.int32),
    }


def _similar_items(
    batch: Any, *, model_uri: str, eligible_uri: str, k: int
) -> dict[str, np.ndarray]:
    others = _unit_item_vectors(model_uri).T
    scores = in_blocks(lambda rows: rows @ others, _unit(_matrix(batch, "vector")))
    scores[:, _ineligible(eligible_uri, scores.shape[1])] = -torch.inf
    indexes = batch.column("item_index").to_numpy()
    itself = (torch.arange(len(indexes)), _integers(indexes))
    rows, items, values = top_k(scores, k, itself)
    return {
        "item_index": indexes[rows.numpy()],
        "rank": positions_in_row(rows).numpy().astype(np.int32),
        "similar_item_index": items.numpy().astype(np.int32),
        "score": values.numpy(),
    }


def _batches(
    compute: Callable[[Any], dict[str, np.ndarray]],
) -> Callable[[Iterable[Any]], Iterator[Any]]:
    """A function for `mapInArrow` that computes on a block of rows at a time."""

    def over(batches: Iterable[Any]) -> Iterator[Any]:
        for batch in batches:
            for low in range(0, batch.num_rows, BLOCK_ROWS):
                yield arrays.record_batch(compute(batch.slice(low, BLOCK_ROWS)))

    return over


def _matrix(batch: Any, column: str) -> Tensor:
    return torch.from_numpy(arrays.matrix(batch.column(column)).copy())


def _pairs(batch: Any, column: str) -> tuple[Tensor, Tensor]:
    """Rows and items of a list column, e.g. [[4, 9], [], [4]] → [0, 0, 2], [4, 9, 4]."""
    values, offsets = arrays.ragged(batch.column(column))
    rows = torch.arange(len(offsets) - 1).repeat_interleave(torch.from_numpy(np.diff(offsets)))
    return rows, _integers(values)


def _integers(values: np.ndarray) -> Tensor:
    # A copy: Arrow's memory must not be written to.
    return torch.from_numpy(values.astype(np.int64, copy=True))


def _unit(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors, dim=1)


def _ddl(schema: StructType) -> str:
    return ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in schema)
