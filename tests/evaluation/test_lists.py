import math
import random

import ir_measures
import pytest
from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.evaluation.lists import LIST_METRICS, build_lists, with_list_metrics
from tests.conftest import rows

# A user with two holdout items and one with one, under both protocols.
RANKS = [
    ("neumf", "sampled_99", 0, 7, 3, None),
    ("neumf", "sampled_99", 0, 8, 1, None),
    ("neumf", "sampled_99", 1, 9, 5, None),
    ("neumf", "full", 0, 7, 30, [1, 2]),
    ("neumf", "full", 0, 8, 10, None),
    ("neumf", "full", 1, 9, 50, None),
]
LISTS = [
    ("full", 0, ["all", "users many"], [10, 30]),
    ("full", 0, ["category=cups"], [10]),
    ("full", 0, ["category=tea"], [30]),
    ("full", 1, ["all", "users few"], [50]),
    ("sampled_99", 0, ["all", "users many"], [1]),
    ("sampled_99", 0, ["all", "users many"], [3]),
    ("sampled_99", 0, ["category=cups"], [1]),
    ("sampled_99", 0, ["category=tea"], [3]),
    ("sampled_99", 1, ["all", "users few"], [5]),
]


@pytest.fixture(scope="module")
def users(spark):
    return spark.createDataFrame([(0, "users many")], "user_index int, user_segment string")


@pytest.fixture(scope="module")
def categories(spark):
    """Item 9 is in none, item 4 in no holdout pair."""
    table = [(7, "tea"), (8, "cups"), (9, None), (4, "tea")]
    return spark.createDataFrame(table, "item_index int, category string")


def without_model(lists):
    return rows(lists.drop("model", "part"))


@pytest.mark.parametrize("order", [1, -1])
def test_a_list_is_a_pair_when_sampled_and_a_user_when_full(spark, users, categories, order):
    lists = build_lists(spark.createDataFrame(RANKS[::order], schemas.RANKS), users, categories)
    assert without_model(lists) == LISTS


def test_a_category_has_the_lists_of_users_with_its_own_items_as_relevant(spark, users, categories):
    pairs = [("m", "full", 0, 7, 30, None), ("m", "full", 0, 4, 20, None), RANKS[4]]
    lists = build_lists(spark.createDataFrame(pairs, schemas.RANKS), users, categories)
    found = {row.segments[0]: row.ranks for row in lists.where("model = 'm'").collect()}
    assert found == {"all": [20, 30], "category=tea": [20, 30]}


def metrics(spark, ranks, k):
    """{metric: value} of one list."""
    lists = spark.createDataFrame([(ranks,)], "ranks array<int>")
    (row,) = with_list_metrics(lists, [k]).collect()
    return {name: row[f"{name}_{k}"] for name in LIST_METRICS}


LOG3 = math.log2(3)
# hr, ndcg, recall, mrr, map
BY_HAND = {
    "one item, first": ([1], 5, (1, 1, 1, 1, 1)),
    "one item at the cut": ([3], 3, (1, 1 / 2, 1, 1 / 3, 1 / 3)),
    "one item just behind it": ([4], 3, (0, 0, 0, 0, 0)),
    "two, one within": ([2, 9], 5, (1, (1 / LOG3) / (1 + 1 / LOG3), 1 / 2, 1 / 2, 1 / 4)),
    "two, both": ([2, 3], 5, (1, (1 / LOG3 + 1 / 2) / (1 + 1 / LOG3), 1, 1 / 2, 7 / 12)),
    "more than k": ([1, 2, 3, 4], 2, (1, 1, 1 / 2, 1, 1 / 2)),
    # Tied with each other: both last, so nothing stands first.
    "ties": ([2, 2], 5, (1, (2 / LOG3) / (1 + 1 / LOG3), 1, 1 / 2, (1 / 2 + 1) / 2)),
    "ties at the cut": ([2, 2], 1, (0, 0, 0, 0, 0)),
}


@pytest.mark.parametrize("case", BY_HAND)
def test_metrics_by_hand(spark, case):
    ranks, k, expected = BY_HAND[case]
    found = metrics(spark, ranks, k)
    assert found == pytest.approx(dict(zip(LIST_METRICS, expected, strict=True)), abs=1e-12)


def test_metrics_are_those_of_ir_measures(spark):
    """60 orders of 30 items, of which 1 to 12 are relevant, at several cut-offs."""
    draw = random.Random(5)
    relevant = {f"q{n}": sorted(draw.sample(range(1, 31), draw.randint(1, 12))) for n in range(60)}
    judged = {query: {f"d{rank}": 1 for rank in ranks} for query, ranks in relevant.items()}
    run = {query: {f"d{rank}": 100.0 - rank for rank in range(1, 31)} for query in relevant}
    theirs = {"hr": "Success", "ndcg": "nDCG", "recall": "R", "mrr": "RR", "map": "AP"}
    ks = [1, 3, 10, 20]
    lists = spark.createDataFrame(list(relevant.items()), "query string, ranks array<int>")
    found = {row["query"]: row for row in with_list_metrics(lists, ks).collect()}
    names = {ir_measures.parse_measure(f"{theirs[m]}@{k}"): f"{m}_{k}" for m in theirs for k in ks}
    compared = 0
    for result in ir_measures.iter_calc(list(names), judged, run):
        ours = found[result.query_id][names[result.measure]]
        assert ours == pytest.approx(result.value, abs=1e-9), (result, relevant[result.query_id])
        compared += 1
    assert compared == 60 * len(names)


def test_no_metric_of_any_ranks_leaves_0_to_1(spark):
    """Ranks that are each the last among ties: r_i ≥ i."""
    draw = random.Random(7)
    lists = []
    for _ in range(200):
        blocks = [draw.randint(1, 3) for _ in range(draw.randint(1, 5))]
        ends = [sum(blocks[: n + 1]) for n in range(len(blocks))]
        tied = [end for end, size in zip(ends, blocks, strict=True) for _ in range(size)]
        lists.append((sorted(draw.sample(tied, draw.randint(1, len(tied)))),))
    found = with_list_metrics(spark.createDataFrame(lists, "ranks array<int>"), [1, 4, 10])
    names = [name for name in found.columns if name != "ranks"]
    extremes = found.agg(F.min(F.least(*names)), F.max(F.greatest(*names))).first()
    assert extremes[0] >= 0
    assert extremes[1] <= 1 + 1e-12
