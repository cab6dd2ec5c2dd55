"""What a model is compared with: nearest neighbours of items, and Spark's ALS."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
import pandas as pd
from pyspark.ml.recommendation import ALS
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

# What the counts of a block of items may take, and the items of a block at most: blocks are what
# the work is divided into.
COUNT_BYTES = 64 * 2**20
BLOCK_ITEMS = 256
# Of ALS. With Spark's 10, a first compiler's larger frames still overflowed the stack.
_ITERATIONS_BETWEEN_CHECKPOINTS = 4


def build_item_neighbours(
    pairs: DataFrame,
    *,
    num_items: int,
    neighbours: int,
    shrinkage: float,
    eligible: DataFrame | None = None,
) -> DataFrame:
    """The items that share the most users with each item.

    Columns: item_index, rank (from 1), neighbour_index, similarity, num_common (users of both).

    similarity(i, j) = |Uᵢ ∩ Uⱼ| / (√(|Uᵢ| |Uⱼ|) + shrinkage), with Uᵢ the users of i: the
    cosine of the items' columns (Sarwar et al. 2001), shrunk so that a few common users count less
    (Ferrari Dacrema et al. 2019). 0 < similarity ≤ 1; of equal ones the lower neighbour_index
    comes first. An item that shares no user with another has no row.

    Each user's items go once to every block of items that holds one of them, and a block counts
    in one matrix: of nᵤ items, a user costs at most nᵤ · min(nᵤ, blocks) pairs of integers in the
    shuffle and nᵤ² additions. There is no cap: a user with 100,000 items costs 10¹⁰ additions,
    about a minute. A task holds the matrix, at most COUNT_BYTES (or one row), and an Arrow batch.

    Args:
        pairs: (user_index, item_index), each pair once.
        num_items: of the item index.
        neighbours: kept for each item, at most.
        eligible: (item_index) of those that may be a neighbour; None: all may.
    """
    block_items = min(BLOCK_ITEMS, max(1, COUNT_BYTES // (4 * num_items)))
    num_blocks = -(-num_items // block_items)
    # Neighbouring indexes are often alike popular (ids of old items), so blocks take turns.
    block = F.explode(F.array_distinct(F.transform("items", lambda item: item % num_blocks)))
    find = partial(
        _neighbours, num_items=num_items, num_blocks=num_blocks, k=neighbours, shrinkage=shrinkage
    )
    return (
        _build_users(pairs, eligible)
        .select(block.alias("block"), "items", "num_users", "may_be_shown")
        .repartition("block")
        .sortWithinPartitions("block")
        .mapInPandas(
            find,
            "item_index int, rank int, neighbour_index int, similarity double, num_common bigint",
        )
    )


def _build_users(pairs: DataFrame, eligible: DataFrame | None) -> DataFrame:
    """(items, num_users, may_be_shown) for each user: its items, and what is known of each."""
    items = pairs.groupBy("item_index").agg(F.count(F.lit(1)).cast("int").alias("num_users"))
    if eligible is None:
        items = items.withColumn("may_be_shown", F.lit(True))
    else:
        shown = eligible.select("item_index", F.lit(True).alias("may_be_shown"))
        items = items.join(shown, on="item_index", how="left").na.fill({"may_be_shown": False})
    names = ("item_index", "num_users", "may_be_shown")
    return (
        pairs.select("user_index", "item_index")
        .join(items, on="item_index", how="inner")
        .groupBy("user_index")
        .agg(F.collect_list(F.struct(*names)).alias("of_user"))
        .select(
            F.col("of_user.item_index").alias("items"), "of_user.num_users", "of_user.may_be_shown"
        )
    )


def _neighbours(
    batches: Iterable[pd.DataFrame], *, num_items: int, num_blocks: int, k: int, shrinkage: float
) -> Iterator[pd.DataFrame]:
    """Over (block, items, num_users, may_be_shown) by block: the neighbours of its items."""
    counts, num_users = _Counts(num_items, num_blocks), np.zeros(num_items)
    may_be_shown = np.zeros(num_items, bool)
    for batch in batches:
        columns = (batch[name] for name in batch.columns)
        for block, items, users, shown in zip(*columns, strict=True):
            if block != counts.block:
                yield from counts.neighbours(num_users, may_be_shown, k, shrinkage)
                counts.start(block)
            num_users[items], may_be_shown[items] = users, shown
            counts.add(items)
    yield from counts.neighbours(num_users, may_be_shown, k, shrinkage)


class _Counts:
    """How many users each item of a block has in common with every item.

    Item i is in row i // num_blocks of block i % num_blocks.
    """

    def __init__(self, num_items: int, num_blocks: int) -> None:
        self._num_items = num_items
        self._num_blocks = num_blocks
        self.block = -1
        self._common = np.zeros((0, num_items), np.int32)

    def start(self, block: int) -> None:
        """Goes on to another block."""
        self.block = block
        rows = len(range(block, self._num_items, self._num_blocks))
        self._common = np.zeros((rows, self._num_items), np.int32)

    def add(self, items: np.ndarray) -> None:
        """Counts one user, whose items are all different."""
        rows = items[items % self._num_blocks == self.block] // self._num_blocks
        self._common[rows[:, None], items] += 1

    def neighbours(
        self, num_users: np.ndarray, may_be_shown: np.ndarray, k: int, shrinkage: float
    ) -> Iterator[pd.DataFrame]:
        """The k most similar items of each row, of those that may be shown; all in one frame."""
        if len(self._common):
            yield pd.concat(self._neighbours(num_users, may_be_shown, k, shrinkage))

    def _neighbours(
        self, num_users: np.ndarray, may_be_shown: np.ndarray, k: int, shrinkage: float
    ) -> Iterator[pd.DataFrame]:
        for row, common in enumerate(self._common):
            item = self.block + row * self._num_blocks
            common[item] = 0
            others = np.flatnonzero((common > 0) & may_be_shown)
            norms = np.sqrt(num_users[item] * num_users[others])
            similarity = common[others] / (norms + shrinkage)
            # Stable, so that equal ones stay in the order of their indexes.
            best = np.argsort(-similarity, kind="stable")[:k]
            yield pd.DataFrame(
                {
                    "item_index": np.full(len(best), item, np.int32),
                    "rank": np.arange(1, len(best) + 1, dtype=np.int32),
                    "neighbour_index": others[best].astype(np.int32),
                    "similarity": similarity[best],
                    "num_common": common[others[best]].astype(np.int64),
                }
            )


def fit_als(
    train: DataFrame,
    user_index: DataFrame,
    item_index: DataFrame,
    *,
    rank: int,
    reg_param: float,
    alpha: float,
    iterations: int,
    seed: int,
) -> tuple[DataFrame, DataFrame]:
    """(user_index, vector) and (item_index, vector) of ALS on implicit preferences.

    A score is the vectors' product (Hu, Koren and Volinsky 2008). Every user and item of the
    indexes has a vector; it is all zero where there is no train pair. The same seed gives the same
    vectors in one process; where data arrives over a network, sums may differ in the last digits.

    Args:
        train: (user_index, item_index), not empty.
        rank: width of the vectors.
        reg_param: regularisation, times the number of a user's or an item's pairs.
        alpha: confidence of a pair is 1 + alpha.
        iterations: alternations between users and items. Their lineage is cut now and then where
            the Spark context has a checkpoint directory.
    """
    als = ALS(
        rank=rank,
        maxIter=iterations,
        checkpointInterval=_ITERATIONS_BETWEEN_CHECKPOINTS,
        regParam=reg_param,
        alpha=alpha,
        implicitPrefs=True,
        nonnegative=False,
        seed=seed,
        userCol="user_index",
        itemCol="item_index",
        ratingCol="rating",
    )
    pairs = train.select("user_index", "item_index", F.lit(1.0).cast("float").alias("rating"))
    model = als.fit(pairs)
    return (
        _with_vectors(user_index.select("user_index"), model.userFactors, rank),
        _with_vectors(item_index.select("item_index"), model.itemFactors, rank),
    )


def _with_vectors(indexes: DataFrame, factors: DataFrame, rank: int) -> DataFrame:
    """`indexes`, one column, with the `features` of `factors` as vector, or zeros."""
    (name,) = indexes.columns
    zeros = F.array_repeat(F.lit(0.0).cast("float"), rank)
    vectors = factors.select(F.col("id").alias(name), F.col("features").alias("vector"))
    return indexes.join(vectors, on=name, how="left").select(
        name, F.coalesce("vector", zeros).alias("vector")
    )
