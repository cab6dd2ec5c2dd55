import pytest

from ncf_spark import schemas
from ncf_spark.evaluation.segments import (
    build_category_counts,
    build_item_categories,
    build_user_segments,
    filter_top_categories,
    with_user_segment,
)
from tests.conftest import rows

PAIRS = "user_index int, item_index int"


@pytest.fixture(scope="module")
def train(spark):
    sizes = {0: 1, 1: 2, 2: 3, 3: 4, 4: 5}
    pairs = [(user, item) for user, size in sizes.items() for item in range(size)]
    return spark.createDataFrame(pairs, PAIRS)


def test_users_are_few_some_or_many_by_their_train_pairs_bounds_included(train):
    found = build_user_segments(train.orderBy("item_index"), [2, 4])
    assert rows(found) == [
        (0, "users few"),
        (1, "users few"),
        (2, "users some"),
        (3, "users some"),
        (4, "users many"),
    ]


def test_users_without_a_train_pair_are_few(spark, train):
    users = spark.createDataFrame([(4,), (9,)], "user_index int")
    found = with_user_segment(users, build_user_segments(train, [2, 4]))
    assert rows(found) == [(4, "users many"), (9, "users few")]


def test_categories_are_numbered_and_those_that_are_null_left_out(spark):
    catalogue = spark.createDataFrame(
        [("a", "Action|Thriller"), ("b", None), ("c", "Tea"), ("unbought", "Tea")],
        "item_id string, category string",
    )
    index = spark.createDataFrame([("a", 0), ("b", 1), ("c", 2)], schemas.ITEM_NUMBERS)
    assert rows(build_item_categories(catalogue, index)) == [(0, "Action|Thriller"), (2, "Tea")]


def test_a_pair_counts_once_for_its_category_however_many_models_ranked_it(spark):
    ranks = [
        (model, protocol, user, item)
        for model in ("neumf", "popularity")
        for protocol in ("full", "sampled_99")
        for user, item in [(0, 7), (1, 7), (1, 8), (2, 9), (3, 5)]
    ]
    table = spark.createDataFrame(ranks, f"model string, protocol string, {PAIRS}")
    categories = spark.createDataFrame(
        [(7, "tea"), (8, "cups"), (9, None)], "item_index int, category string"
    )
    assert rows(build_category_counts(table, categories)) == [("cups", 1), ("tea", 2)]


def test_the_categories_with_the_most_pairs_are_kept_ties_by_the_alphabet(spark):
    categories = spark.createDataFrame(
        [(1, "tea"), (2, "cups"), (3, "pots"), (4, "tea"), (5, "jam")],
        "item_index int, category string",
    )
    counts = spark.createDataFrame(
        [("pots", 3), ("tea", 9), ("cups", 3), ("jam", 1)], "category string, num_pairs long"
    )
    assert rows(filter_top_categories(categories, counts, 2)) == [
        (1, "tea"),
        (2, "cups"),
        (4, "tea"),
    ]
    assert rows(filter_top_categories(categories, counts, 9)) == rows(categories)
