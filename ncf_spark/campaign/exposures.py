"""How often an item stands in a campaign, and who keeps it when that is too often."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.window import Window


def build_exposures(lists: DataFrame, *, most: int) -> DataFrame:
    """(user_id, item_id, is_over, is_saturated), one row a slot.

    Of an item the first `most` exposures stay: by the place in the list, then by a hash of user and
    item. The others are over; an item that has as many as it may have is saturated.

    Args:
        lists: (user_id, slots, …).
    """
    slots = lists.select("user_id", F.posexplode("slots").alias("position", "slot"))
    exposures = slots.select("user_id", "position", F.col("slot.item_id").alias("item_id"))
    of_item = Window.partitionBy("item_id")
    first = of_item.orderBy("position", F.xxhash64("user_id", "item_id"), "user_id")
    return exposures.select(
        "user_id",
        "item_id",
        (F.row_number().over(first) > most).alias("is_over"),
        (F.count(F.lit(1)).over(of_item) >= most).alias("is_saturated"),
    )


def build_full_for(users: DataFrame, exposures: DataFrame) -> DataFrame:
    """The users that have an item too often, with `full_items`: what they can no longer get.

    Args:
        users: (user_id, …).
        exposures: as of `build_exposures`; what a user keeps of the saturated items stays possible.
    """
    of_user = exposures.groupBy("user_id").agg(
        F.bool_or("is_over").alias("has_over"),
        F.collect_set(F.when(~F.col("is_over"), F.col("item_id"))).alias("kept"),
    )
    saturated = exposures.where("is_saturated").agg(F.collect_set("item_id").alias("saturated"))
    again = of_user.where("has_over").crossJoin(F.broadcast(saturated))
    full = again.select("user_id", F.array_except("saturated", "kept").alias("full_items"))
    return users.join(full, on="user_id", how="inner")


def without_over(lists: DataFrame, exposures: DataFrame) -> DataFrame:
    """`lists` without the slots that are over, so that these stay empty."""
    of_user = exposures.where("is_over").groupBy("user_id")
    over = of_user.agg(F.collect_set("item_id").alias("over"))
    left = F.filter(
        "slots",
        lambda one: ~F.coalesce(F.array_contains(F.col("over"), one["item_id"]), F.lit(False)),
    )
    joined = lists.join(over, on="user_id", how="left")
    return joined.withColumn("slots", left).select(*lists.columns)
