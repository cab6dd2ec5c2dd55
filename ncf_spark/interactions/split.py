"""Train and holdout: which pairs the model learns from and which it is judged on."""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.window import Window

# Candidates drawn for each negative that is wanted: enough that, after the user's own items and
# repeated draws are taken out, the wanted number is left for users who know half the catalogue.
_CANDIDATES_PER_NEGATIVE = 8


def with_last_event_held_out(indexed: DataFrame, *, seed: int) -> DataFrame:
    """`indexed` with `is_holdout`: true for each user's last pair (leave-one-out).

    Users with one pair keep it in train. Of pairs with the same last event, a hash of the pair
    decides, the same way every time.

    Args:
        indexed: (user_index, item_index, last_event_at, …).
    """
    of_user = Window.partitionBy("user_index")
    latest_first = of_user.orderBy(
        F.desc("last_event_at"), F.xxhash64("user_index", "item_index", F.lit(seed)), "item_index"
    )
    return (
        indexed.withColumn("num_pairs", F.count(F.lit(1)).over(of_user))
        .withColumn("position", F.row_number().over(latest_first))
        .withColumn("is_holdout", (F.col("position") == 1) & (F.col("num_pairs") > 1))
        .drop("num_pairs", "position")
    )


def with_recent_held_out(indexed: DataFrame, *, cutoff_at: datetime) -> DataFrame:
    """`indexed` with `is_holdout`: true for pairs first seen at `cutoff_at` or later (temporal)."""
    return indexed.withColumn("is_holdout", F.col("first_event_at") >= F.lit(cutoff_at))


def with_provided_held_out(indexed: DataFrame, provided: DataFrame) -> DataFrame:
    """`indexed` with `is_holdout`: true for the pairs of a provided test set, which it also gains.

    A pair that stands in both is held out: the model must not learn what it is judged on.

    Args:
        provided: (user_index, item_index, …); pairs may repeat.
    """
    held_out = provided.select("user_index", "item_index", F.lit(True).alias("provided")).distinct()
    joined = indexed.join(held_out, on=["user_index", "item_index"], how="full")
    return joined.withColumn("is_holdout", F.coalesce("provided", F.lit(False))).drop("provided")


def with_validation_held_out(indexed: DataFrame, *, seed: int) -> DataFrame:
    """`indexed` with `is_validation`: true for the last of each user's train pairs.

    Train pairs are those that `is_holdout` leaves. A user with one keeps it in train. Of pairs
    with the same last event, or without times, a hash of the pair decides.

    Args:
        indexed: (user_index, item_index, last_event_at, is_holdout, …).
    """
    of_user = Window.partitionBy("user_index", "is_holdout")
    # Another hash than that of the holdout, or the two would follow each other.
    tie = F.xxhash64("user_index", "item_index", F.lit(seed), F.lit("validation"))
    latest_first = of_user.orderBy(F.desc("last_event_at"), tie, "item_index")
    is_last = (F.col("position") == 1) & (F.col("num_pairs") > 1) & ~F.col("is_holdout")
    return (
        indexed.withColumn("num_pairs", F.count(F.lit(1)).over(of_user))
        .withColumn("position", F.row_number().over(latest_first))
        .withColumn("is_validation", is_last)
        .drop("num_pairs", "position")
    )


def build_train(indexed: DataFrame, *, num_shards: int) -> DataFrame:
    """The pairs to learn from, in the order and layout that the workers read.

    Args:
        indexed: (user_index, item_index, is_holdout, is_validation, …).
    """
    return (
        indexed.where(~F.col("is_holdout") & ~F.col("is_validation"))
        .select("user_index", "item_index", _shard(num_shards))
        .repartition(num_shards, "shard")
        .sortWithinPartitions("shard", "user_index", "item_index")
    )


def build_holdout(
    indexed: DataFrame,
    *,
    held_out: str,
    num_items: int,
    num_negatives: int,
    num_shards: int,
    seed: int,
) -> DataFrame:
    """The pairs to be judged on, each with negatives drawn from what the user has no pair with.

    Negatives are uniform over the items and drawn by hash, so that a rerun draws the same. Fewer
    than `num_negatives` are left only for users who have a pair with nearly all items.

    Args:
        indexed: (user_index, item_index, is_holdout, …) with every pair of the users.
        held_out: the column that marks the pairs, `is_holdout` or `is_validation`.
    """
    known = indexed.groupBy("user_index").agg(F.collect_set("item_index").alias("known"))
    draws = F.sequence(F.lit(1), F.lit(num_negatives * _CANDIDATES_PER_NEGATIVE))
    candidates = F.transform(draws, lambda draw: _draw_item(draw, num_items, seed))
    negatives = F.slice(F.array_except(candidates, F.col("known")), 1, num_negatives)
    return (
        indexed.where(held_out)
        .join(known, on="user_index", how="inner")
        .select("user_index", "item_index", negatives.alias("negatives"), _shard(num_shards))
    )


def build_provided_holdout(
    provided: DataFrame, item_index: DataFrame, *, num_shards: int
) -> DataFrame:
    """A holdout from given rows, with the item ids of their negatives replaced by indexes.

    Args:
        provided: (user_index, item_index, negatives: array of item ids as text).
        item_index: (item_id, item_index); holds every id that occurs.
    """
    exploded = provided.select(
        "user_index", "item_index", F.posexplode("negatives").alias("position", "item_id")
    )
    numbered = exploded.join(
        item_index.select("item_id", F.col("item_index").alias("negative")),
        on="item_id",
        how="inner",
    )
    in_order = F.sort_array(F.collect_list(F.struct("position", "negative")))
    return (
        numbered.groupBy("user_index", "item_index")
        .agg(in_order.alias("pairs"))
        .select(
            "user_index",
            "item_index",
            F.col("pairs.negative").alias("negatives"),
            _shard(num_shards),
        )
    )


def _shard(num_shards: int) -> Column:
    return (F.col("user_index") % num_shards).cast("int").alias("shard")


def _draw_item(draw: Column, num_items: int, seed: int) -> Column:
    hashed = F.xxhash64(F.col("user_index"), F.col("item_index"), draw, F.lit(seed))
    return F.pmod(hashed, F.lit(num_items)).cast("int")
