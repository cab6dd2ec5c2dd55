"""What the gates look at in users' lists: how many are full, and how much of them is new."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def build_full_lists(topk: DataFrame, train: DataFrame, *, k: int) -> DataFrame:
    """One row, (num_full, num_users): the users with k items, of the users of train.

    Args:
        topk: (user_index, rank, …), of users of train.
        train: (user_index, …).
    """
    users = train.select("user_index").distinct().withColumn("is_full", F.lit(False))
    full = topk.where(F.col("rank") == k).select("user_index", F.lit(True).alias("is_full"))
    return users.unionByName(full).agg(
        F.count_if("is_full").alias("num_full"), F.count_if(~F.col("is_full")).alias("num_users")
    )


def build_churn(before: DataFrame, after: DataFrame, *, k: int) -> DataFrame:
    """One row, (num_users, churn): the mean share of a user's first k items that are new.

    | user | before  | after     | new  |
    |------|---------|-----------|------|
    | 0    | 7, 5, 9 | 5, 7, 2   | 1/3  |
    | 1    | 4       | 4, 8      | 1/2  |
    | 2    |         | 3, 6, 1   | –    |

    gives (2, 0.416667). Only users with a list on both nights count; the order within a list does
    not. churn is from 0 to 1, exact to 12 decimals, and null where no user counts.

    Args:
        before: (user_index, rank, item_index, …) of the earlier night, such as `user_topk`; the
            user and item indexes must be the same on both nights.
        after: the same of the later night.
        k: items of a list.
    """
    old, new = (
        lists.where(F.col("rank") <= k).select("user_index", "item_index")
        for lists in (before, after)
    )
    known = old.withColumn("is_new", F.lit(0))
    is_new = F.coalesce("is_new", F.lit(1))
    shares = (
        new.join(old.select("user_index").distinct(), on="user_index", how="left_semi")
        .join(known, on=["user_index", "item_index"], how="left")
        .groupBy("user_index")
        # As decimals, whose sum does not depend on the order of the rows.
        .agg((F.sum(is_new) / F.count(F.lit(1))).cast("decimal(18,12)").alias("share"))
    )
    return shares.agg(
        F.count(F.lit(1)).alias("num_users"), F.avg("share").cast("double").alias("churn")
    )
