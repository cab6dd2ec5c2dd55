"""Ranks of held-out items by any model, and the lists that the model would have shown.

Shapes: B users of a block, P held-out items of theirs, N negatives of each, I items, K `max_k`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from typing import Any

import numpy as np
import torch
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from torch import Tensor

from ncf_spark.evaluation.judging import Judged
from ncf_spark.evaluation.ranking import full_ranks, pad, sampled_ranks
from ncf_spark.schemas import RANKS
from ncf_spark.scoring.batches import ddl, over_blocks, pairs
from ncf_spark.scoring.scorers import UserBlock
from ncf_spark.scoring.spark import with_seen
from ncf_spark.scoring.spec import ScorerSpec, compute_scores, load_scorer
from ncf_spark.scoring.topk import Pairs, positions_in_row, top_k
from ncf_spark.storage import arrays


def build_held_out(holdout: DataFrame, train: DataFrame) -> DataFrame:
    """What every model is judged on: (user_index, items, sizes, negatives, seen), a row a user.

    `items` are the user's held-out items in order, `sizes` how many negatives each has,
    `negatives` all of them one after the other, `seen` the items of the user's train pairs.

    Worth keeping (`persist`), since each model reads it.
    """
    held = F.sort_array(F.collect_list(F.struct("item_index", "negatives")))
    return (
        holdout.groupBy("user_index")
        .agg(held.alias("held"))
        .select(
            "user_index",
            F.col("held.item_index").alias("items"),
            F.transform(F.col("held.negatives"), F.size).alias("sizes"),
            F.flatten("held.negatives").alias("negatives"),
        )
        .transform(with_seen, train)
    )


def build_all_ranks(
    held_out: DataFrame,
    models: Sequence[Judged],
    *,
    sampled: str,
    max_k: int,
    num_items: int,
    block_bytes: int,
    items_uri: str = "",
) -> DataFrame:
    """The ranks by each of `models`, one below the other; see `build_ranks`.

    Args:
        items_uri: a table of item_index, the items that are ranked and shown; empty: all are.
    """
    ranks = [
        build_ranks(
            held_out,
            name=model.name,
            scorer=ScorerSpec(model.kind, model.uri, block_bytes, num_items, items_uri),
            user_vectors=model.user_vectors,
            sampled=sampled,
            max_k=max_k,
            known_users=model.known_users,
        )
        for model in models
    ]
    return reduce(DataFrame.unionByName, ranks)


def build_ranks(
    held_out: DataFrame,
    *,
    name: str,
    scorer: ScorerSpec,
    user_vectors: DataFrame | None,
    sampled: str,
    max_k: int,
    known_users: bool = False,
) -> DataFrame:
    """The rank of each held-out item, among its negatives and among all unseen items.

    Items that are not in the scorer's `items_uri`, such as departed ones, are neither counted nor
    shown.

    On the full row of a user's first held-out item, `top_items` are the best `max_k` items that
    the user has no other pair with. Each user is scored once.

    A user without a vector gets no items, and each of its held-out items the last rank. An item
    that the scorer does not know (last night's models know fewer) is ranked last and recommended to
    nobody.

    Args:
        held_out: as `build_held_out` makes it.
        name: of the model, for the column.
        scorer: where the scores come from.
        user_vectors: (user_index, vector), None for a scorer that needs none.
        sampled: name of the sampled protocol.
        known_users: whether users without a vector are left out.
    """
    if user_vectors is not None:
        vectors = user_vectors.select("user_index", "vector")
        how = "inner" if known_users else "left"
        held_out = held_out.join(vectors, on="user_index", how=how)
    rank = partial(_rank_users, name=name, scorer=scorer, sampled=sampled, max_k=max_k)
    ranked = held_out.sortWithinPartitions("user_index").mapInArrow(
        over_blocks(rank), f"{ddl(RANKS)}, has_top boolean"
    )
    # Arrow's matrices have neither nulls nor shorter rows: -1 means no item.
    top_items = F.when(F.col("has_top"), F.filter("top_items", lambda item: item >= 0))
    return ranked.withColumn("top_items", top_items).select(*RANKS.names)


def _rank_users(
    batch: Any, *, name: str, scorer: ScorerSpec, sampled: str, max_k: int
) -> dict[str, np.ndarray]:
    seen, (rows, items) = pairs(batch.column("seen")), pairs(batch.column("items"))
    of_device = _scores(scorer, batch, seen)
    scores, negatives = of_device.cpu().numpy(), _negatives(batch)
    negative_scores = scores[rows[:, None], negatives.clip(min=0)]
    of_sampled = sampled_ranks(scores[rows, items], negative_scores, items, negatives)
    ranks = np.concatenate([of_sampled, _full_ranks(scores, rows, items, seen)])
    first = np.concatenate([np.zeros(len(rows), bool), positions_in_row(rows) == 1])
    top_items = np.full((len(ranks), max_k), -1, np.int32)
    top_items[first] = _top_items(of_device, seen, max_k)  # overwrites scores, so it comes last
    return {
        "model": np.full(len(ranks), name),
        "protocol": np.repeat([sampled, "full"], len(rows)),
        "user_index": np.tile(batch.column("user_index").to_numpy()[rows], 2),
        "item_index": np.tile(items.astype(np.int32), 2),
        "rank": ranks.astype(np.int32),
        "top_items": top_items,
        "has_top": first,
    }


def _scores(scorer: ScorerSpec, batch: Any, seen: Pairs) -> Tensor:
    """(B, I); -inf for users without a vector, where the scorer needs one."""
    if "vector" not in batch.schema.names:
        return compute_scores(scorer, UserBlock(np.empty((batch.num_rows, 0)), seen))
    column = batch.column("vector")
    known = column.is_valid().to_numpy(zero_copy_only=False)
    if not known.any():
        width = max(load_scorer(scorer).num_items, scorer.num_items)
        return torch.full((batch.num_rows, width), -torch.inf)
    # Scorers of vectors look at no seen items.
    of_known = compute_scores(scorer, UserBlock(arrays.matrix(column.drop_null())))
    scores = of_known.new_full((batch.num_rows, of_known.shape[1]), -torch.inf)
    scores[torch.from_numpy(known)] = of_known
    return scores


def _negatives(batch: Any) -> np.ndarray:
    """(P, N), filled up with -1."""
    sizes, _ = arrays.ragged(batch.column("sizes"))
    negatives, _ = arrays.ragged(batch.column("negatives"))
    return pad(negatives, np.concatenate([[0], np.cumsum(sizes)]))


def _full_ranks(scores: np.ndarray, rows: np.ndarray, items: np.ndarray, seen: Pairs) -> np.ndarray:
    """(P,): the users' first items, then their second ones …, so that at most B rows are copied."""
    ranks, positions = np.empty_like(items), positions_in_row(rows)
    for position in range(1, positions.max() + 1):
        chosen = positions == position
        users = rows[chosen]
        among = np.full(len(scores), -1)
        among[users] = np.arange(len(users))
        found = among[seen[0]]
        of_chosen = (found[found >= 0], seen[1][found >= 0])
        ranks[chosen] = full_ranks(scores[users], items[chosen], of_chosen)
    return ranks


def _top_items(scores: Tensor, seen: Pairs, max_k: int) -> np.ndarray:
    """(B, K), best first, filled up with -1; overwrites the scores."""
    rows, items, _ = top_k(scores, max_k, seen)
    shown = np.full((len(scores), max_k), -1)
    shown[rows, positions_in_row(rows) - 1] = items
    return shown
