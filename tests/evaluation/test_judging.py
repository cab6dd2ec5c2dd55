import re

import pytest

from ncf_spark import schemas
from ncf_spark.evaluation import judging
from ncf_spark.evaluation.judging import (
    build_metric_differences,
    build_metrics,
    build_user_sums,
)
from ncf_spark.evaluation.lists import build_lists
from ncf_spark.evaluation.recommended import build_recommended_popularity
from ncf_spark.evaluation.segments import build_user_segments
from tests.conftest import rows

HOW = {"ks": [2, 1, 2], "segment_bounds": [1, 2], "bootstrap_samples": 50, "seed": 3}
RANKS = [
    ("neumf", "full", 0, 2, 1, [2, 0]),
    ("neumf", "full", 0, 1, 2, None),
    ("neumf", "full", 1, 2, 4, [0, 1]),
    ("neumf", "sampled_99", 0, 2, 1, None),
    ("neumf", "sampled_99", 0, 1, 2, None),
    ("neumf", "sampled_99", 1, 2, 3, None),
    ("popularity", "full", 0, 2, 9, [0, 1]),
    ("popularity", "full", 0, 1, 9, None),
    ("popularity", "full", 1, 2, 9, [0, 1]),
]


@pytest.fixture(scope="module")
def tables(spark):
    """ranks, train, categories and item_popularity; user 0 is `some`, user 1 `few`."""
    return (
        spark.createDataFrame(RANKS, schemas.RANKS),
        spark.createDataFrame([(0, 0, 0), (0, 3, 0), (1, 0, 1)], schemas.TRAIN),
        spark.createDataFrame([(2, "tea"), (1, None)], "item_index int, category string"),
        spark.createDataFrame([(0, 2), (1, 0), (2, 0), (3, 1)], schemas.ITEM_POPULARITY),
    )


def metrics_of(ranks, train, categories, popularity, **how):
    sums = build_user_sums(ranks, train, categories, popularity, **how)
    return build_metrics(sums, ranks, popularity, ks=how["ks"])


@pytest.fixture(scope="module")
def metrics(tables):
    return rows(metrics_of(*tables, **HOW))


def values(metrics, model, protocol, k):
    return {
        (row[2], row[4]): pytest.approx(row[5], abs=1e-8)
        for row in metrics
        if (row[0], row[1], row[3]) == (model, protocol, k)
    }


def test_hr_and_recall_by_hand_in_each_segment(metrics):
    full, sampled = (values(metrics, "neumf", name, 2) for name in ("full", "sampled_99"))
    segments = ["all", "users some", "users few", "category=tea"]
    assert [full["hr", segment] for segment in segments] == [1 / 2, 1, 0, 1 / 2]
    assert [sampled["hr", segment] for segment in segments] == [2 / 3, 1, 0, 1 / 2]
    full = values(metrics, "neumf", "full", 1)
    assert [full["recall", segment] for segment in segments] == [1 / 4, 1 / 2, 0, 1 / 2]
    assert len(full) == 5 * 4 + 3 + 2


def test_what_is_recommended_by_hand(metrics):
    found = values(metrics, "neumf", "full", 1)
    # Users in train 2 0 0 1: percentiles 7/8 for item 0, 2/8 for item 2.
    assert found["popularity_percentile", "all"] == (7 / 8 + 2 / 8) / 2
    assert found["popularity_percentile", "users few"] == 7 / 8
    assert found["popularity_percentile", "users some"] == 2 / 8
    assert found["coverage", "all"] == 1 / 2
    # 0 0 1 1: (1 + 3) / (4 · 2)
    assert found["gini", "all"] == 1 / 2
    assert values(metrics, "popularity", "full", 1)["coverage", "all"] == 1 / 4


def test_each_figure_has_one_row_and_an_interval_around_it(metrics):
    assert len({row[:5] for row in metrics}) == len(metrics)
    with_interval = [row for row in metrics if row[2] not in ("coverage", "gini")]
    assert all(low <= value <= high for *_, value, low, high in with_interval)
    others = [row for row in metrics if row[2] in ("coverage", "gini")]
    assert {row[6:] for row in others} == {(None, None)}


def test_the_columns_are_those_of_the_table(tables):
    found = metrics_of(*tables, **HOW)
    assert [(field.name, field.dataType) for field in found.schema] == [
        (field.name, field.dataType) for field in schemas.METRICS
    ]


def test_empty_tables_give_no_figures(tables):
    empty = [table.where("false") for table in tables]
    assert rows(metrics_of(*empty, **HOW)) == []


def test_only_the_largest_categories_are_segments(tables, monkeypatch):
    monkeypatch.setattr(judging, "MAX_CATEGORIES", 1)
    ranks, train, categories, popularity = tables
    # Of the pairs, two are of item 2 and one is of item 1.
    more = categories.fillna("cups")
    found = rows(metrics_of(ranks, train, more, popularity, **{**HOW, "bootstrap_samples": 0}))
    assert {row[4] for row in found} == {"all", "users some", "users few", "category=tea"}
    assert {row[6:] for row in found} == {(None, None)}


def test_differences_are_those_of_the_metrics(tables, metrics):
    sums = build_user_sums(*tables, **HOW)
    found = rows(build_metric_differences(sums, to="popularity", ks=HOW["ks"]))
    own, theirs = (values(metrics, name, "full", 2) for name in ("neumf", "popularity"))
    differences = values(found, "neumf", "full", 2)
    assert {(*row[:2], row[4]) for row in found} == {("neumf", "full", "all")}
    assert len(differences) == 5
    for key, difference in differences.items():
        assert difference == own[key].expected - theirs[key].expected


def plan(table):
    return table._jdf.queryExecution().executedPlan().toString()


def windows(table):
    """The partition of each window; one without has the order in its place."""
    lines = [line.lstrip(" :+-") for line in plan(table).splitlines()]
    found = [line for line in lines if re.match(r"(\*\(\d+\) )?Window \[", line)]
    return [(re.findall(r"\], \[([^\]]*)\]", line) or [""])[0] for line in found]


@pytest.mark.parametrize("transform", ["build_metrics", "build_recommended_popularity"])
def test_no_window_sees_all_rows(tables, transform):
    ranks, *_, popularity = tables
    if transform == "build_metrics":
        partitions = windows(metrics_of(*tables, **HOW))
    else:
        partitions = windows(build_recommended_popularity(ranks, popularity, 2))
    assert len(partitions) >= 2
    assert [keys for keys in partitions if not keys or " ASC " in keys or " DESC " in keys] == []


def test_ranks_are_shuffled_once_for_their_lists(spark, tables):
    ranks, train, categories, _ = tables
    lists = build_lists(ranks, build_user_segments(train, [1, 2]), categories)
    above_the_joins = plan(lists)[: plan(lists).index("Join")]
    assert above_the_joins.count("Exchange") == 1
