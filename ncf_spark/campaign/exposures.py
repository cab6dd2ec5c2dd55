"""Limits how often an item is sent: who keeps it when it is in too many lists."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.window import Window


def build_exposures(lists: DataFrame, *, max_exposures: int) -> DataFrame:
    """(user_id, item_id, is_excess, is_saturated), one row a slot.

    The first `max_exposures` slots of an item stay: by the position in the list, then by a hash of
    user and item. The others are in excess; an item that has as many as it may is saturated.

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
        (F.row_number().over(first) > max_exposures).alias("is_excess"),
        (F.count(F.lit(1)).over(of_item) >= max_exposures).alias("is_saturated"),
    )


def build_reselection(users: DataFrame, exposures: DataFrame) -> DataFrame:
    """The users who lose an item, with `unavailable_items`: the saturated items of other users.

    Args:
        users: (user_id, …).
        exposures: as of `build_exposures`; the saturated items that a user keeps stay available.
    """
    of_user = exposures.groupBy("user_id").agg(
        F.bool_or("is_excess").alias("has_excess"),
        F.collect_set(F.when(~F.col("is_excess"), F.col("item_id"))).alias("kept"),
    )
    saturated = exposures.where("is_saturated").agg(F.collect_set("item_id").alias("saturated"))
    again = of_user.where("has_excess").crossJoin(F.broadcast(saturated))
    unavailable = F.array_except("saturated", "kept").alias("unavailable_items")
    return users.join(again.select("user_id", unavailable), on="user_id", how="inner")


def without_excess(lists: DataFrame, exposures: DataFrame) -> DataFrame:
    """`lists` without the slots in excess, which stay empty."""
    of_user = exposures.where("is_excess").groupBy("user_id")
    excess = of_user.agg(F.collect_set("item_id").alias("excess"))
    kept = F.filter(
        "slots",
        lambda slot: ~F.coalesce(F.array_contains(F.col("excess"), slot["item_id"]), F.lit(False)),
    )
    joined = lists.join(excess, on="user_id", how="left")
    return joined.withColumn("slots", kept).select(*lists.columns)
