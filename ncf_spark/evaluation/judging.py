"""`ranks` → `metrics`: every figure of every model, with intervals and by segments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncf_spark.evaluation.bootstrap import Figure, build_differences, build_intervals, build_sums
from ncf_spark.evaluation.lists import (
    LIST_METRICS,
    build_lists,
    list_figures,
    with_list_metrics,
)
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


def figures_of(ks: Sequence[int]) -> list[Figure]:
    """What is averaged over the lists, and over what is recommended."""
    cut_offs = sorted(set(ks))
    return [*list_figures(cut_offs), *percentile_figures(cut_offs)]


def build_user_sums(
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
    """What the figures of each model, protocol and segment are made of; see `build_sums`.

    A few rows for each of them. The category segments are the MAX_CATEGORIES with the most holdout
    pairs; how many there are says `build_category_counts`.

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
    counts = build_category_counts(ranks, categories)
    kept = filter_top_categories(categories, counts, MAX_CATEGORIES)
    lists = (
        build_lists(ranks, segments, kept)
        .transform(with_list_metrics, cut_offs)
        .withColumn("segment", F.explode("segments"))
    )
    percentiles = build_percentile_lists(ranks, segments, item_popularity, cut_offs)
    # One pass for both: what the one does not have counts 0 there.
    both = lists.unionByName(percentiles, allowMissingColumns=True)
    columns = {name for figure in figures_of(ks) for name in (figure.dividend, figure.divisor)}
    return both.fillna(0.0, subset=sorted(columns)).transform(
        build_sums, figures_of(ks), samples=bootstrap_samples, seed=seed
    )


def build_metrics(
    user_sums: DataFrame, ranks: DataFrame, item_popularity: DataFrame, *, ks: Sequence[int]
) -> DataFrame:
    """The figures of each model and protocol, as schemas.METRICS.

    | metric                         | protocol | segments                | interval |
    |--------------------------------|----------|-------------------------|----------|
    | hr, ndcg, recall, mrr, map     | both     | all, users …, category= | yes      |
    | popularity_percentile          | full     | all, users …            | yes      |
    | coverage, gini                 | full     | all                     | no       |

    Args:
        user_sums: as of `build_user_sums`, with the same `ks`.
        ranks: schemas.RANKS, a stored table.
        item_popularity: schemas.ITEM_POPULARITY.
    """
    concentration = build_concentration(ranks, item_popularity, sorted(set(ks)))
    figures = build_intervals(user_sums, figures_of(ks))
    return figures.unionByName(concentration).select(*METRICS.names)


def build_metric_differences(user_sums: DataFrame, *, to: str, ks: Sequence[int]) -> DataFrame:
    """The list metrics of each other model minus those of the model `to`, with paired intervals.

    Over all users; as schemas.METRICS, `value` is from -1 to 1. Both models are judged on the same
    draws of users, which shows more differences than comparing two intervals does.

    Args:
        user_sums: as of `build_user_sums`, with the same `ks`.
    """
    of_all = user_sums.where(F.col("segment") == ALL)
    found = build_differences(of_all, figures_of(ks), to=to)
    return found.where(F.col("metric").isin(list(LIST_METRICS)))
