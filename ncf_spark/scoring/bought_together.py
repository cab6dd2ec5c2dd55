"""The items that were bought by the same users: item-to-item tables without a model.

Not in `scoring.spark`, which Python workers import: importing the baselines would slow their start.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncf_spark.evaluation.baselines import build_item_neighbours


def build_bought_together(
    purchases: DataFrame, eligible: DataFrame, *, num_items: int, k: int, shrinkage: float
) -> DataFrame:
    """The k eligible items that share the most buyers with each item: `ITEM_TOPK`.

    An item that shares no buyer with an eligible one has no row; `build_item_neighbours` has the
    similarity.

    Args:
        purchases: (user_index, item_index), each pair once.
        eligible: (item_index).
        num_items: of the item index.
        shrinkage: added to the product of the norms.
    """
    neighbours = build_item_neighbours(
        purchases, num_items=num_items, neighbours=k, shrinkage=shrinkage, eligible=eligible
    )
    return neighbours.select(
        "item_index",
        F.lit("co_purchase").alias("method"),
        "rank",
        F.col("neighbour_index").alias("similar_item_index"),
        F.col("similarity").cast("float").alias("score"),
        F.col("num_common").alias("support"),
    )
