"""`ranks` → `metrics`: counted where the data is; only the histograms reach the driver."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from ncf_spark.evaluation.metrics import metric_values

# (model, protocol, metric, k, segment, value, low, high), as in schemas.METRICS.
MetricRow = tuple[str, str, str, int, str, float, float | None, float | None]


def build_rank_counts(ranks: DataFrame, *, max_k: int) -> DataFrame:
    """(model, protocol, rank, num_rows): at most max_k + 1 rows for each model and protocol.

    Ranks above `max_k` are counted together as max_k + 1.
    """
    return (
        ranks.select("model", "protocol", F.least("rank", F.lit(max_k + 1)).alias("rank"))
        .groupBy("model", "protocol", "rank")
        .agg(F.count(F.lit(1)).alias("num_rows"))
    )


def metric_rows(rank_counts: Iterable[Row], ks: Sequence[int]) -> list[MetricRow]:
    """The figures of each model and protocol, in alphabetical order.

    Args:
        rank_counts: collected rows of `build_rank_counts` for the greatest of `ks`.
    """
    histograms: dict[tuple[str, str], np.ndarray] = {}
    for row in rank_counts:
        key = (row["model"], row["protocol"])
        counts = histograms.setdefault(key, np.zeros(max(ks) + 2))
        counts[row["rank"]] += row["num_rows"]
    return [
        (model, protocol, metric, k, "all", value, None, None)
        for (model, protocol), counts in sorted(histograms.items())
        for metric, k, value in metric_values(counts, ks)
    ]
