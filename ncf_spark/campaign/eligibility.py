"""Which items may be recommended, and who may receive them."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def build_eligible_items(
    item_activity: DataFrame, catalogue: DataFrame, *, in_catalogue: bool
) -> DataFrame:
    """(item_index) of the items with interactions tonight.

    Args:
        in_catalogue: whether an item must also stand in the catalogue (there may be none).
    """
    if in_catalogue:
        item_activity = item_activity.join(catalogue, on="item_id", how="left_semi")
    return item_activity.select("item_index")


def build_consenting(recipients: DataFrame) -> DataFrame:
    """(user_id, email, country) of the users who may be written to, one row each.

    Of a user's several rows each must give consent: a refusal anywhere counts. Rows without a
    user id are left out.
    """
    agreed = F.min(F.coalesce("consent", F.lit(False)))
    return (
        recipients.where(F.col("user_id").isNotNull())
        .groupBy("user_id")
        .agg(agreed.alias("agreed"), F.max(F.struct("email", "country")).alias("row"))
        .where("agreed")
        .select("user_id", "row.email", "row.country")
    )
