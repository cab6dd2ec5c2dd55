"""Builds the candidates for a recipient's slots, tier by tier.

Columns: the user or group, tier (the order in which tiers are tried), sort_key (the order within
the tier, lowest first), item_id, score, source. Candidates of the model have a user_index, similar
items a user_id; pinned items and best-sellers are the same for many users, and have a group.
"""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.window import Window

from ncf_spark.campaign.recipients import is_within

PIN, MODEL, BOUGHT_TOGETHER, SIMILAR, GROUP_BEST_SELLERS, BEST_SELLERS = range(6)


def build_pinned(campaign_items: DataFrame, *, k: int) -> DataFrame:
    """The first k pinned items, in the order of their ids; `group` is null: for all users.

    Args:
        campaign_items: (item_id, is_pinned, reason, …).
    """
    chosen = campaign_items.where("is_pinned and reason is null").orderBy("item_id").limit(k)
    return chosen.select(
        F.lit(None).cast("string").alias("group"),
        F.lit(PIN).alias("tier"),
        F.lit(0.0).alias("sort_key"),
        "item_id",
        F.lit(None).cast("float").alias("score"),
        F.lit("pin").alias("source"),
    )


def build_from_model(user_topk: DataFrame, campaign_items: DataFrame) -> DataFrame:
    """Each user's list from scoring, ordered by score plus boost; with user_index.

    Args:
        user_topk: (user_index, rank, item_index, score, source).
        campaign_items: (item_id, item_index, boost, reason, …).
    """
    items = campaign_items.where("reason is null").select("item_index", "item_id", "boost")
    boosted = F.when(F.col("boost") != 0, F.col("score") + F.col("boost"))
    return user_topk.join(items, on="item_index", how="inner").select(
        "user_index",
        F.lit(MODEL).alias("tier"),
        # Without a boost this is the order of scoring, ties included.
        (-F.coalesce(boosted, F.col("score"))).cast("double").alias("sort_key"),
        "item_id",
        "score",
        "source",
    )


def build_similar(
    users: DataFrame,
    history: DataFrame,
    item_topk: DataFrame,
    campaign_items: DataFrame,
    *,
    last: int,
) -> DataFrame:
    """The neighbours of each user's latest purchases: bought together, then by embedding.

    Each method's neighbours are ordered by their greatest similarity to one of the purchases.

    Args:
        users: (user_id, …).
        history: `schemas.HISTORY`.
        item_topk: (item_index, method, similar_item_index, score, …).
        last: number of latest purchases.
    """
    latest = Window.partitionBy("user_id").orderBy(F.desc("last_bought_at"), F.col("item_id"))
    bought = (
        history.where("is_bought")
        .join(users.select("user_id"), on="user_id", how="left_semi")
        .withColumn("n", F.row_number().over(latest))
        .where(F.col("n") <= last)
    )
    index = campaign_items.where("item_index is not null").select("item_id", "item_index")
    shown = campaign_items.where("reason is null and item_index is not null").select(
        F.col("item_id").alias("similar_id"), F.col("item_index").alias("similar_item_index")
    )
    near = (
        item_topk.join(index, on="item_index", how="inner")
        .join(shown, on="similar_item_index", how="inner")
        .select("item_id", "method", "similar_id", "score")
    )
    found = bought.join(near, on="item_id", how="inner").groupBy("user_id", "method", "similar_id")
    by_buyers = F.col("method") == "co_purchase"
    return found.agg(F.max("score").alias("score")).select(
        "user_id",
        F.when(by_buyers, BOUGHT_TOGETHER).otherwise(SIMILAR).alias("tier"),
        (-F.col("score")).cast("double").alias("sort_key"),
        F.col("similar_id").alias("item_id"),
        "score",
        F.when(by_buyers, "bought_together").otherwise("similar").alias("source"),
    )


def build_best_sellers(
    history: DataFrame,
    users: DataFrame,
    campaign_items: DataFrame,
    *,
    depth: int,
    days: int | None,
    ends_at: datetime,
) -> DataFrame:
    """(group, rank, item_id, num_buyers): the items with the most buyers, of each group of users.

    The group of all users is null. Ties are broken by the item's id.

    Args:
        history: `schemas.HISTORY`.
        users: (user_id, group), group null where a user has none.
        depth: items of a group.
        days: only purchases within these days before `ends_at` count; None: all do.
    """
    bought = history.where("is_bought")
    if days is not None:
        bought = bought.where(is_within(F.col("last_bought_at"), days=days, ends_at=ends_at))
    shown = campaign_items.where("reason is null").select("item_id")
    bought = bought.join(shown, on="item_id", how="left_semi")
    grouped = bought.join(users.where("group is not null"), on="user_id", how="inner")
    of_group = grouped.groupBy("group", "item_id").agg(F.count(F.lit(1)).alias("num_buyers"))
    first = Window.partitionBy("group").orderBy(F.desc("num_buyers"), F.col("item_id"))
    ranked = of_group.withColumn("rank", F.row_number().over(first)).where(F.col("rank") <= depth)
    of_all = bought.groupBy("item_id").agg(F.count(F.lit(1)).alias("num_buyers"))
    best = of_all.orderBy(F.desc("num_buyers"), F.col("item_id")).limit(depth)
    # Ranked as an array of `depth` items: a window over all users would have no partition.
    one = F.struct((-F.col("num_buyers")).alias("order"), "item_id", "num_buyers")
    listed = best.agg(F.array_sort(F.collect_list(one)).alias("list"))
    ranked_all = listed.select(F.posexplode("list").alias("position", "one")).select(
        F.lit(None).cast("string").alias("group"),
        (F.col("position") + 1).alias("rank"),
        "one.item_id",
        "one.num_buyers",
    )
    return ranked.select(*ranked_all.columns).unionByName(ranked_all)


def build_best_candidates(best_sellers: DataFrame) -> DataFrame:
    """The best-sellers as candidates of their `group`; null: of all users.

    Args:
        best_sellers: as of `build_best_sellers`.
    """
    is_all = F.col("group").isNull()
    return best_sellers.select(
        "group",
        F.when(is_all, BEST_SELLERS).otherwise(GROUP_BEST_SELLERS).alias("tier"),
        F.col("rank").cast("double").alias("sort_key"),
        "item_id",
        F.col("num_buyers").cast("float").alias("score"),
        F.when(is_all, "bestseller").otherwise("bestseller_here").alias("source"),
    )
