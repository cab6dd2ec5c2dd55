import random

import numpy as np
import pytest
import torch

from ncf_spark.model import store
from ncf_spark.model.recommender import Recommender, initialise_shared
from ncf_spark.schemas import ITEM_TOPK, USER_TOPK
from ncf_spark.scoring.spark import build_item_topk, build_user_topk, with_seen
from tests.conftest import rows
from tests.model.architectures import build_architecture
from tests.scoring.stored import save_gmf, save_model, types, write_table

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
        model_uri=model_uri,
        eligible_uri=eligible_uri,
        k=2,
        block_bytes=2**16,
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


def test_no_users_get_nothing(spark, tmp_path, model_uri):
    topk = build_user_topk(
        spark.createDataFrame([], USERS),
        model_uri=model_uri,
        eligible_uri=write_table(tmp_path / "eligible", {"item_index": [1]}),
        k=2,
        block_bytes=2**16,
    )
    assert rows(topk) == []


def test_top_k_is_exact_over_many_users_in_many_blocks(spark, tmp_path):
    architecture = build_architecture("neumf", 30, factors=4, tower=(8, 6, 4))
    model = Recommender(architecture, 0)
    initialise_shared(model, architecture, 1)
    with torch.no_grad():
        model.item_vectors.copy_(torch.randn(30, 8, generator=torch.Generator().manual_seed(1)))
    store.save_shared(f"file://{tmp_path}/model", model)
    store.save_manifest(f"file://{tmp_path}/model", architecture, {})
    vectors = torch.randn(150, 8, generator=torch.Generator().manual_seed(2))
    choose = random.Random(3)
    seen = [choose.sample(range(30), choose.randrange(20)) for _ in range(150)]
    eligible = [item for item in range(30) if item % 6]
    users = [(u, vectors[u].tolist(), seen[u] or None) for u in range(150)]
    topk = build_user_topk(
        spark.createDataFrame(users, USERS).repartition(2),
        model_uri=f"file://{tmp_path}/model",
        eligible_uri=write_table(tmp_path / "eligible", {"item_index": eligible}),
        k=7,
        block_bytes=2**16,
    )
    found: dict[int, list] = {}
    for user, rank, item, score, _ in rows(topk):
        found.setdefault(user, []).append((item, score))
        assert rank == len(found[user])
    scored = model.pairs(vectors, model.item_vectors.expand(150, 30, 8)).tolist()
    for user in range(150):
        allowed = sorted(set(eligible) - set(seen[user]))
        expected = sorted((scored[user][item] for item in allowed), reverse=True)[:7]
        items, scores = zip(*found[user], strict=True)
        assert set(items) <= set(allowed)
        assert len(set(items)) == len(items) == len(expected)
        np.testing.assert_allclose(scores, expected, atol=1e-5)
        np.testing.assert_allclose(scores, [scored[user][item] for item in items], atol=1e-5)


def test_each_item_gets_the_eligible_items_nearest_by_cosine(spark, tmp_path):
    vectors = [[1.0, 0.0], [2.0, 0.0], [0.0, 3.0], [-1.0, 0.0], [1.0, 1.0]]
    topk = build_item_topk(
        spark.createDataFrame([(4,), (2,), (0,), (3,), (1,)], "item_index int"),
        model_uri=save_gmf(tmp_path / "model", vectors),
        eligible_uri=write_table(tmp_path / "eligible", {"item_index": [0, 2, 3, 4]}),
        k=2,
    )
    assert types(topk) == types(ITEM_TOPK)
    assert [(*row[:3], round(row[3], 5)) for row in rows(topk)] == [
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
        model_uri=save_model(tmp_path / "model", "mf", vectors),
        eligible_uri=write_table(tmp_path / "eligible", {"item_index": [0, 1, 2]}),
        k=2,
    )
    assert [(*row[:3], round(row[3], 5)) for row in rows(topk)] == [
        (0, 1, 2, 0.89443),
        (0, 2, 1, 0.0),
    ]


def test_a_users_seen_items_are_gathered_and_null_where_there_are_none(spark):
    users = spark.createDataFrame([(0,), (1,), (2,)], "user_index int")
    pairs = [(2, 5), (0, 1), (2, 3), (9, 9)]
    train = spark.createDataFrame(pairs, "user_index int, item_index int")
    found = {row["user_index"]: row["seen"] for row in with_seen(users, train).collect()}
    assert found.keys() == {0, 1, 2}
    assert found[0] == [1]
    assert found[1] is None
    assert sorted(found[2]) == [3, 5]
