"""Train and holdout: which pairs the model learns from and which it is judged on."""

from __future__ import annotations

import math
from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.window import Window, WindowSpec


def with_was_trained(indexed: DataFrame, trained: DataFrame | None) -> DataFrame:
    """`indexed` with `was_trained`: whether the model that training starts from knows the pair.

    Such a pair is never held out: a customer who buys the same again would make it the last one,
    and the model would be judged on a pair that it was trained on.

    Args:
        trained: (user_index, item_index); None: training starts from random weights.
    """
    if trained is None:
        return indexed.withColumn("was_trained", F.lit(False))
    known = trained.select("user_index", "item_index", F.lit(True).alias("was_trained"))
    joined = indexed.join(known, on=["user_index", "item_index"], how="left")
    return joined.fillna(False, subset=["was_trained"])


def with_last_event_held_out(indexed: DataFrame, *, seed: int) -> DataFrame:
    """`indexed` with `is_holdout`: true for each user's last pair (leave-one-out).

    Users with one pair keep it in train. Of pairs with the same last event, a hash of the pair
    decides, the same way every time. Pairs that `was_trained` are not held out.

    Args:
        indexed: (user_index, item_index, last_event_at, was_trained, …).
    """
    latest_first = Window.partitionBy("user_index").orderBy(
        "was_trained",
        F.desc("last_event_at"),
        F.xxhash64("user_index", "item_index", F.lit(seed)),
        "item_index",
    )
    is_last = _is_first_of_several(latest_first) & ~F.col("was_trained")
    return indexed.withColumn("is_holdout", is_last)


def with_recent_held_out(indexed: DataFrame, *, cutoff_at: datetime) -> DataFrame:
    """`indexed` with `is_holdout`: true for pairs first seen at `cutoff_at` or later (temporal).

    Args:
        indexed: (first_event_at, was_trained, …); pairs that `was_trained` are not held out.
    """
    is_recent = F.col("first_event_at") >= F.lit(cutoff_at)
    return indexed.withColumn("is_holdout", is_recent & ~F.col("was_trained"))


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
    with the same last event, or without times, a hash of the pair decides. What `was_trained` is
    passed over.

    Args:
        indexed: (user_index, item_index, last_event_at, is_holdout, was_trained, …).
    """
    # Another hash than that of the holdout, or the two would follow each other.
    tie = F.xxhash64("user_index", "item_index", F.lit(seed), F.lit("validation"))
    latest_first = Window.partitionBy("user_index", "is_holdout").orderBy(
        "was_trained", F.desc("last_event_at"), tie, "item_index"
    )
    is_last = _is_first_of_several(latest_first) & ~(F.col("is_holdout") | F.col("was_trained"))
    return indexed.withColumn("is_validation", is_last)


def _is_first_of_several(window: WindowSpec) -> Column:
    """Whether a row is the first of its window and not the only one, without counting the rows."""
    has_next = F.lead(F.lit(True), 1, False).over(window)
    return (F.row_number().over(window) == 1) & has_next


def build_train(indexed: DataFrame, *, num_shards: int) -> DataFrame:
    """The pairs to learn from, in the order and layout that the workers read.

    Args:
        indexed: (user_index, item_index, is_holdout, is_validation, …).
    """
    return (
        indexed.where(~F.col("is_holdout") & ~F.col("is_validation"))
        .select("user_index", "item_index", _shard(num_shards))
        .repartition("shard")
        .sortWithinPartitions("shard", "user_index", "item_index")
    )


def build_user_items(pairs: DataFrame, *, num_shards: int) -> DataFrame:
    """One row for each user: the items of all its pairs, and of those that are held out.

    | shard | user_index | known     | num_train | holdout | validation |
    |-------|------------|-----------|-----------|---------|------------|
    | 5     | 5          | [1, 2, 7] | 1         | [7]     | [2]        |

    Rows lie by shard. The order within the arrays is not settled.

    Args:
        pairs: (user_index, item_index, is_holdout, is_validation, …).
    """
    is_train = ~F.col("is_holdout") & ~F.col("is_validation")
    return (
        pairs.select("user_index", "item_index", "is_holdout", "is_validation", _shard(num_shards))
        .repartition("shard")
        .groupBy("shard", "user_index")
        .agg(
            F.collect_list("item_index").alias("known"),
            F.count_if(is_train).cast("int").alias("num_train"),
            F.collect_list(F.when(F.col("is_holdout"), F.col("item_index"))).alias("holdout"),
            F.collect_list(F.when(F.col("is_validation"), F.col("item_index"))).alias("validation"),
        )
    )


def build_holdout(
    users: DataFrame,
    *,
    held_out: str,
    num_items: int,
    num_negatives: int,
    seed: int,
    present: DataFrame | None = None,
) -> DataFrame:
    """The pairs to be judged on, each with negatives drawn from what the user has no pair with.

    Users without a train pair are left out: they have no vector to rank with.

    A held-out pair has an order of all items of its own, `(start + step * j) % prime` for j = 0, 1,
    …, where the prime is the least one from `num_items` on, and start and step are hashes of the
    pair. Its negatives are the first in that order that the user does not know. So a rerun draws
    the same, and fewer than `num_negatives` are left only where the user does not know as many.
    Items are nearly, not exactly, equally likely, as what the user knows lies in the way of some
    orders more than of others. Over all orders, for a few sets of known items, shares were off by
    up to 0.1 % with 450 of 500 unknown, 1.1 % with 80 of 100, 4.2 % with 10 of 13. That two items
    come together is less even: off by up to 2 %, 24 % and 18 %.

    Args:
        users: as of `build_user_items`.
        held_out: the column of items, `holdout` or `validation`.
        num_items: how many items there are to draw from.
        present: (item_index) of these items; None: they are 0 to `num_items` - 1. A query brings
            them to the driver, 4 bytes an item, and each task has them once.
    """
    prime = _least_prime(num_items)
    pairs = users.where(F.col("num_train") > 0).select(
        "shard", "user_index", "known", F.explode(held_out).alias("item_index")
    )
    key = ("user_index", "item_index", F.lit(seed))
    start = F.pmod(F.xxhash64(*key), F.lit(prime))
    step = 1 + F.pmod(F.xxhash64(*key, F.lit("step")), F.lit(prime - 1))
    # Of so many, enough are left when all that is known and no item is among them.
    enough = F.least(F.lit(prime), num_negatives + F.size("known") + F.lit(prime - num_items))
    order = F.sequence(start, start + step * (enough - 1), step)
    drawn = F.transform(order, lambda number: (number % prime).cast("int"))
    if prime > num_items:
        drawn = F.filter(drawn, lambda number: number < num_items)
    if present is not None:
        # A constant of the plan: as a column it would be copied into every row, 400 kB of 100,000
        # items, which took four times as long.
        listed = present.agg(F.to_json(F.sort_array(F.collect_list("item_index")))).collect()
        numbers = F.from_json(F.lit(listed[0][0]), "array<int>")
        drawn = F.transform(drawn, lambda number: F.get(numbers, number))
    negatives = F.slice(F.array_except(drawn, "known"), 1, num_negatives)
    return pairs.select("user_index", "item_index", negatives.alias("negatives"), "shard")


def _least_prime(at_least: int) -> int:
    """The least prime that is not below a number; 2 for all below."""
    number = max(at_least, 2)
    while any(number % divisor == 0 for divisor in range(2, math.isqrt(number) + 1)):
        number += 1
    return number


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
