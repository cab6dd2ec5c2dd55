import pytest
from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.evaluation.recommended import (
    build_concentration,
    build_item_percentiles,
    build_percentile_lists,
    build_recommended_popularity,
    with_num_less_popular,
)
from tests.conftest import rows

# Five items by train users: 0 0 3 4 9. Items 0 and 1 tie.
POPULARITY = [(0, 0), (1, 0), (2, 3), (3, 4), (4, 9)]
PERCENTILES = {0: 0.2, 1: 0.2, 2: 0.5, 3: 0.7, 4: 0.9}
RANKS = [
    ("m", "full", 0, 2, 9, [4, 3]),
    ("m", "full", 0, 3, 9, None),
    ("m", "full", 1, 2, 9, [4, 0]),
    ("m", "full", 2, 2, 9, [4]),
    ("m", "full", 3, 2, 9, []),
    ("m", "sampled_99", 1, 2, 9, [1, 2]),
    ("other", "full", 0, 2, 9, [0, 1, 2, 3, 4]),
]


@pytest.fixture(scope="module")
def ranks(spark):
    return spark.createDataFrame(RANKS, schemas.RANKS)


@pytest.fixture(scope="module")
def popularity(spark):
    return spark.createDataFrame(POPULARITY, schemas.ITEM_POPULARITY)


def figures(ranks, popularity, ks):
    found = build_concentration(ranks, popularity, ks).collect()
    return {(row["model"], row["metric"], row["k"]): row["value"] for row in found}


def test_coverage_and_gini_by_hand(ranks, popularity):
    found = figures(ranks, popularity, [1, 2, 5])
    assert found == pytest.approx(
        {
            # Three times item 4: (2 · 5 - 5 - 1) · 3 / (5 · 3).
            ("m", "coverage", 1): 1 / 5,
            ("m", "gini", 1): 4 / 5,
            # 0 0 1 1 3: (0 · 1 + 2 · 1 + 4 · 3) / (5 · 5).
            ("m", "coverage", 2): 3 / 5,
            ("m", "gini", 2): 14 / 25,
            ("m", "coverage", 5): 3 / 5,
            ("m", "gini", 5): 14 / 25,
            ("other", "coverage", 1): 1 / 5,
            ("other", "gini", 1): 4 / 5,
            # 0 0 0 1 1: (2 + 4) / (5 · 2).
            ("other", "coverage", 2): 2 / 5,
            ("other", "gini", 2): 3 / 5,
            ("other", "coverage", 5): 1.0,
            ("other", "gini", 5): 0.0,
        },
        abs=1e-12,
    )


def test_without_recommendations_there_are_no_figures(ranks, popularity):
    sampled = ranks.where("protocol != 'full'")
    assert figures(sampled, popularity, [1]) == {}
    assert rows(build_recommended_popularity(sampled, popularity, 2)) == []


def test_items_know_how_many_are_less_popular(spark):
    numbers = [0, 0, 1, 1, 1, 2, 3, 3, 4, 7, 8, 8, 100, 2**40]
    table = spark.createDataFrame(list(enumerate(numbers)), schemas.ITEM_POPULARITY)
    found = with_num_less_popular(table.orderBy(F.desc("item_index")))
    assert rows(found.select("item_index", "less", "equal", "n")) == [
        (item, sum(other < number for other in numbers), numbers.count(number), len(numbers))
        for item, number in enumerate(numbers)
    ]


def test_percentiles_give_ties_their_middle(popularity):
    found = {
        row["item_index"]: row["percentile"] for row in build_item_percentiles(popularity).collect()
    }
    assert found == pytest.approx(PERCENTILES, abs=1e-8)


def test_percentiles_are_added_up_by_user_and_segment(spark, ranks, popularity):
    users = spark.createDataFrame([(0, "users many")], "user_index int, user_segment string")
    lists = build_percentile_lists(ranks.where("model = 'm'"), users, popularity, [1, 2])
    found = {
        (row["user_index"], row["segment"]): (
            row["percentile_1"],
            row["num_1"],
            row["percentile_2"],
            row["num_2"],
        )
        for row in lists.collect()
    }
    expected = {0: (0.9, 1, 1.6, 2), 1: (0.9, 1, 1.1, 2), 2: (0.9, 1, 0.9, 1)}
    segments = {0: "users many", 1: "users few", 2: "users few"}
    assert found.keys() == {(u, s) for u in expected for s in ("all", segments[u])}
    for (user, _), values in found.items():
        assert values == pytest.approx(expected[user], abs=1e-8)


def test_items_fall_into_ten_groups_of_equal_size_by_popularity(spark):
    """Twenty items with 0 to 19 users, in disorder; 190 train pairs."""
    items = [((7 * users) % 20, users) for users in range(20)]
    popularity = spark.createDataFrame(items, schemas.ITEM_POPULARITY)
    of_users = {users: item for item, users in items}
    shown = [of_users[19], of_users[18], of_users[0], of_users[2]]
    ranks = spark.createDataFrame(
        [("m", "full", 0, 0, 1, shown[:3]), ("m", "full", 1, 0, 1, [shown[3], shown[0], 5])],
        schemas.RANKS,
    )
    found = rows(build_recommended_popularity(ranks, popularity, 2))
    shares = {10: 3 / 4, 2: 1 / 4}
    assert found == [
        ("m", decile, shares.get(decile, 0.0), 0.1, pytest.approx((4 * decile - 3) / 190))
        for decile in range(1, 11)
    ]


def test_items_that_tie_are_still_split_into_groups_of_equal_size(spark):
    popularity = spark.createDataFrame([(item, 0) for item in range(25)], schemas.ITEM_POPULARITY)
    ranks = spark.createDataFrame([("m", "full", 0, 0, 1, [24])], schemas.RANKS)
    found = rows(build_recommended_popularity(ranks, popularity, 2))
    assert [round(row[3] * 25) for row in found] == [3, 2, 3, 2, 3, 2, 3, 2, 3, 2]
    assert [row[2] for row in found] == [0.0] * 9 + [1.0]
    assert {row[4] for row in found} == {0.0}


def test_fewer_than_ten_items_fill_as_many_groups(ranks, popularity):
    found = rows(build_recommended_popularity(ranks.where("model = 'm'"), popularity, 1))
    assert [(row[1], row[2]) for row in found] == [(1, 0.0), (3, 0.0), (5, 0.0), (7, 0.0), (9, 1.0)]
    assert found[4][4] == pytest.approx(9 / 16)
