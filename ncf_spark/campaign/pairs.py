"""What is not recommended to a user, though others may get it."""

from __future__ import annotations

from datetime import datetime, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ncf_spark.campaign.recipients import within


def build_purchases(history: DataFrame, user_index: DataFrame, item_index: DataFrame) -> DataFrame:
    """(user_index, item_index) of what was bought, each pair once.

    Args:
        history: `schemas.HISTORY`.
        user_index: (user_id, user_index, …); others' purchases are left out.
        item_index: (item_id, item_index, …); the same.
    """
    users, items = (
        user_index.select("user_id", "user_index"),
        item_index.select("item_id", "item_index"),
    )
    bought = history.where("is_bought").join(users, on="user_id", how="inner")
    return bought.join(items, on="item_id", how="inner").select("user_index", "item_index")


def build_never_pairs(
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
    """(user_id, item_id, reason): what a user is not to get, by a code of `reasons.PAIRS`.

    A pair may stand there for several reasons, one row each. Of a consumable the user's events
    count for `consumable_days`, then it may return. Events without a readable time count for ever.

    Args:
        history: `schemas.HISTORY`.
        campaign_items: (item_id, is_consumable, …).
        sent: (user_id, item_id), what was sent too recently; None: that does not count.
    """
    consumables = campaign_items.where("is_consumable").select(
        "item_id", F.lit(True).alias("is_consumable")
    )
    rows = history.join(F.broadcast(consumables), on="item_id", how="left")
    used_up = F.col("last_event_at") < F.lit(ends_at - timedelta(days=consumable_days))
    returns = F.coalesce(F.col("is_consumable") & used_up & ~F.col("has_undated"), F.lit(False))
    recent: Column = F.lit(True)
    if bought_days is not None:
        since = within(F.col("last_bought_at"), days=bought_days, ends_at=ends_at)
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


def build_elsewhere(users: DataFrame, campaign_items: DataFrame) -> DataFrame:
    """(user_id, elsewhere): the numbers of the items that are for other countries than the user's.

    An item for some countries is not for users of whom no country is known. The items are gathered
    once a country, not once a user.

    Args:
        users: (user_id, country, …).
        campaign_items: (item_index, countries, reason, …).
    """
    bound = campaign_items.where("countries is not null and reason is null")
    bound = bound.where("item_index is not null").select("item_index", "countries")
    here = F.coalesce(F.array_contains("countries", F.upper(F.trim("place"))), F.lit(False))
    places = users.select(F.col("country").alias("place")).distinct()
    of_place = places.join(F.broadcast(bound), on=~here, how="inner").groupBy("place")
    gathered = of_place.agg(F.sort_array(F.collect_list("item_index")).alias("elsewhere"))
    is_there = F.col("country").eqNullSafe(F.col("place"))
    found = users.join(F.broadcast(gathered), on=is_there, how="inner")
    return found.select("user_id", "elsewhere")


def build_never(pairs: DataFrame) -> DataFrame:
    """(user_id, never), the pairs of each user gathered: ana, [{tea, bought}, {mug, sent}].

    Args:
        pairs: as of `build_never_pairs`.
    """
    one = F.struct("item_id", "reason")
    return pairs.groupBy("user_id").agg(F.collect_list(one).alias("never"))


def with_masked(
    users: DataFrame,
    never_pairs: DataFrame,
    elsewhere: DataFrame | None,
    user_index: DataFrame,
    campaign_items: DataFrame,
    *,
    known: bool,
) -> DataFrame:
    """(user_index, seen, profile): what scoring leaves out, and what each user is known by.

    Args:
        users: (user_index, seen), the items of all pairs of a user.
        never_pairs: as of `build_never_pairs`.
        elsewhere: as of `build_elsewhere`; None: no item is bound to countries.
        known: whether all these pairs are left out too.
    """
    numbers = user_index.select("user_id", "user_index")
    items = campaign_items.where("item_index is not null").select("item_id", "item_index")
    indexed = never_pairs.join(items, on="item_id", how="inner").join(
        numbers, on="user_id", how="inner"
    )
    never = indexed.groupBy("user_index").agg(F.collect_set("item_index").alias("never"))
    joined = users.withColumnRenamed("seen", "profile").join(never, on="user_index", how="left")
    nothing = F.array().cast("array<int>")
    parts = [F.coalesce("never", nothing), *([F.col("profile")] if known else [])]
    if elsewhere is not None:
        by_index = elsewhere.join(numbers, on="user_id", how="inner").drop("user_id")
        joined = joined.join(by_index, on="user_index", how="left")
        parts.append(F.coalesce("elsewhere", nothing))
    return joined.select("user_index", "profile", F.concat(*parts).alias("seen"))


def build_sent(send_log: DataFrame, *, days: int, ends_at: datetime) -> DataFrame:
    """(user_id, item_id) of what was sent within the days before `ends_at`.

    Args:
        send_log: (user_id, item_id, sent_at, …); rows without an item are of no pair.
    """
    recent = send_log.where(within(F.col("sent_at"), days=days, ends_at=ends_at))
    return recent.where("item_id is not null").select("user_id", "item_id").distinct()
