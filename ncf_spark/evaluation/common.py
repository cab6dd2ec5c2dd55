"""Two models over the users that both of them judged, from `ranks`."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncf_spark.evaluation.lists import FULL, LIST_METRICS
from ncf_spark.schemas.results import CommonMetric


def common_metrics(ranks: DataFrame, a: str, b: str, *, ks: Sequence[int]) -> list[CommonMetric]:
    """Every metric of `lists.LIST_METRICS` of the models `a` and `b`, under every protocol.

    Last night's model knows fewer users than tonight's, so that their rows of `metrics` are over
    different users. Here each value is over the users that both have, and a mean over lists, as in
    `metrics`: of users under full, of holdout pairs under sampled_99.

    Runs a query of which a row for each protocol comes to the driver; a protocol under which the
    models have no common user has none.

    Args:
        ranks: schemas.RANKS.
        a: tonight's champion; b: last night's model.
        ks: cut-offs, which need not be those of evaluation.ks.
    """
    means = [
        F.avg(F.when(F.col("model") == name, metric(k)))
        for metric in LIST_METRICS.values()
        for k in ks
        for name in (a, b)
    ]
    rows = build_common_lists(ranks, a, b).groupBy("protocol")
    found = []
    for protocol, num_users, *values in rows.agg(F.count_distinct("user_index"), *means).collect():
        pairs = iter(zip(values[::2], values[1::2], strict=True))
        for metric in LIST_METRICS:
            for k in ks:
                of_a, of_b = next(pairs)
                found.append(
                    CommonMetric(
                        **{"protocol": protocol, "metric": metric, "k": k, "champion": of_a},
                        **{"last_night": of_b, "num_users": num_users},
                    )
                )
    return found


def build_common_lists(ranks: DataFrame, a: str, b: str) -> DataFrame:
    """(protocol, user_index, model, ranks): the lists of two models for users that both have.

    `ranks` is the ordered array of a list's ranks, several under full where a user has several
    holdout items. Of a model with itself, each list is there once.

    Args:
        ranks: schemas.RANKS.
    """
    pair = F.when(F.col("protocol") != FULL, F.col("item_index"))
    by_user = (
        ranks.where(F.col("model").isin(a, b))
        .groupBy("protocol", "user_index")
        .agg(
            F.count_distinct("model").alias("num_models"),
            F.collect_list(F.struct("model", pair.alias("pair"), "rank")).alias("judged"),
        )
    )
    return (
        by_user.where(F.col("num_models") == len({a, b}))
        .select("protocol", "user_index", F.explode("judged").alias("judged"))
        .groupBy("protocol", "user_index", "judged.model", "judged.pair")
        .agg(F.sort_array(F.collect_list("judged.rank")).alias("ranks"))
        .select("protocol", "user_index", "model", "ranks")
    )
