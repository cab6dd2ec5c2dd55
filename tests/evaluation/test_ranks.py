import random

import pytest
import torch

from ncf_spark.evaluation.judging import Judged
from ncf_spark.evaluation.ranks import build_all_ranks, build_held_out, build_ranks
from ncf_spark.schemas import RANKS, conform
from ncf_spark.scoring.spec import ScorerSpec
from tests.conftest import rows
from tests.scoring.stored import save_gmf, save_model, types, write_item_vectors, write_table

HOLDOUT = "user_index int, item_index int, negatives array<int>, shard int"
TRAIN = "user_index int, item_index int"
VECTORS = "user_index int, vector array<float>"

# User 0 has two held-out items, user 2 no train pair.
HELD_OUT = [(0, 2, [0, 1, 3], 0), (1, 3, [4], 1), (0, 4, [3, 2], 0), (2, 1, [], 0)]
SEEN = [(0, 0), (1, 4), (9, 1)]
USER_VECTORS = [(0, [1.0]), (1, [-1.0]), (2, [1.0]), (9, [1.0])]
ITEM_VECTORS = [[5.0], [4.0], [3.0], [2.0], [1.0]]
RANKED = [
    ("m", "full", 0, 2, 2, [1, 2]),  # after item 1; item 0 is seen
    ("m", "full", 0, 4, 4, None),
    ("m", "full", 1, 3, 1, [3, 2]),  # item 4 is seen
    ("m", "full", 2, 1, 2, [0, 1]),
    ("m", "sampled_99", 0, 2, 3, None),  # after items 0 and 1
    ("m", "sampled_99", 0, 4, 3, None),
    ("m", "sampled_99", 1, 3, 2, None),
    ("m", "sampled_99", 2, 1, 1, None),
]


def held_out(spark, holdout=HELD_OUT, seen=SEEN):
    train = spark.createDataFrame(seen, TRAIN)
    return build_held_out(spark.createDataFrame(holdout, HOLDOUT), train)


def ranked(spark, scorer, vectors=USER_VECTORS, max_k=2, **given):
    """The rows of `build_ranks` for a model called m; without vectors where these are None."""
    if vectors is not None:
        vectors = spark.createDataFrame(vectors, VECTORS)
    ranks = build_ranks(
        held_out(spark, **given),
        name="m",
        scorer=scorer,
        user_vectors=vectors,
        sampled="sampled_99",
        max_k=max_k,
    )
    assert types(ranks) == types(RANKS)
    return rows(ranks)


@pytest.fixture
def gmf(tmp_path) -> ScorerSpec:
    """A user with the vector 1 scores the items 5, 4, 3, 2, 1."""
    return ScorerSpec("model", save_gmf(tmp_path / "model", ITEM_VECTORS), 2**16)


@pytest.mark.parametrize("order", [1, -1])
def test_a_users_held_out_items_stand_in_one_row(spark, order):
    found = held_out(spark, HELD_OUT[::order], SEEN[::order])
    assert found.columns == ["user_index", "items", "sizes", "negatives", "seen"]
    assert rows(found) == [
        (0, [2, 4], [3, 2], [0, 1, 3, 3, 2], [0]),
        (1, [3], [1], [4], [4]),
        (2, [1], [0], [], None),
    ]


def test_each_held_out_item_is_ranked_and_each_user_gets_one_list(spark, gmf):
    assert ranked(spark, gmf) == RANKED


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_of_the_rows_does_not_matter(spark, gmf, order):
    found = ranked(spark, gmf, USER_VECTORS[::order], holdout=HELD_OUT[::-1], seen=SEEN[::-order])
    assert found == RANKED


def test_vectors_alone_are_ranked_by_their_product(spark, tmp_path):
    place = ScorerSpec("dot", write_item_vectors(tmp_path / "als", ITEM_VECTORS))
    assert ranked(spark, place) == RANKED


def test_mf_is_ranked_with_its_biases(spark, tmp_path):
    items = [
        [vector, bias] for (vector,), bias in zip(ITEM_VECTORS, [0, 0, 0, 0, 2.5], strict=True)
    ]
    place = ScorerSpec("model", save_model(tmp_path / "model", "mf", items, factors=1), 2**16)
    users = [(user, [vector, 7.0]) for user, (vector,) in USER_VECTORS]
    # item 4 is at 3.5 for user 0, after item 1
    assert [row[2:] for row in ranked(spark, place, users) if row[1] == "full"] == [
        (0, 2, 3, [1, 4]),
        (0, 4, 2, None),
        (1, 3, 1, [3, 2]),
        (2, 1, 2, [0, 1]),
    ]


def test_popularity_is_ranked_by_the_same_rule(spark, tmp_path):
    # Written in another order than the items'.
    counts = {"item_index": [3, 0, 4, 1, 2], "num_users": [4, 3, 0, 9, 4]}
    place = ScorerSpec("popularity", write_table(tmp_path / "popularity", counts))
    assert ranked(spark, place, vectors=None) == [
        ("m", "full", 0, 2, 3, [1, 2]),  # after item 1, and item 3, which ties
        ("m", "full", 0, 4, 4, None),
        ("m", "full", 1, 3, 3, [1, 2]),
        ("m", "full", 2, 1, 1, [1, 2]),
        ("m", "sampled_99", 0, 2, 3, None),
        ("m", "sampled_99", 0, 4, 3, None),
        ("m", "sampled_99", 1, 3, 1, None),
        ("m", "sampled_99", 2, 1, 1, None),
    ]


def test_item_item_is_ranked_by_what_was_seen_alone(spark, tmp_path):
    neighbours = {
        "item_index": [2, 1, 3, 2],
        "neighbour_index": [0, 0, 4, 4],
        "similarity": [0.5, 0.25, 1.0, 0.5],
    }
    uri = write_table(tmp_path / "neighbours", neighbours)
    # Item 5 of the index is nobody's neighbour.
    assert ranked(spark, ScorerSpec("item_item", uri, num_items=6), vectors=None, max_k=3) == [
        ("m", "full", 0, 2, 1, [2, 1, 3]),
        ("m", "full", 0, 4, 5, None),  # ties with items 3 and 5 at 0
        ("m", "full", 1, 3, 1, [3, 2, 0]),
        ("m", "full", 2, 1, 6, [0, 1, 2]),  # has seen nothing: all tie
        ("m", "sampled_99", 0, 2, 1, None),
        ("m", "sampled_99", 0, 4, 3, None),
        ("m", "sampled_99", 1, 3, 1, None),
        ("m", "sampled_99", 2, 1, 1, None),
    ]


@pytest.mark.parametrize("without", [[0], [0, 1, 2]])
def test_users_without_a_vector_rank_last_and_get_no_items(spark, gmf, without):
    last = {
        ("full", 0, 2): (4, []),
        ("full", 0, 4): (4, None),
        ("full", 1, 3): (4, []),
        ("full", 2, 1): (5, []),
        ("sampled_99", 0, 2): (4, None),
        ("sampled_99", 0, 4): (3, None),
        ("sampled_99", 1, 3): (2, None),
        ("sampled_99", 2, 1): (1, None),
    }
    expected = [(*row[:4], *last[row[1:4]]) if row[2] in without else row for row in RANKED]
    vectors = [(user, vector) for user, vector in USER_VECTORS if user not in without]
    assert ranked(spark, gmf, vectors) == expected


def test_a_list_is_shorter_where_fewer_items_are_unseen(spark, gmf):
    seen = [(0, 0), (0, 1), (0, 3), (1, 0), (1, 1), (1, 2), (1, 3), (1, 4)]
    found = ranked(spark, gmf, max_k=9, seen=seen)
    lists = {row[2]: row[5] for row in found if row[5] is not None}
    assert lists == {0: [2, 4], 1: [], 2: [0, 1, 2, 3, 4]}


def test_nobody_held_out_has_no_ranks(spark, gmf):
    assert ranked(spark, gmf, holdout=[]) == []


def test_lists_are_exact_unseen_and_once_a_user_over_many_blocks(spark, tmp_path):
    choose = random.Random(3)
    generator = torch.Generator().manual_seed(2)
    items = torch.randint(-3, 4, (30, 2), generator=generator).float()  # many ties
    users = torch.randint(-3, 4, (150, 2), generator=generator).float()
    place = ScorerSpec("dot", write_item_vectors(tmp_path / "als", items.tolist()))
    seen = {user: set(choose.sample(range(30), choose.randrange(20))) for user in range(150)}
    held = {
        user: choose.sample(sorted(set(range(30)) - seen[user]), choose.randrange(1, 9))
        for user in range(150)
    }
    found = ranked(
        spark,
        place,
        [(user, vector) for user, vector in enumerate(users.tolist())],
        max_k=7,
        holdout=[(u, item, [0, 1, 2], 0) for u in range(150) for item in held[u]],
        seen=[(user, item) for user in range(150) for item in seen[user]],
    )
    scores = (users @ items.T).tolist()
    expected = []
    for user in range(150):
        unseen = sorted(set(range(30)) - seen[user], key=lambda i, s=scores[user]: (-s[i], i))
        for protocol, rivals in (("full", unseen), ("sampled_99", [0, 1, 2])):
            for item in sorted(held[user]):
                above = [i for i in rivals if i != item and scores[user][i] >= scores[user][item]]
                itself = protocol != "full" and item in rivals
                shown = unseen[:7] if protocol == "full" and item == min(held[user]) else None
                expected.append(("m", protocol, user, item, 1 + len(above) + itself, shown))
    assert found == sorted(expected, key=lambda row: row[:4])


def test_items_that_take_no_part_neither_count_nor_are_shown(spark, tmp_path, gmf):
    items_uri = write_table(tmp_path / "items", {"item_index": [4, 0, 2, 3]})
    found = ranked(spark, gmf._replace(items_uri=items_uri), holdout=HELD_OUT[:3])
    assert found == [
        ("m", "full", 0, 2, 1, [2, 3]),  # item 1 was before it
        ("m", "full", 0, 4, 3, None),
        ("m", "full", 1, 3, 1, [3, 2]),
        ("m", "sampled_99", 0, 2, 2, None),
        ("m", "sampled_99", 0, 4, 3, None),
        ("m", "sampled_99", 1, 3, 2, None),
    ]


def test_popularity_knows_the_items_that_its_table_lacks(spark, tmp_path):
    counts = write_table(tmp_path / "popularity", {"item_index": [2, 1], "num_users": [0, 3]})
    place = ScorerSpec("popularity", counts, num_items=5)
    found = ranked(spark, place, vectors=None, holdout=[(0, 2, [1], 0)])
    assert found == [("m", "full", 0, 2, 2, [1, 2]), ("m", "sampled_99", 0, 2, 2, None)]


def test_models_stand_one_below_the_other(spark, tmp_path, gmf):
    counts = {"item_index": [0, 1, 2, 3, 4], "num_users": [3, 9, 4, 4, 0]}
    neighbours = {"item_index": [2], "neighbour_index": [0], "similarity": [0.5]}
    vectors = spark.createDataFrame(USER_VECTORS, VECTORS)
    ranks = build_all_ranks(
        held_out(spark).persist(),
        [
            Judged("m", "model", gmf.uri, vectors),
            Judged("als", "dot", write_item_vectors(tmp_path / "als", ITEM_VECTORS), vectors),
            Judged("popularity", "popularity", write_table(tmp_path / "popularity", counts), None),
            Judged(
                "item_item", "item_item", write_table(tmp_path / "neighbours", neighbours), None
            ),
        ],
        sampled="sampled_99",
        max_k=2,
        num_items=5,
        block_bytes=2**16,
    )
    found = rows(conform(ranks, RANKS, "ranks"))
    assert [row for row in found if row[0] == "m"] == RANKED
    assert [row for row in found if row[0] == "als"] == [("als", *row[1:]) for row in RANKED]
    assert [row[2:] for row in found if row[:2] == ("popularity", "full")] == [
        (0, 2, 3, [1, 2]),
        (0, 4, 4, None),
        (1, 3, 3, [1, 2]),
        (2, 1, 1, [1, 2]),
    ]
    assert len(found) == 4 * len(RANKED)
    assert len({row[:4] for row in found}) == len(found)


# Of the night before: items 3 and 4 of tonight's five are unknown to it, and so is user 1.
@pytest.mark.parametrize("kind", ["model", "dot"])
def test_a_model_of_last_night_judges_the_users_it_knows_and_ranks_new_items_last(
    spark, tmp_path, kind
):
    save = save_gmf if kind == "model" else write_item_vectors
    known = spark.createDataFrame([(0, [1.0]), (2, [-1.0])], VECTORS)
    tonight = write_table(tmp_path / "tonight", {"item_index": list(range(5))})
    ranks = build_all_ranks(
        held_out(spark),
        [Judged("last_night", kind, save(tmp_path / "old", ITEM_VECTORS[:3]), known, True)],
        sampled="sampled_99",
        max_k=4,
        num_items=5,
        block_bytes=2**16,
        items_uri=tonight,
    )
    assert rows(conform(ranks, RANKS, "ranks")) == [
        ("last_night", "full", 0, 2, 2, [1, 2]),
        ("last_night", "full", 0, 4, 4, None),  # new: after 1, 2 and 3, which is new too
        ("last_night", "full", 2, 1, 2, [2, 1, 0]),
        ("last_night", "sampled_99", 0, 2, 3, None),
        ("last_night", "sampled_99", 0, 4, 3, None),
        ("last_night", "sampled_99", 2, 1, 1, None),
    ]


def test_baselines_of_last_night_judge_every_user(spark, tmp_path):
    counts = {"item_index": [0, 1, 2], "num_users": [3, 0, 9]}
    neighbours = {"item_index": [2, 1], "neighbour_index": [0, 0], "similarity": [0.5, 1.0]}
    popularity = write_table(tmp_path / "popularity", counts)
    item_item = write_table(tmp_path / "neighbours", neighbours)
    ranks = build_all_ranks(
        held_out(spark),
        [
            Judged("popularity", "popularity", popularity, None, True),
            Judged("item_item", "item_item", item_item, None, True),
        ],
        sampled="sampled_99",
        max_k=2,
        num_items=5,
        block_bytes=2**16,
    )
    found = [row[2:] for row in rows(ranks.where("model = 'popularity' and protocol = 'full'"))]
    assert found[:2] == [(0, 2, 1, [2, 1]), (0, 4, 4, None)]
    assert found[2:] == [(1, 3, 4, [2, 0]), (2, 1, 3, [2, 0])]
    found = [row[2:] for row in rows(ranks.where("model = 'item_item' and protocol = 'full'"))]
    # User 1 has seen only item 4, which is new: everything ties.
    assert found == [(0, 2, 2, [1, 2]), (0, 4, 4, None), (1, 3, 4, [0, 1]), (2, 1, 5, [0, 1])]
