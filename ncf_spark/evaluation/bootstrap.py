"""Means over lists with bootstrap intervals over users (`ncf_spark.resampling`).

All models are judged on the same draws of users, so that the difference of two models has an
interval of its own (`build_differences`). A segment of very few users has too narrow an interval;
of one user, none in width.

Shapes: B replicates, C columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncf_spark.resampling import build_replicate_sums, percentile_interval, ratios
from ncf_spark.schemas import METRICS

# Rows of partial sums for each model, protocol and segment. Each model is summed by so many tasks.
PARTS = 8

_GROUP = ["model", "protocol", "segment"]
_METRICS_DDL = ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in METRICS)


class Figure(NamedTuple):
    """A figure to compute: the sum of one column divided by the sum of another."""

    metric: str
    k: int
    dividend: str
    divisor: str


def with_parts(rows: DataFrame) -> DataFrame:
    """`rows` with `part`, shuffled so that a model's users of one part are in one partition.

    It bounds what `build_sums` returns. Groupings by model, part and more need no other shuffle.
    """
    part = F.pmod(F.xxhash64("user_index"), F.lit(PARTS)).cast("int")
    return rows.withColumn("part", part).repartition("model", "part")


def build_sums(
    lists: DataFrame, figures: Sequence[Figure], *, samples: int, seed: int
) -> DataFrame:
    """(model, protocol, segment, sums): the columns' sums over the lists and over each replicate.

    `sums` is (1 + samples, C) in one array: first as they are, then weighted by each replicate's
    copies of the users. At most PARTS rows for each model, protocol and segment, to be added up,
    when `lists` comes from `with_parts`; else as many as partitions.

    Args:
        lists: (model, protocol, segment, user_index, and the columns that `figures` name).
    """
    return build_replicate_sums(
        lists,
        group=_GROUP,
        user="user_index",
        columns=_columns(figures),
        samples=samples,
        seed=seed,
    )


def build_intervals(sums: DataFrame, figures: Sequence[Figure]) -> DataFrame:
    """The figures with their 95 % intervals, as schemas.METRICS; no row where nothing is counted.

    Without replicates, low and high are null.

    Args:
        sums: of `build_sums` with the same figures.
    """

    def intervals(block: pd.DataFrame) -> pd.DataFrame:
        (group,) = block[_GROUP].drop_duplicates().itertuples(index=False, name=None)
        return _metric_rows(group, _ratios(block["sums"], figures), figures)

    return sums.groupBy(*_GROUP).applyInPandas(intervals, _METRICS_DDL)


def build_differences(sums: DataFrame, figures: Sequence[Figure], *, to: str) -> DataFrame:
    """Each other model's figures minus those of the model `to`, with paired 95 % intervals.

    Columns as in schemas.METRICS; `value` is the difference, -1 to 1. An interval without 0
    shows that the two models differ, even where their own intervals overlap.

    Args:
        sums: of `build_sums` with the same figures.
    """

    def differences(block: pd.DataFrame) -> pd.DataFrame:
        by_model = {
            model: _ratios(rows["sums"], figures)
            for model, rows in block.groupby("model", sort=True)
        }
        (group,) = block[["protocol", "segment"]].drop_duplicates().itertuples(index=False)
        found = [
            _metric_rows((model, *group), of_model - by_model[to], figures)
            for model, of_model in by_model.items()
            if model != to and to in by_model
        ]
        return pd.concat(found) if found else pd.DataFrame(columns=METRICS.names)

    return sums.groupBy("protocol", "segment").applyInPandas(differences, _METRICS_DDL)


def _columns(figures: Sequence[Figure]) -> list[str]:
    return list(
        dict.fromkeys(name for figure in figures for name in (figure.dividend, figure.divisor))
    )


def _ratios(sums: Any, figures: Sequence[Figure]) -> np.ndarray:
    """(1 + B, figures), NaN where a replicate has no list."""
    columns = _columns(figures)
    total = np.sum(np.stack(list(sums)), axis=0).reshape(-1, len(columns))
    return ratios(
        total[:, [columns.index(figure.dividend) for figure in figures]],
        total[:, [columns.index(figure.divisor) for figure in figures]],
    )


def _metric_rows(
    group: tuple[str, ...], replicates: np.ndarray, figures: Sequence[Figure]
) -> pd.DataFrame:
    model, protocol, segment = group
    rows = []
    for figure, values in zip(figures, replicates.T, strict=True):
        if not np.isnan(values[0]):
            ends = percentile_interval(values[1:])
            rows.append((model, protocol, figure.metric, figure.k, segment, values[0], *ends))
    return pd.DataFrame(rows, columns=METRICS.names)
