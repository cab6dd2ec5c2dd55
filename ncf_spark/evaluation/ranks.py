"""Ranks of held-out items by any model, and the lists that the model would have shown.

Shapes: B users of a block, P held-out items of theirs, N rivals of each, I items, K `max_k`.
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
from ncf_spark.scoring.batches import ddl, lists, matrix, over_blocks, pairs
from ncf_spark.scoring.blocks import BLOCK_ROWS, Pairs, Scorer, UserBlock, positions_in_row, top_k
from ncf_spark.scoring.places import ScorerPlace, absent_items, load_scorer
from ncf_spark.scoring.spark import with_seen


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
            scorer=ScorerPlace(model.kind, model.uri, block_bytes, num_items, items_uri),
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
    scorer: ScorerPlace,
    user_vectors: DataFrame | None,
    sampled: str,
    max_k: int,
    known_users: bool = False,
) -> DataFrame:
    """The rank of each held-out item, among its negatives and among all unseen items.

    Items that don't take part, such as departed ones, neither count nor are shown.

    On the full row of a user's first held-out item, `top_items` are the best `max_k` items that
    the user has no other pair with. Each user is scored once.

    A user without a vector gets no items, and each of its held-out items the last rank. An item
    that the scorer does not know (those of last night's models are fewer) is ranked last, and
    nobody's recommendation.

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
        over_blocks(rank, BLOCK_ROWS), f"{ddl(RANKS)}, has_top boolean"
    )
    # Arrow's matrices have neither nulls nor shorter rows: -1 stands for no item.
    top_items = F.when(F.col("has_top"), F.filter("top_items", lambda item: item >= 0))
    return ranked.withColumn("top_items", top_items).select(*RANKS.names)


def _rank_users(
    batch: Any, *, name: str, scorer: ScorerPlace, sampled: str, max_k: int
) -> dict[str, np.ndarray]:
    seen = pairs(batch.column("seen"))
    scores = _scores(load_scorer(scorer), batch, seen)
    missing = max(0, scorer.num_items - scores.shape[1])
    scores = torch.nn.functional.pad(scores, (0, missing), value=-torch.inf)
    scores[:, absent_items(scorer.items_uri, scores.shape[1])] = -torch.inf
    rows, items = pairs(batch.column("items"))
    rivals = _rivals(batch)
    ranks = torch.cat(
        [_sampled_ranks(scores, rows, items, rivals), _full_ranks(scores, rows, items, seen)]
    )
    # Masks the scores, so it comes last.
    shown = _top_items(scores, seen, max_k)
    first = torch.cat([torch.zeros(len(rows), dtype=torch.bool), positions_in_row(rows) == 1])
    top_items = torch.full((len(ranks), max_k), -1)
    top_items[first] = shown
    return {
        "model": np.full(len(ranks), name),
        "protocol": np.repeat([sampled, "full"], len(rows)),
        "user_index": np.tile(batch.column("user_index").to_numpy()[rows.numpy()], 2),
        "item_index": np.tile(items.numpy().astype(np.int32), 2),
        "rank": ranks.numpy().astype(np.int32),
        "top_items": top_items.numpy().astype(np.int32),
        "has_top": first.numpy(),
    }


def _scores(scorer: Scorer, batch: Any, seen: Pairs) -> Tensor:
    """(B, I); nan for users without a vector, where the scorer needs one."""
    if "vector" not in batch.schema.names:
        return scorer(UserBlock(torch.empty(batch.num_rows, 0), seen))
    column = batch.column("vector")
    known = torch.from_numpy(column.is_valid().to_numpy(zero_copy_only=False).copy())
    if known.all():
        return scorer(UserBlock(matrix(column), seen))
    scores = torch.full((batch.num_rows, scorer.num_items), torch.nan)
    if known.any():
        # No scorer of vectors looks at what was seen.
        nothing = (torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64))
        scores[known] = scorer(UserBlock(matrix(column.drop_null()), nothing))
    return scores


def _rivals(batch: Any) -> Tensor:
    """(P, N), filled up with -1."""
    sizes, _ = lists(batch.column("sizes"))
    negatives, _ = lists(batch.column("negatives"))
    return pad(negatives, torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)]))


def _sampled_ranks(scores: Tensor, rows: Tensor, items: Tensor, rivals: Tensor) -> Tensor:
    rival_scores = scores[rows.unsqueeze(1), rivals.clamp(min=0)]
    return sampled_ranks(scores[rows, items], rival_scores, items, rivals)


def _full_ranks(scores: Tensor, rows: Tensor, items: Tensor, seen: Pairs) -> Tensor:
    """(P,): the users' first items, then their second ones …, so that at most B rows are copied."""
    ranks, positions = torch.empty_like(items), positions_in_row(rows)
    for position in range(1, int(positions.max()) + 1):
        chosen = positions == position
        users = rows[chosen]
        place = torch.full((len(scores),), -1)
        place[users] = torch.arange(len(users))
        places = place[seen[0]]
        among = (places[places >= 0], seen[1][places >= 0])
        ranks[chosen] = full_ranks(scores[users], items[chosen], among)
    return ranks


def _top_items(scores: Tensor, seen: Pairs, max_k: int) -> Tensor:
    """(B, K), best first, filled up with -1; overwrites the scores."""
    rows, items, _ = top_k(scores, max_k, seen)
    shown = torch.full((len(scores), max_k), -1)
    shown[rows, positions_in_row(rows) - 1] = items
    return shown
