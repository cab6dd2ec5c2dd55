"""What is recommended: how much of the catalogue, how evenly, and how popular it is.

The catalogue here is the table item_popularity: every item that the models know. What is
recommended to a user are the first k of the full protocol's `top_items`.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.window import Window

from ncf_spark.evaluation.bootstrap import Figure, with_parts
from ncf_spark.evaluation.lists import FULL
from ncf_spark.evaluation.segments import ALL, with_user_segment
from ncf_spark.resampling import PRECISION

_DECILES = 10


def build_recommended(ranks: DataFrame) -> DataFrame:
    """(model, user_index, item_index, position): one row for each recommendation, from 1."""
    shown = F.posexplode("top_items").alias("before", "item_index")
    return (
        ranks.where((F.col("protocol") == FULL) & F.col("top_items").isNotNull())
        .select("model", "user_index", shown)
        .select("model", "user_index", "item_index", (F.col("before") + 1).alias("position"))
    )


def build_concentration(
    ranks: DataFrame, item_popularity: DataFrame, ks: Sequence[int]
) -> DataFrame:
    """coverage@k and gini@k of each model, as schemas.METRICS without intervals.

    coverage is the share of the catalogue's n items that are recommended to anyone. gini says how
    unevenly: with the items ordered by how often each is recommended, x_1 ≤ … ≤ x_n, it is
    Σ (2i - n - 1) x_i / (n Σ x_i), 0 when all are recommended equally often and (n - 1) / n when
    one item is all there is (Gini 1912; as in Shani and Gunawardana 2011, section 8.3.3.2). Items
    that are never recommended count as x = 0.
    """
    num_items = item_popularity.agg(F.count(F.lit(1)).alias("n"))
    of_list = Window.partitionBy("model", "k")
    up_to = of_list.orderBy("times").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    # m items share the same number of times; `below` of the n items have less.
    below = F.col("n") - F.sum("m").over(of_list) + F.sum("m").over(up_to) - F.col("m")
    histogram = _recommended_times(ranks, ks).join(num_items, how="cross")
    shares = histogram.withColumn("below", below).groupBy("model", "k", "n")
    all_times = F.sum(F.col("times") * F.col("m"))
    spread = F.sum(F.col("times") * F.col("m") * (2 * F.col("below") + F.col("m") - F.col("n")))
    figures = shares.agg(
        (F.sum("m") / F.col("n")).alias("coverage"),
        (spread / (F.col("n") * all_times)).alias("gini"),
    )
    null = F.lit(None).cast("double")
    return figures.unpivot(["model", "k"], ["coverage", "gini"], "metric", "value").select(
        "model",
        F.lit(FULL).alias("protocol"),
        "metric",
        "k",
        F.lit(ALL).alias("segment"),
        "value",
        null.alias("low"),
        null.alias("high"),
    )


def _recommended_times(ranks: DataFrame, ks: Sequence[int]) -> DataFrame:
    """(model, k, times, m): m items are recommended so many times, at least once."""
    within = [F.sum((F.col("position") <= k).cast("long")) for k in ks]
    each_k = F.explode(
        F.array(
            *[F.struct(F.lit(k).alias("k"), F.col(f"times_{k}").alias("times")) for k in ks],
        )
    )
    return (
        build_recommended(ranks)
        .groupBy("model", "item_index")
        .agg(*[times.alias(f"times_{k}") for k, times in zip(ks, within, strict=True)])
        .select("model", each_k.alias("of_k"))
        .where("of_k.times > 0")
        .groupBy("model", "of_k.k", "of_k.times")
        .agg(F.count(F.lit(1)).alias("m"))
    )


def with_num_less_popular(items: DataFrame) -> DataFrame:
    """`items` with `less`, `equal` and `n`: items with fewer users, with as many, and all.

    An item is among its own equals. The running count over all numbers of users is taken within
    each length of the number in binary digits, and the few lengths before are added: so no task
    sees them all.

    Args:
        items: (item_index, num_users, …).
    """
    counts = items.groupBy("num_users").agg(F.count(F.lit(1)).alias("equal"))
    counts = counts.withColumn("digits", F.length(F.bin("num_users")))
    sizes = counts.groupBy("digits").agg(F.sum("equal").alias("size"))
    sizes = sizes.agg(
        F.collect_list(F.struct("digits", "size")).alias("sizes"), F.sum("size").alias("n")
    )
    up_to = F.sum("equal").over(Window.partitionBy("digits").orderBy("num_users"))
    shorter = F.filter("sizes", lambda size: size["digits"] < F.col("digits"))
    before = F.aggregate(shorter, F.lit(0).cast("long"), lambda sum, size: sum + size["size"])
    less = (before + F.col("up_to") - F.col("equal")).alias("less")
    numbers = counts.withColumn("up_to", up_to).join(sizes, how="cross")
    return items.join(numbers.select("num_users", less, "equal", "n"), on="num_users", how="inner")


def build_item_percentiles(item_popularity: DataFrame) -> DataFrame:
    """(item_index, percentile): of the catalogue by train users, 0 to 1.

    (items with fewer users + half of those with as many) / items, so that ties share the middle of
    their ranks. The mean over the catalogue is 0.5, which recommending at random gives too.
    """
    percentile = (F.col("less") + F.col("equal") / 2) / F.col("n")
    # Rounded, so that the sum over a list does not depend on the order of its rows.
    exact = F.rint(percentile / PRECISION) * PRECISION
    return item_popularity.transform(with_num_less_popular).select(
        "item_index", exact.alias("percentile")
    )


def build_percentile_lists(
    ranks: DataFrame, user_segments: DataFrame, item_popularity: DataFrame, ks: Sequence[int]
) -> DataFrame:
    """One row for each model, user and segment, with what `percentile_figures` names.

    `percentile_<k>` is the sum over the first k recommendations and `num_<k>` their number, which
    is less than k only where the user has nearly everything. Segments: all, and by user.
    """
    sums = []
    for k in ks:
        within = F.col("position") <= k
        sums.append(F.sum(F.when(within, F.col("percentile"))).alias(f"percentile_{k}"))
        sums.append(F.sum(within.cast("double")).alias(f"num_{k}"))
    segments = F.explode(F.array(F.lit(ALL), F.col("user_segment")))
    return (
        build_recommended(ranks)
        .join(build_item_percentiles(item_popularity), on="item_index", how="inner")
        .groupBy("model", "user_index")
        .agg(*sums)
        .transform(with_user_segment, user_segments)
        .transform(with_parts)
        .withColumns({"protocol": F.lit(FULL), "segment": segments})
    )


def percentile_figures(ks: Sequence[int]) -> list[Figure]:
    """popularity_percentile@k: the mean over all recommendations of the item's percentile."""
    return [Figure("popularity_percentile", k, f"percentile_{k}", f"num_{k}") for k in ks]


def build_recommended_popularity(ranks: DataFrame, item_popularity: DataFrame, k: int) -> DataFrame:
    """Ten groups of items from the least popular to the most, and how much of each is recommended.

    One row for each model and decile: model, decile (1 = the least popular), then shares of the
    model's first k recommendations, of the catalogue's items and of the train pairs. The groups
    differ by one item at most; between items with as many users the lower item_index goes first.
    Of a catalogue of fewer than ten items, as many deciles as items have a row.
    """
    in_tie = F.row_number().over(Window.partitionBy("num_users").orderBy("item_index"))
    before = F.col("less") + in_tie - 1
    items = item_popularity.transform(with_num_less_popular).select(
        "item_index", "num_users", "n", F.floor(before * _DECILES / F.col("n")).alias("before")
    )
    items = items.withColumn("decile", (F.col("before") + 1).cast("int"))
    pairs = item_popularity.agg(F.sum("num_users").alias("num_pairs"))
    groups = items.groupBy("decile", "n").agg(
        F.count(F.lit(1)).alias("num_items"), F.sum("num_users").alias("num_users")
    )
    times = build_recommended(ranks).where(F.col("position") <= k).groupBy("model", "item_index")
    shown = times.agg(F.count(F.lit(1)).alias("times")).join(items, on="item_index", how="inner")
    shown = shown.groupBy("model", "decile").agg(F.sum("times").alias("times"))
    return (
        shown.select("model")
        .distinct()
        .join(groups.join(pairs, how="cross"), how="cross")
        .join(shown, on=["model", "decile"], how="left")
        .fillna(0, subset=["times"])
        .select("model", "decile", *_shares())
    )


def _shares() -> list[Column]:
    of_model = F.sum("times").over(Window.partitionBy("model"))
    interactions = F.when(F.col("num_pairs") > 0, F.col("num_users") / F.col("num_pairs"))
    return [
        (F.col("times") / of_model).alias("share_of_recommendations"),
        (F.col("num_items") / F.col("n")).alias("share_of_items"),
        F.coalesce(interactions, F.lit(0.0)).alias("share_of_interactions"),
    ]
