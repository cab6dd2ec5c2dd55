"""`ranks` → `metrics`: every figure of every model, with intervals and by segments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncf_spark.evaluation.bootstrap import Figure, build_differences, build_intervals, build_sums
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


def build_metrics(
    ranks: DataFrame,
    train: DataFrame,
    categories: DataFrame,
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

    The category segments are the MAX_CATEGORIES with the most holdout pairs; how many there are
    says `build_category_counts`.

    Args:
        ranks: schemas.RANKS; read several times, so a stored table.
        train: (user_index, …), one row a pair: who has few train pairs and who many.
        categories: (item_index, category), at most one row an item; may be empty.
        item_popularity: schemas.ITEM_POPULARITY, every item that the models know.
        ks: cut-offs.
        segment_bounds: train pairs of `users few` and `users some`, at most.
        bootstrap_samples: replicates; 0 for no intervals.
        seed: of the replicates.
    """
    cut_offs = sorted(set(ks))
    segments = build_user_segments(train, segment_bounds)
    how_drawn = {"samples": bootstrap_samples, "seed": seed}
    of_lists, of_percentiles = list_figures(cut_offs), percentile_figures(cut_offs)
    list_sums = _list_sums(ranks, segments, categories, of_lists, cut_offs, how_drawn)
    percentile_sums = build_percentile_lists(ranks, segments, item_popularity, cut_offs).transform(
        build_sums, of_percentiles, **how_drawn
    )
    return (
        build_intervals(list_sums, of_lists)
        .unionByName(build_intervals(percentile_sums, of_percentiles))
        .unionByName(build_concentration(ranks, item_popularity, cut_offs))
        .select(*METRICS.names)
    )


def build_metric_differences(
    ranks: DataFrame, *, to: str, ks: Sequence[int], bootstrap_samples: int, seed: int
) -> DataFrame:
    """The list metrics of each other model minus those of the model `to`, with paired intervals.

    Over all users; as schemas.METRICS, `value` is from -1 to 1. Both models are judged on the same
    draws of users, which tells them apart better than two intervals do. Arguments as in
    `build_metrics`.
    """
    cut_offs = sorted(set(ks))
    figures = list_figures(cut_offs)
    none = ranks.where("false")
    no_segments = none.select("user_index", F.lit(ALL).alias("user_segment"))
    no_categories = none.select("item_index", F.lit(ALL).alias("category"))
    sums = (
        build_lists(ranks, no_segments, no_categories)
        .transform(with_list_metrics, cut_offs)
        .withColumn("segment", F.lit(ALL))
        .transform(build_sums, figures, samples=bootstrap_samples, seed=seed)
    )
    return build_differences(sums, figures, to=to)


def _list_sums(
    ranks: DataFrame,
    user_segments: DataFrame,
    categories: DataFrame,
    figures: Sequence[Figure],
    ks: Sequence[int],
    how_drawn: dict[str, int],
) -> DataFrame:
    counts = build_category_counts(ranks, categories)
    kept = filter_top_categories(categories, counts, MAX_CATEGORIES)
    return (
        build_lists(ranks, user_segments, kept)
        .transform(with_list_metrics, ks)
        .withColumn("segment", F.explode("segments"))
        .transform(build_sums, figures, **how_drawn)
    )
