"""Two models over the users that both of them judged, from `ranks`."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncf_spark.evaluation.lists import FULL, LIST_METRICS


def common_users_metric(
    ranks: DataFrame, a: str, b: str, *, protocol: str, metric: str, k: int
) -> tuple[float | None, float | None, int]:
    """A metric of the models `a` and `b`, and how many users it is over: those that both have.

    Last night's model knows fewer users than tonight's, so that their rows of `metrics` are over
    different users. Each value is a mean over lists, as in `metrics`: of users under full, of
    holdout pairs under sampled_99. None without common users.

    Runs a query whose one row comes to the driver.

    Args:
        ranks: schemas.RANKS.
        protocol: full, or sampled_99 and its like.
        metric: of `lists.LIST_METRICS`: hr, ndcg, recall, mrr or map.
        k: cut-off, which need not be one of evaluation.ks.
    """
    lists = build_common_lists(ranks, a, b, protocol=protocol)
    value = LIST_METRICS[metric](k)
    means = [F.avg(F.when(F.col("model") == name, value)) for name in (a, b)]
    row = lists.agg(*means, F.count_distinct("user_index")).collect()[0]
    return row[0], row[1], row[2]


def build_common_lists(ranks: DataFrame, a: str, b: str, *, protocol: str) -> DataFrame:
    """(user_index, model, ranks): the lists of two models for the users that both have.

    `ranks` is the ordered array of a list's ranks, several under full where a user has several
    holdout items. Of a model with itself, each list is there once.

    Args:
        ranks: schemas.RANKS.
    """
    pair = F.lit(None).cast("int") if protocol == FULL else F.col("item_index")
    found = ranks.where((F.col("protocol") == protocol) & F.col("model").isin(a, b))
    by_user = found.groupBy("user_index").agg(
        F.count_distinct("model").alias("num_models"),
        F.collect_list(F.struct("model", pair.alias("pair"), "rank")).alias("judged"),
    )
    return (
        by_user.where(F.col("num_models") == len({a, b}))
        .select("user_index", F.explode("judged").alias("judged"))
        .groupBy("user_index", "judged.model", "judged.pair")
        .agg(F.sort_array(F.collect_list("judged.rank")).alias("ranks"))
        .select("user_index", "model", "ranks")
    )
