"""The lists that a model is judged on, and the metrics of each.

A list is an order of items in which some, the relevant ones, were held out; the metrics need only
their ranks. Under sampled_99 each holdout pair is a list of its own with one relevant item among
its negatives (He et al. 2017, section 4.1). Under full each user is one list, with all of the
user's holdout items as relevant: several after a temporal split.

Formulas: R relevant items with ranks r_1 ≤ r_2 ≤ … ≤ r_R, from 1. A rank is the last among its
ties, and relevant items that tie with each other have the same one: the ties 2, 2 stand for the
positions 1 and 2, and count as if nothing stood at 1. So no order of tied items can be worse, and
no metric exceeds 1.

With distinct ranks they are the Success@k, nDCG@k, R@k, RR@k and AP@k of ir-measures, which are
those of trec_eval. With one relevant item recall equals hr, and map equals mrr.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ncf_spark.evaluation.bootstrap import Figure, with_parts
from ncf_spark.evaluation.segments import ALL, CATEGORY_PREFIX, with_user_segment

FULL = "full"


def build_lists(ranks: DataFrame, user_segments: DataFrame, categories: DataFrame) -> DataFrame:
    """One row for each list: model, part, protocol, user_index, segments, ranks.

    `ranks` is the ordered array of the relevant items' ranks, `segments` the names of what the list
    counts for: `all` and the user's segment, or one category. In a category's lists only its own
    holdout items are relevant: under full the list is (user, category), and the user's other
    holdout items count as any other item that was not bought.

    One shuffle, of the table `ranks` without its top_items.

    Args:
        ranks: schemas.RANKS.
        user_segments: (user_index, user_segment).
        categories: (item_index, category), at most one row an item; others have no such segment.
    """
    pair = F.when(F.col("protocol") != FULL, F.col("item_index"))
    category = F.concat(F.lit(CATEGORY_PREFIX), F.col("category"))
    own_lists = F.array_compact(F.array(F.lit(ALL), category))
    judged = (
        ranks.join(categories, on="item_index", how="left")
        .transform(with_user_segment, user_segments)
        .select("model", "protocol", "user_index", "user_segment", "rank", "category", "item_index")
        .transform(with_parts)
    )
    keys = ["model", "part", "protocol", "user_index", "user_segment", "pair", "list_of"]
    lists = (
        judged.withColumns({"pair": pair, "list_of": F.explode(own_lists)})
        .groupBy(*keys)
        .agg(F.sort_array(F.collect_list("rank")).alias("ranks"))
    )
    of_all = F.when(F.col("list_of") == ALL, F.array("list_of", "user_segment"))
    segments = F.coalesce(of_all, F.array("list_of")).alias("segments")
    return lists.select("model", "part", "protocol", "user_index", segments, "ranks")


def with_list_metrics(lists: DataFrame, ks: Sequence[int]) -> DataFrame:
    """`lists` with a column `<metric>_<k>` for each metric and cut-off, and `num_lists`, 1.0."""
    values = {f"{name}_{k}": metric(k) for name, metric in LIST_METRICS.items() for k in ks}
    return lists.withColumns({**values, "num_lists": F.lit(1.0)})


def list_figures(ks: Sequence[int]) -> list[Figure]:
    """What is averaged over the lists of `with_list_metrics`."""
    return [Figure(name, k, f"{name}_{k}", "num_lists") for name in LIST_METRICS for k in ks]


def hr(k: int) -> Column:
    """Hit ratio: 1 if a relevant item is among the first k, r_1 ≤ k (He et al. 2017)."""
    return (_first() <= k).cast("double")


def recall(k: int) -> Column:
    """Share of the relevant items that are among the first k: |{i: r_i ≤ k}| / R."""
    return F.size(_within(k)) / _num_relevant()


def ndcg(k: int) -> Column:
    """Discounted gain, as a share of that of the best order.

    Σ_{r_i ≤ k} 1 / log2(r_i + 1), divided by Σ_{i ≤ min(k, R)} 1 / log2(i + 1) (Järvelin and
    Kekäläinen 2002, with relevance 0 or 1 and the logarithm of trec_eval and the NCF paper).
    """
    best = list(accumulate(1.0 / math.log2(position + 1) for position in range(1, k + 1)))
    best_of_list = F.element_at(
        F.array(*[F.lit(gain) for gain in best]), F.least(_num_relevant(), F.lit(k))
    )
    return _sum(F.transform(_within(k), lambda rank: 1.0 / F.log2(rank + 1))) / best_of_list


def mrr(k: int) -> Column:
    """Reciprocal rank: 1 / r_1 if r_1 ≤ k, else 0 (Voorhees 1999)."""
    return F.when(_first() <= k, 1.0 / _first()).otherwise(0.0)


def average_precision(k: int) -> Column:
    """Mean precision at the relevant items, those after k counting 0: Σ_{r_i ≤ k} (i / r_i) / R.

    Divided by R as in trec_eval's map_cut, and not by min(k, R) as in some recommender
    libraries: with more than k relevant items it stays below 1. i / r_i is the precision at r_i,
    but for relevant items that tie, of which each but the last counts less.
    """
    precisions = F.transform(_within(k), lambda rank, before: (before + 1) / rank)
    return _sum(precisions) / _num_relevant()


LIST_METRICS: Mapping[str, Callable[[int], Column]] = {
    "hr": hr,
    "ndcg": ndcg,
    "recall": recall,
    "mrr": mrr,
    "map": average_precision,
}


def _first() -> Column:
    return F.element_at("ranks", 1)


def _num_relevant() -> Column:
    return F.size("ranks")


def _within(k: int) -> Column:
    return F.filter("ranks", lambda rank: rank <= k)


def _sum(values: Column) -> Column:
    return F.aggregate(values, F.lit(0.0), lambda total, value: total + value)
