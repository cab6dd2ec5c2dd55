"""`user_topk` → the rows that a campaign sends, one recommendation a row or one recipient a row."""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncf_spark.schemas import CAMPAIGN_RECIPIENT, SLOT_COLUMNS, slot_column


def build_campaign_long(
    user_topk: DataFrame,
    user_index: DataFrame,
    item_index: DataFrame,
    catalogue: DataFrame,
    recipients: DataFrame,
    *,
    campaign_id: str,
    run_date: date,
    k: int,
    min_items: int,
) -> DataFrame:
    """One row for each recipient and slot, with the item's metadata.

    Args:
        recipients: (user_id, email, country), one row each; only these receive.
        k: slots of a recipient.
        min_items: recipients with fewer recommendations get no row.
    """
    slots = user_topk.where(F.col("rank") <= k)
    enough = (
        slots.groupBy("user_index")
        .agg(F.count(F.lit(1)).alias("n"))
        .where(F.col("n") >= min_items)
        .select("user_index")
    )
    named = (
        slots.join(enough, on="user_index", how="left_semi")
        .join(user_index, on="user_index", how="inner")
        .join(recipients, on="user_id", how="inner")
        .join(item_index, on="item_index", how="inner")
        .join(catalogue, on="item_id", how="left")
    )
    return named.select(
        F.lit(campaign_id).alias("campaign_id"),
        F.lit(run_date).alias("run_date"),
        "user_id",
        "email",
        "country",
        F.lit("model").alias("arm"),
        "rank",
        "item_id",
        "title",
        "price",
        "url",
        "score",
        "source",
    )


def build_campaign(campaign_long: DataFrame, *, k: int) -> DataFrame:
    """One row for each recipient: item_1, title_1, … item_k, …; empty slots are null."""
    slots = [
        F.max(F.when(F.col("rank") == rank, F.col(name))).alias(slot_column(name, rank))
        for rank in range(1, k + 1)
        for name in SLOT_COLUMNS
    ]
    return campaign_long.groupBy(*CAMPAIGN_RECIPIENT).agg(*slots)
