"""Parts of the users and of the holdout that the metrics are also given for."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

ALL = "all"
USERS_FEW, USERS_SOME, USERS_MANY = "users few", "users some", "users many"
CATEGORY_PREFIX = "category="

# More segments than these say nothing that is still read, and each costs its bootstrap sums.
MAX_CATEGORIES = 20


def build_user_segments(train: DataFrame, bounds: Sequence[int]) -> DataFrame:
    """(user_index, user_segment) for the users of `train`, by their number of train pairs.

    bounds [10, 50] → up to 10 `users few`, up to 50 `users some`, above `users many`.
    """
    few, some = bounds
    num_pairs = F.count(F.lit(1))
    segment = F.when(num_pairs <= few, USERS_FEW).when(num_pairs <= some, USERS_SOME)
    return train.groupBy("user_index").agg(segment.otherwise(USERS_MANY).alias("user_segment"))


def with_user_segment(rows: DataFrame, user_segments: DataFrame) -> DataFrame:
    """`rows` with `user_segment`; users without a train pair are `users few`."""
    return rows.join(
        user_segments.select("user_index", "user_segment"), on="user_index", how="left"
    ).fillna(USERS_FEW, subset=["user_segment"])


def build_item_categories(catalogue: DataFrame, item_index: DataFrame) -> DataFrame:
    """(item_index, category) of the items that have one.

    A category is taken as it is written: `Action|Thriller` is one of its own.
    """
    return (
        catalogue.where(F.col("category").isNotNull())
        .join(item_index, on="item_id", how="inner")
        .select("item_index", "category")
    )


def build_category_counts(ranks: DataFrame, categories: DataFrame) -> DataFrame:
    """(category, num_pairs): how many different holdout pairs have an item of the category.

    Args:
        categories: (item_index, category), one row an item.
    """
    pairs = ranks.select("user_index", "item_index").distinct()
    return (
        pairs.join(categories, on="item_index", how="inner")
        .where(F.col("category").isNotNull())
        .groupBy("category")
        .agg(F.count(F.lit(1)).alias("num_pairs"))
    )


def filter_top_categories(categories: DataFrame, counts: DataFrame, limit: int) -> DataFrame:
    """The rows of `categories` whose category is among the `limit` with the most holdout pairs.

    Of categories with as many pairs, the one that is first in the alphabet goes first.

    Args:
        counts: (category, num_pairs).
    """
    kept = counts.orderBy(F.desc("num_pairs"), "category").limit(limit).select("category")
    return categories.join(kept, on="category", how="inner").select("item_index", "category")
