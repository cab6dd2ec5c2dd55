"""The popularity baseline: how many users each item has in train."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def build_item_popularity(train: DataFrame, item_index: DataFrame) -> DataFrame:
    """(item_index, num_users) for every item given; 0 for those without train pairs."""
    counts = train.groupBy("item_index").agg(F.count(F.lit(1)).alias("num_users"))
    return (
        item_index.select("item_index")
        .join(counts, on="item_index", how="left")
        .fillna(0, subset=["num_users"])
    )
