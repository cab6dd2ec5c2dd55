import pytest

from ncf_spark.schemas import ITEM_TOPK, USER_TOPK
from ncf_spark.scoring.bought_together import build_bought_together
from ncf_spark.scoring.spark import (
    build_item_topk,
    build_trained_users,
    build_user_topk,
    with_seen,
)
from ncf_spark.scoring.spec import ScorerSpec
from tests.conftest import rows
from tests.scoring.stored import (
    save_gmf,
    save_model,
    types,
    write_item_vectors,
    write_table,
)

USERS = "user_index int, vector array<float>, seen array<int>"


@pytest.fixture
def model_uri(tmp_path) -> str:
    """A user with the vector 1 scores the items 5, 4, 3, 2, 1."""
    return save_gmf(tmp_path / "model", [[5.0], [4.0], [3.0], [2.0], [1.0]])


def test_each_user_gets_the_best_eligible_items_it_has_not_seen(spark, tmp_path, model_uri):
    eligible_uri = write_table(tmp_path / "eligible", {"item_index": [4, 0, 1, 3]})
    users = [
        (7, [1.0], [0]),  # its best item is seen, and 2 is not eligible
        (3, [-1.0], None),
        (5, [0.0], []),  # everything ties
        (9, [1.0], [0, 1, 4]),  # one item is left
        (8, [1.0], [0, 1, 3, 4]),  # nothing is left
    ]
    topk = build_user_topk(
        spark.createDataFrame(users, USERS),
        scorer=ScorerSpec("model", model_uri, 2**16, items_uri=eligible_uri),
        k=2,
        source="model",
    )
    assert types(topk) == types(USER_TOPK)
    assert rows(topk) == [
        (3, 1, 4, -1.0, "model"),
        (3, 2, 3, -2.0, "model"),
        (5, 1, 0, 0.0, "model"),
        (5, 2, 1, 0.0, "model"),
        (7, 1, 1, 4.0, "model"),
        (7, 2, 3, 2.0, "model"),
        (9, 1, 3, 2.0, "model"),
    ]


def test_no_users_get_nothing(spark, model_uri):
    topk = build_user_topk(
        spark.createDataFrame([], USERS),
        scorer=ScorerSpec("model", model_uri, 2**16),
        k=2,
        source="model",
    )
    assert rows(topk) == []


def topk_of(spark, tmp_path, scorer, users, source):
    """The lists of two items by a baseline; items 1, 2 and 4 of 0 … 4 are eligible."""
    topk = build_user_topk(
        users,
        scorer=scorer._replace(
            items_uri=write_table(tmp_path / "eligible", {"item_index": [4, 2, 1]})
        ),
        k=2,
        source=source,
    )
    assert types(topk) == types(USER_TOPK)
    return rows(topk)


@pytest.fixture
def bare_users(spark):
    """Users as scorers without vectors take them."""
    users = [(7, [0]), (3, [4]), (5, [1, 2, 4]), (9, [3])]
    return spark.createDataFrame(users, "user_index int, seen array<int>")


def test_vectors_alone_recommend_by_their_product(spark, tmp_path):
    place = write_item_vectors(tmp_path / "als", [[9.0], [1.0], [3.0], [9.0], [2.0]])
    users = [(7, [1.0], [0]), (3, [-1.0], [4]), (5, [1.0], [1, 2, 4]), (9, [2.0], [2])]
    found = topk_of(
        spark, tmp_path, ScorerSpec("dot", place), spark.createDataFrame(users, USERS), "als_64"
    )
    assert found == [
        (3, 1, 1, -1.0, "als_64"),
        (3, 2, 2, -3.0, "als_64"),
        (7, 1, 2, 3.0, "als_64"),
        (7, 2, 4, 2.0, "als_64"),
        (9, 1, 4, 4.0, "als_64"),
        (9, 2, 1, 2.0, "als_64"),
    ]


def test_popularity_recommends_what_most_have_and_not_what_nobody_has(spark, tmp_path, bare_users):
    counts = {"item_index": [3, 0, 4, 1, 2], "num_users": [8, 9, 6, 0, 5]}
    place = ScorerSpec("popularity", write_table(tmp_path / "popularity", counts), num_items=5)
    assert topk_of(spark, tmp_path, place, bare_users, "popularity") == [
        (3, 1, 2, 5.0, "popularity"),  # 4 is seen, and nobody has 1
        (7, 1, 4, 6.0, "popularity"),
        (7, 2, 2, 5.0, "popularity"),
        (9, 1, 4, 6.0, "popularity"),
        (9, 2, 2, 5.0, "popularity"),
    ]


def test_item_item_recommends_neighbours_of_what_was_seen_alone(spark, tmp_path, bare_users):
    neighbours = {
        "item_index": [1, 2, 4, 2, 0],
        "neighbour_index": [0, 0, 0, 4, 4],
        "similarity": [0.25, 0.75, 0.5, 1.0, 1.0],
    }
    uri = write_table(tmp_path / "neighbours", neighbours)
    place = ScorerSpec("item_item", uri, num_items=5)
    assert topk_of(spark, tmp_path, place, bare_users, "item_item") == [
        (3, 1, 2, 1.0, "item_item"),  # 0 is not eligible, nothing speaks for 1
        (7, 1, 2, 0.75, "item_item"),
        (7, 2, 4, 0.5, "item_item"),
    ]


def test_users_of_many_blocks_and_partitions_get_their_own_lists(spark, tmp_path, model_uri):
    eligible_uri = write_table(tmp_path / "eligible", {"item_index": [0, 1, 2, 4]})
    users = [(user, [1.0 + user], [user % 5]) for user in range(150)]
    topk = build_user_topk(
        spark.createDataFrame(users, USERS).repartition(2),
        scorer=ScorerSpec("model", model_uri, 2**16, items_uri=eligible_uri),
        k=2,
        source="model",
    )
    expected = []
    for user, [size], [seen] in users:
        best = [item for item in (0, 1, 2, 4) if item != seen][:2]
        expected += [
            (user, rank, item, size * (5 - item), "model") for rank, item in enumerate(best, 1)
        ]
    assert rows(topk) == expected


@pytest.mark.parametrize(("kind", "save"), [("model", save_gmf), ("dot", write_item_vectors)])
def test_each_item_gets_the_eligible_items_nearest_by_cosine(spark, tmp_path, kind, save):
    vectors = [[1.0, 0.0], [2.0, 0.0], [0.0, 3.0], [-1.0, 0.0], [1.0, 1.0]]
    topk = build_item_topk(
        spark.createDataFrame([(4,), (2,), (0,), (3,), (1,)], "item_index int"),
        kind=kind,
        uri=save(tmp_path / "model", vectors),
        eligible_uri=write_table(tmp_path / "eligible", {"item_index": [0, 2, 3, 4]}),
        k=2,
    )
    assert types(topk) == types(ITEM_TOPK)
    assert {row[1] for row in rows(topk)} == {"embedding"}
    assert [(row[0], *row[2:4], round(row[4], 5)) for row in rows(topk)] == [
        (0, 1, 4, 0.70711),
        (0, 2, 2, 0.0),
        (1, 1, 0, 1.0),  # not eligible itself, yet it has neighbours
        (1, 2, 4, 0.70711),
        (2, 1, 4, 0.70711),
        (2, 2, 0, 0.0),  # ties with item 3
        (3, 1, 2, 0.0),
        (3, 2, 4, -0.70711),
        (4, 1, 0, 0.70711),
        (4, 2, 2, 0.70711),
    ]


def test_a_bias_does_not_make_items_alike(spark, tmp_path):
    vectors = [[1.0, 0.0, 9.0], [0.0, 1.0, 9.0], [2.0, 1.0, -9.0]]
    topk = build_item_topk(
        spark.createDataFrame([(0,)], "item_index int"),
        kind="model",
        uri=save_model(tmp_path / "model", "mf", vectors),
        eligible_uri=write_table(tmp_path / "eligible", {"item_index": [0, 1, 2]}),
        k=2,
    )
    assert [(row[0], *row[2:4], round(row[4], 5)) for row in rows(topk)] == [
        (0, 1, 2, 0.89443),
        (0, 2, 1, 0.0),
    ]


def test_items_that_are_bought_together_stand_with_how_often(spark):
    # Item 2 may not be shown: it would be the nearest to 1. Item 4 shares its buyer with none.
    buyers = {0: "abcd", 1: "ab", 2: "ab", 3: "cde", 4: "f"}
    purchases = [(ord(user), item) for item, users in buyers.items() for user in users]
    found = build_bought_together(
        spark.createDataFrame(purchases, "user_index int, item_index int"),
        spark.createDataFrame([(0,), (1,), (3,), (4,)], "item_index int"),
        num_items=5,
        k=1,
        shrinkage=1.0,
    )
    assert types(found) == types(ITEM_TOPK)
    assert [(*row[:4], round(row[4], 5), row[5]) for row in rows(found)] == [
        (0, "co_purchase", 1, 1, round(2 / (8**0.5 + 1), 5), 2),  # 3 has 2 / (√12 + 1)
        (1, "co_purchase", 1, 0, round(2 / (8**0.5 + 1), 5), 2),
        (2, "co_purchase", 1, 1, round(2 / (2 + 1), 5), 2),
        (3, "co_purchase", 1, 0, round(2 / (12**0.5 + 1), 5), 2),
    ]


def test_trained_users_have_all_that_they_saw_and_the_others_are_left_out(spark):
    split = spark.createDataFrame(
        [
            (0, 1, False, False),
            (0, 4, True, False),
            (0, 6, False, True),
            (1, 2, True, False),
            (2, 3, False, True),
        ],
        "user_index int, item_index int, is_holdout boolean, is_validation boolean",
    )
    [row] = build_trained_users(split).collect()
    assert (row.user_index, sorted(row.seen)) == (0, [1, 4, 6])


def test_a_users_seen_items_are_gathered_and_null_where_there_are_none(spark):
    users = spark.createDataFrame([(0,), (1,), (2,)], "user_index int")
    pairs = [(2, 5), (0, 1), (2, 3), (9, 9)]
    train = spark.createDataFrame(pairs, "user_index int, item_index int")
    found = {row["user_index"]: row["seen"] for row in with_seen(users, train).collect()}
    assert found.keys() == {0, 1, 2}
    assert found[0] == [1]
    assert found[1] is None
    assert sorted(found[2]) == [3, 5]
