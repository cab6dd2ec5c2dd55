"""Finds the items that are not recommended to a user, although other users may get them."""

from __future__ import annotations

from datetime import datetime, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ncf_spark.campaign.recipients import is_within


def build_purchases(history: DataFrame, user_index: DataFrame, item_index: DataFrame) -> DataFrame:
    """(user_index, item_index) of what was bought, each pair once.

    Args:
        history: `schemas.HISTORY`.
        user_index: (user_id, user_index, …); purchases of other users are left out.
        item_index: (item_id, item_index, …); purchases of other items are left out.
    """
    users = user_index.select("user_id", "user_index")
    items = item_index.select("item_id", "item_index")
    bought = history.where("is_bought").join(users, on="user_id", how="inner")
    return bought.join(items, on="item_id", how="inner").select("user_index", "item_index")


def build_blocked_pairs(
    history: DataFrame,
    campaign_items: DataFrame,
    sent: DataFrame | None,
    *,
    known: bool,
    bought: bool,
    bought_days: int | None,
    consumable_days: int,
    wanted: bool,
    ends_at: datetime,
) -> DataFrame:
    """(user_id, item_id, reason): what a user must not get, with a code of `reasons.PAIRS`.

    A pair may have several reasons, one row each. Events of a consumable block it for
    `consumable_days`. Events whose time is not readable block it forever.

    Args:
        history: `schemas.HISTORY`.
        campaign_items: (item_id, is_consumable, …).
        sent: as of `build_sent`; None: what was sent is not blocked.
    """
    consumables = campaign_items.where("is_consumable").select(
        "item_id", F.lit(True).alias("is_consumable")
    )
    rows = history.join(F.broadcast(consumables), on="item_id", how="left")
    used_up = F.col("last_event_at") < F.lit(ends_at - timedelta(days=consumable_days))
    returns = F.coalesce(F.col("is_consumable") & used_up & ~F.col("has_undated"), F.lit(False))
    recent: Column = F.lit(True)
    if bought_days is not None:
        since = is_within(F.col("last_bought_at"), days=bought_days, ends_at=ends_at)
        recent = F.coalesce(since, F.lit(True)) | F.col("has_undated")
    reason = F.coalesce(
        F.when(F.lit(bought) & F.col("is_bought") & recent & ~returns, F.lit("bought")),
        F.when(F.lit(wanted) & F.col("is_wanted"), F.lit("wanted")),
        F.when(F.lit(known) & ~returns, F.lit("known")),
    )
    pairs = rows.select("user_id", "item_id", reason.alias("reason")).where("reason is not null")
    if sent is None:
        return pairs
    return pairs.unionByName(sent.withColumn("reason", F.lit("sent")))


def build_sent(send_log: DataFrame, *, days: int, ends_at: datetime) -> DataFrame:
    """(user_id, item_id) of what was sent within the days before `ends_at`.

    Args:
        send_log: (user_id, item_id, sent_at, …); rows without an item are left out.
    """
    recent = send_log.where(is_within(F.col("sent_at"), days=days, ends_at=ends_at))
    return recent.where("item_id is not null").select("user_id", "item_id").distinct()


def build_blocked_items(blocked_pairs: DataFrame) -> DataFrame:
    """(user_id, blocked), the pairs gathered by user: ana, [{tea, bought}, {mug, sent}].

    Args:
        blocked_pairs: as of `build_blocked_pairs`.
    """
    pair = F.struct("item_id", "reason")
    return blocked_pairs.groupBy("user_id").agg(F.collect_list(pair).alias("blocked"))


def build_other_country_items(users: DataFrame, campaign_items: DataFrame) -> DataFrame:
    """(user_id, other_country_items): indexes of the items that are not for the user's country.

    An item for some countries is not for users whose country is unknown. The items are gathered
    once per country, not once per user.

    Args:
        users: (user_id, country, …).
        campaign_items: (item_index, countries, reason, …).
    """
    limited = campaign_items.where("countries is not null and reason is null")
    limited = limited.where("item_index is not null").select("item_index", "countries")
    countries = users.select(F.col("country").alias("own")).distinct()
    is_sold_there = F.array_contains("countries", F.upper(F.trim("own")))
    is_other = ~F.coalesce(is_sold_there, F.lit(False))
    of_country = countries.join(F.broadcast(limited), on=is_other, how="inner").groupBy("own")
    gathered = of_country.agg(
        F.sort_array(F.collect_list("item_index")).alias("other_country_items")
    )
    is_own = F.col("country").eqNullSafe(F.col("own"))
    found = users.join(F.broadcast(gathered), on=is_own, how="inner")
    return found.select("user_id", "other_country_items")


def with_excluded(
    users: DataFrame,
    blocked_pairs: DataFrame,
    other_country_items: DataFrame | None,
    user_index: DataFrame,
    campaign_items: DataFrame,
    *,
    known: bool,
) -> DataFrame:
    """(user_index, seen, profile): what scoring excludes, and the items that describe each user.

    Args:
        users: (user_index, seen), the items of all pairs of a user.
        blocked_pairs: as of `build_blocked_pairs`.
        other_country_items: as of `build_other_country_items`; None: no item is limited to
            countries.
        known: whether the items of all pairs are excluded too.
    """
    index = user_index.select("user_id", "user_index")
    items = campaign_items.where("item_index is not null").select("item_id", "item_index")
    indexed = blocked_pairs.join(items, on="item_id", how="inner").join(
        index, on="user_id", how="inner"
    )
    blocked = indexed.groupBy("user_index").agg(F.collect_set("item_index").alias("blocked"))
    joined = users.withColumnRenamed("seen", "profile").join(blocked, on="user_index", how="left")
    empty = F.array().cast("array<int>")
    parts = [F.coalesce("blocked", empty), *([F.col("profile")] if known else [])]
    if other_country_items is not None:
        by_index = other_country_items.join(index, on="user_id", how="inner").drop("user_id")
        joined = joined.join(by_index, on="user_index", how="left")
        parts.append(F.coalesce("other_country_items", empty))
    return joined.select("user_index", "profile", F.concat(*parts).alias("seen"))
