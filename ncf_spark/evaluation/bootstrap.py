"""Means over lists with bootstrap intervals over users, computed where the lists are.

The bootstrap draws as many users as there are, with replacement, and takes the figure again; the
middle 95 % of many such figures is the interval (Efron and Tibshirani 1993, chapter 13, the
percentile interval). Users are drawn and not lists, as the lists of one user are alike. Drawing n
of n users gives each of them a Binomial(n, 1/n) number of copies, which for all but the smallest n
is Poisson(1): then each user's copies can be drawn apart from all others', in one pass over a
distributed table (Hanley and MacGibbon 2006; Chamandy et al. 2012, "Estimating uncertainty for
massive data streams").

The number of copies is a hash of (user_index, replicate, seed). Partitions, their order and the
number of machines change nothing, and all models are judged on the same draws of users, so that
the difference of two models has an interval of its own (`build_differences`).

A segment of very few users has too narrow an interval; of one user, none in width.

Shapes: L lists in a block, U users, B replicates, C columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncf_spark.resampling import user_weights
from ncf_spark.schemas import METRICS

# Rows of partial sums for each model, protocol and segment. Each model is summed by so many tasks.
PARTS = 8

# Values are rounded to multiples of it: up to 8 million lists add up without any rounding, so that
# no order of the rows changes the last digits.
PRECISION = 2.0**-30

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
    columns = _columns(figures)
    add_up = partial(_sums_of_blocks, columns=columns, samples=samples, seed=seed)
    rows = lists.select(*_GROUP, "user_index", *[F.col(name).cast("double") for name in columns])
    return rows.mapInPandas(
        lambda blocks: add_up(blocks),
        "model string, protocol string, segment string, sums array<double>",
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

    Columns as in schemas.METRICS; `value` is the difference, -1 to 1. An interval without 0 tells
    the two models apart, also where their own intervals overlap.

    Args:
        sums: of `build_sums` with the same figures.
    """

    def differences(block: pd.DataFrame) -> pd.DataFrame:
        ratios = {
            model: _ratios(rows["sums"], figures)
            for model, rows in block.groupby("model", sort=True)
        }
        (place,) = block[["protocol", "segment"]].drop_duplicates().itertuples(index=False)
        found = [
            _metric_rows((model, *place), ratio - ratios[to], figures)
            for model, ratio in ratios.items()
            if model != to and to in ratios
        ]
        return pd.concat(found) if found else pd.DataFrame(columns=METRICS.names)

    return sums.groupBy("protocol", "segment").applyInPandas(differences, _METRICS_DDL)


def _columns(figures: Sequence[Figure]) -> list[str]:
    return list(
        dict.fromkeys(name for figure in figures for name in (figure.dividend, figure.divisor))
    )


def _sums_of_blocks(
    blocks: Iterable[pd.DataFrame], *, columns: list[str], samples: int, seed: int
) -> Iterator[pd.DataFrame]:
    totals: dict[tuple[str, ...], np.ndarray] = {}
    for block in blocks:
        users, user_rows = np.unique(block["user_index"].to_numpy(), return_inverse=True)
        weights = user_weights(users, samples=samples, seed=seed)
        values = np.rint(block[columns].to_numpy() / PRECISION) * PRECISION  # (L, C)
        for group, rows in block.groupby(_GROUP, sort=False).indices.items():
            of_block = weights[user_rows[rows]].T @ values[rows]  # (1 + B, C)
            totals[group] = totals[group] + of_block if group in totals else of_block
    for group, total in totals.items():
        yield pd.DataFrame({**dict(zip(_GROUP, group, strict=True)), "sums": [total.reshape(-1)]})


def _ratios(sums: Any, figures: Sequence[Figure]) -> np.ndarray:
    """(1 + B, figures), nan where a replicate has no list."""
    columns = _columns(figures)
    total = np.sum(np.stack(list(sums)), axis=0).reshape(-1, len(columns))
    above = total[:, [columns.index(figure.dividend) for figure in figures]]
    below = total[:, [columns.index(figure.divisor) for figure in figures]]
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def _metric_rows(
    group: tuple[str, ...], ratios: np.ndarray, figures: Sequence[Figure]
) -> pd.DataFrame:
    rows = []
    for figure, ratio in zip(figures, ratios.T, strict=True):
        if np.isnan(ratio[0]):
            continue
        drawn = ratio[1:][~np.isnan(ratio[1:])]
        low, high = np.percentile(drawn, [2.5, 97.5]) if len(drawn) else (np.nan, np.nan)
        rows.append((*group[:2], figure.metric, figure.k, group[2], ratio[0], low, high))
    return pd.DataFrame(rows, columns=METRICS.names)
