"""Top-k tables on Spark: `mapInArrow` over a table of users, no shuffle of scores.

What is sent to the executors is where the model is stored; each Python worker loads the item side
once and keeps it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from ncf_spark.schemas import ITEM_TOPK, USER_TOPK
from ncf_spark.scoring.batches import ddl, over_blocks, pairs
from ncf_spark.scoring.scorers import UserBlock
from ncf_spark.scoring.spec import ScorerSpec, compute_cosines, compute_scores
from ncf_spark.scoring.topk import positions_in_row, top_k
from ncf_spark.storage import arrays


def build_user_topk(users: DataFrame, *, scorer: ScorerSpec, k: int, source: str) -> DataFrame:
    """The k best items of each user among those that take part and that the user has not seen.

    Of popularity and item_item, items with a score of 0 are left out, as nothing speaks for them:
    lists may be shorter than k. Equal scores are in the order of the item index; scores that differ
    by less than float32's error may come in either order, the same one in each rerun.

    Args:
        users: (user_index, vector, seen: array of item_index, profile: the same); no vector for
            popularity and item_item. `seen` is left out; by `profile` item_item knows a user
            (without such a column: by `seen`).
        scorer: where the scores come from, and which items take part.
        source: what the column of this name says.
    """
    columns = ("user_index", "vector", "seen", "profile")
    users = users.select(*[name for name in columns if name in users.columns])
    score = over_blocks(partial(_score_users, scorer=scorer, k=k))
    ordered = users.sortWithinPartitions("user_index")
    topk = ordered.mapInArrow(score, _ddl_without(USER_TOPK, "source"))
    return topk.withColumn("source", F.lit(source))


def build_item_topk(
    items: DataFrame, *, kind: str, uri: str, eligible_uri: str, k: int
) -> DataFrame:
    """The k eligible items that point most nearly the same way (cosine), for each item.

    Args:
        items: (item_index).
        kind: whose directions: those of a stored model, or dot, the vectors themselves.
        uri: of the model's folder.
        eligible_uri: a table of item_index.
    """
    scorer = ScorerSpec(kind, uri, items_uri=eligible_uri)
    similar = over_blocks(partial(_similar_items, scorer=scorer, k=k))
    ordered = items.select("item_index").sortWithinPartitions("item_index")
    topk = ordered.mapInArrow(similar, _ddl_without(ITEM_TOPK, "method", "support"))
    named = {"method": F.lit("embedding"), "support": F.lit(None).cast("long")}
    return topk.withColumns(named).select(*ITEM_TOPK.names)


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


def _score_users(batch: Any, *, scorer: ScorerSpec, k: int) -> dict[str, np.ndarray]:
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    vectors = np.empty((batch.num_rows, 0), np.float32)
    if "vector" in columns:
        vectors = arrays.matrix(columns["vector"])
    seen = pairs(columns["seen"])
    profile = pairs(columns["profile"]) if "profile" in columns else seen
    scores = compute_scores(scorer, UserBlock(vectors, profile))
    if scorer.kind in ("popularity", "item_item"):
        scores[scores <= 0] = -torch.inf
    rows, items, values = top_k(scores, k, seen)
    return {
        "user_index": columns["user_index"].to_numpy()[rows],
        "rank": positions_in_row(rows).astype(np.int32),
        "item_index": items.astype(np.int32),
        "score": values.astype(np.float32),
    }


def _similar_items(batch: Any, *, scorer: ScorerSpec, k: int) -> dict[str, np.ndarray]:
    indexes = batch.column("item_index").to_numpy()
    itself = (np.arange(len(indexes)), indexes.astype(np.int64))
    rows, items, values = top_k(compute_cosines(scorer, indexes), k, itself)
    return {
        "item_index": indexes[rows],
        "rank": positions_in_row(rows).astype(np.int32),
        "similar_item_index": items.astype(np.int32),
        "score": values,
    }
