"""`ranks` → `metrics`: every figure of every model, with intervals and by segments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncf_spark.evaluation.bootstrap import build_differences, build_intervals, build_sums
from ncf_spark.evaluation.lists import build_lists, list_figures, with_list_metrics
from ncf_spark.evaluation.recommended import (
    build_concentration,
    build_percentile_lists,
    percentile_figures,
)
from ncf_spark.evaluation.segments import (
    ALL,
    MAX_CATEGORIES,
    build_category_counts,
    build_user_segments,
    filter_top_categories,
)
from ncf_spark.schemas import METRICS


class Judged(NamedTuple):
    """What is judged, and where its scores come from.

    Args:
        name: in the tables.
        kind: of scorer: model, dot, popularity or item_item.
        uri: of the model's folder, or of the baseline's table.
        user_vectors: (user_index, vector); None for a kind without vectors.
        known_users: whether users without a vector are left out; else they rank last.
    """

    name: str
    kind: str
    uri: str
    user_vectors: DataFrame | None
    known_users: bool = False


def build_list_sums(
    ranks: DataFrame,
    train: DataFrame,
    categories: DataFrame,
    *,
    ks: Sequence[int],
    segment_bounds: Sequence[int],
    bootstrap_samples: int,
    seed: int,
) -> DataFrame:
    """What the list metrics of each model, protocol and segment are made of; see `build_sums`.

    At most bootstrap.PARTS rows for each of them. The category segments are the MAX_CATEGORIES with
    the most holdout pairs; how many there are says `build_category_counts`.

    Args:
        ranks: schemas.RANKS.
        train: (user_index, …), one row a pair: who has few train pairs and who many.
        categories: (item_index, category), at most one row an item; may be empty.
        ks: cut-offs.
        segment_bounds: train pairs of `users few` and `users some`, at most.
        bootstrap_samples: replicates; 0 for no intervals.
        seed: of the replicates.
    """
    cut_offs = sorted(set(ks))
    segments = build_user_segments(train, segment_bounds)
    counts = build_category_counts(ranks, categories)
    kept = filter_top_categories(categories, counts, MAX_CATEGORIES)
    return (
        build_lists(ranks, segments, kept)
        .transform(with_list_metrics, cut_offs)
        .withColumn("segment", F.explode("segments"))
        .transform(build_sums, list_figures(cut_offs), samples=bootstrap_samples, seed=seed)
    )


def build_metrics(
    list_sums: DataFrame,
    ranks: DataFrame,
    train: DataFrame,
    item_popularity: DataFrame,
    *,
    ks: Sequence[int],
    segment_bounds: Sequence[int],
    bootstrap_samples: int,
    seed: int,
) -> DataFrame:
    """The figures of each model and protocol, as schemas.METRICS.

    | metric                         | protocol | segments                | interval |
    |--------------------------------|----------|-------------------------|----------|
    | hr, ndcg, recall, mrr, map     | both     | all, users …, category= | yes      |
    | popularity_percentile          | full     | all, users …            | yes      |
    | coverage, gini                 | full     | all                     | no       |

    Args:
        list_sums: as of `build_list_sums`, with the same further arguments.
        ranks: schemas.RANKS; read several times, so a stored table.
        item_popularity: schemas.ITEM_POPULARITY, every item that the models know.
    """
    cut_offs = sorted(set(ks))
    segments = build_user_segments(train, segment_bounds)
    of_lists, of_percentiles = list_figures(cut_offs), percentile_figures(cut_offs)
    percentile_sums = build_percentile_lists(ranks, segments, item_popularity, cut_offs).transform(
        build_sums, of_percentiles, samples=bootstrap_samples, seed=seed
    )
    return (
        build_intervals(list_sums, of_lists)
        .unionByName(build_intervals(percentile_sums, of_percentiles))
        .unionByName(build_concentration(ranks, item_popularity, cut_offs))
        .select(*METRICS.names)
    )


def build_metric_differences(list_sums: DataFrame, *, to: str, ks: Sequence[int]) -> DataFrame:
    """The list metrics of each other model minus those of the model `to`, with paired intervals.

    Over all users; as schemas.METRICS, `value` is from -1 to 1. Both models are judged on the same
    draws of users, which tells them apart better than two intervals do.

    Args:
        list_sums: as of `build_list_sums`, with the same `ks`.
    """
    of_all = list_sums.where(F.col("segment") == ALL)
    return build_differences(of_all, list_figures(sorted(set(ks))), to=to)
