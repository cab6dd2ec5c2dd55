"""Builds the tables of a campaign from its lists: long, wide, recipients, and report."""

from __future__ import annotations

from datetime import date
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ncf_spark.campaign.arms import HOLDOUT
from ncf_spark.campaign.slots import num_categories
from ncf_spark.schemas import CAMPAIGN_RECIPIENT, CAMPAIGN_SLOT, SLOT_COLUMNS, slot_column

_RECIPIENT = CAMPAIGN_RECIPIENT[2:]  # without campaign_id and run_date


def meets_minimum(*, min_items: int, min_categories: int) -> Column:
    """Whether `slots` have enough items and categories to be sent."""
    is_long = F.coalesce(F.size("slots"), F.lit(0)) >= min_items
    if min_categories == 1:
        return is_long
    return is_long & (num_categories(F.col("slots")) >= min_categories)


def build_campaign_lists(lists: DataFrame, campaign_items: DataFrame) -> DataFrame:
    """One row for each recipient with its slots as an array (`schemas.CAMPAIGN_LISTS`).

    Args:
        lists: (user_id, email, locale, country, segment, arm, slots), of those who get email.
        campaign_items: (item_id, title, url, image_url, price, …).
    """
    facts = campaign_items.select("item_id", "title", "url", "image_url", "price")
    who = F.struct(*_RECIPIENT).alias("who")
    slots = lists.select("user_id", who, F.posexplode("slots").alias("position", "slot"))
    slots = slots.select("user_id", "who", "position", "slot.item_id", "slot.score", "slot.source")
    named = slots.join(facts, on="item_id", how="left")
    cells = F.struct(*[field.name for field in CAMPAIGN_SLOT]).alias("cells")
    gathered = F.array_sort(F.collect_list(F.struct("position", cells)))
    of_user = named.groupBy("user_id").agg(F.first("who").alias("who"), gathered.alias("slots"))
    return of_user.select("who.*", F.col("slots.cells").alias("slots"))


def build_campaign_long(campaign_lists: DataFrame, campaign_id: str, run_date: date) -> DataFrame:
    """One row for each recipient and slot."""
    slots = campaign_lists.select(*_RECIPIENT, F.posexplode("slots").alias("position", "slot"))
    rank = (F.col("position") + 1).alias("rank")
    return slots.select(*_night(campaign_id, run_date), *_RECIPIENT, rank, "slot.*")


def build_campaign(
    campaign_lists: DataFrame, campaign_id: str, run_date: date, *, k: int
) -> DataFrame:
    """One row for each recipient: item_1, title_1, … item_k, …; empty slots are null."""
    cells = [
        F.get("slots", F.lit(rank - 1))[name].alias(slot_column(name, rank))
        for rank in range(1, k + 1)
        for name in SLOT_COLUMNS
    ]
    return campaign_lists.select(*_night(campaign_id, run_date), *_RECIPIENT, *cells)


def _night(campaign_id: str, run_date: date) -> tuple[Column, Column]:
    return F.lit(campaign_id).alias("campaign_id"), F.lit(run_date).alias("run_date")


def build_campaign_recipients(
    users: DataFrame, lists: DataFrame, can_send: Column, campaign_id: str, run_date: date
) -> DataFrame:
    """The outcome of each recipient (`schemas.CAMPAIGN_RECIPIENTS`).

    Args:
        users: (user_id, arm, reason, …), arm null where there is a reason.
        lists: (user_id, slots) of the users who have an arm.
        can_send: over `lists`, as of `meets_minimum`.
    """
    filled = lists.select("user_id", F.size("slots").alias("n"), can_send.alias("can_send"))
    joined = users.join(filled, on="user_id", how="left")
    too_few = F.col("reason").isNull() & ~F.coalesce("can_send", F.lit(False))
    reason = F.coalesce("reason", F.when(too_few, F.lit("too_few_items")))
    count = F.when(reason.isNull() & (F.col("arm") != HOLDOUT), F.col("n"))
    return joined.select(
        *_night(campaign_id, run_date),
        "user_id",
        "arm",
        reason.alias("reason"),
        F.coalesce(count, F.lit(0)).cast("int").alias("num_items"),
    )


def build_report(
    campaign_recipients: DataFrame,
    campaign_items: DataFrame,
    lists: DataFrame,
    campaign_long: DataFrame,
    users: DataFrame,
) -> DataFrame:
    """`schemas.CAMPAIGN_REPORT`: what was left out, by reason, and sent, by arm and source.

    Args:
        lists: (user_id, rejected, …); each rejected candidate counts as a pair.
        users: (user_id, lists, …), the suppression lists that have each.
    """
    parts = [
        _counted(campaign_recipients.where("reason is not null"), "recipient", "reason"),
        _counted(campaign_items.where("reason is not null"), "item", "reason"),
        _counted(lists.select(F.explode("rejected.reason").alias("reason")), "pair", "reason"),
        _counted(campaign_recipients.where("reason is null"), "arm", "arm"),
        _counted(campaign_long, "slot", "source"),
        _counted(users.select(F.explode("lists").alias("list")), "list", "list"),
    ]
    return reduce(DataFrame.unionByName, parts)


def _counted(rows: DataFrame, kind: str, by: str) -> DataFrame:
    counted = rows.groupBy(F.col(by).alias("reason")).agg(F.count(F.lit(1)).alias("num"))
    return counted.select(F.lit(kind).alias("kind"), "reason", "num")
