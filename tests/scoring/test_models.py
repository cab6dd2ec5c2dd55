import subprocess
import sys

import numpy as np
import pytest
import torch

from ncf_spark.model.recommender import Recommender
from ncf_spark.scoring.models import ModelScorer, StoredModel, item_directions, normalised
from ncf_spark.scoring.scorers import BLOCK_ROWS, UserBlock
from ncf_spark.scoring.topk import top_k
from tests.model.architectures import KINDS, build_architecture

NUM_ITEMS = 700
NOTHING = (np.empty(0, np.int64), np.empty(0, np.int64))
NAMED = [
    *[(kind, {}) for kind in KINDS],
    ("mf", {"similarity": "cosine", "temperature": 0.1}),
    ("neumf", {"activation": "leaky_relu"}),
    ("mlp", {"tower": (8, 3)}),
]


def random_models(kind: str, **named) -> tuple[Recommender, StoredModel]:
    """A model of torch, and what of it is stored."""
    sizes = {"factors": 4, "tower": (8, 16, 6), "dropout": (0.5, 0.5), **named}
    sizes["dropout"] = sizes["dropout"][: len(sizes["tower"]) - 1]
    architecture = build_architecture(kind, NUM_ITEMS, **sizes)
    model, generator = Recommender(architecture, 0).eval(), torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    return model, StoredModel(architecture.to_json(), weights, weights["item_vectors"])


def random_users(model: StoredModel, count: int) -> np.ndarray:
    width = model.item_vectors.shape[1]
    return np.random.default_rng(3).standard_normal((count, width), np.float32)


def float64_scores(model: Recommender, users: np.ndarray) -> np.ndarray:
    """(B, I), by torch's forward pass in float64."""
    every = model.double().item_vectors.expand(len(users), -1, -1)
    return model.pairs(torch.from_numpy(users).double(), every).numpy()


@pytest.mark.parametrize("tile_bytes", [1, 40_000, 2**30])
@pytest.mark.parametrize(("kind", "named"), NAMED)
def test_scores_are_those_of_a_forward_pass_in_float64(kind, named, tile_bytes):
    model, stored = random_models(kind, **named)
    users = random_users(stored, 9)
    expected = float64_scores(model, users)
    scores = ModelScorer(stored, tile_bytes)(UserBlock(users, NOTHING))
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)

    some = np.arange(3, NUM_ITEMS, 5)
    with_unknown = np.append(some, [NUM_ITEMS, NUM_ITEMS + 7])
    scores = ModelScorer(stored, tile_bytes, with_unknown)(UserBlock(users, NOTHING))
    np.testing.assert_allclose(scores[:, some], expected[:, some], rtol=1e-5, atol=1e-5)
    assert (np.delete(scores, some, axis=1) == -np.inf).all()


@pytest.mark.parametrize(("kind", "named"), NAMED)
def test_lists_are_those_of_float64_up_to_ties_within_a_hundred_thousandth(kind, named):
    model, stored = random_models(kind, **named)
    users, k = random_users(stored, BLOCK_ROWS), 10
    exact = float64_scores(model, users)
    rows, items, scores = top_k(ModelScorer(stored, 2**16)(UserBlock(users, NOTHING)), k, NOTHING)
    assert rows.tolist() == np.repeat(np.arange(BLOCK_ROWS), k).tolist()
    best = np.sort(exact, axis=1)[:, : -k - 1 : -1].ravel()
    np.testing.assert_allclose(exact[rows, items], best, rtol=1e-5)
    np.testing.assert_allclose(scores, best, rtol=1e-5)


@pytest.mark.parametrize(("kind", "named"), NAMED)
def test_a_user_scores_the_same_bits_in_any_block(kind, named):
    """A rerun on other partitions scores a user beside other users."""
    _, stored = random_models(kind, **named)
    users = random_users(stored, BLOCK_ROWS)
    scorer = ModelScorer(stored, 2**14)
    together = scorer(UserBlock(users, NOTHING))
    shuffled = np.random.default_rng(5).permutation(BLOCK_ROWS)
    for few in (1, 2, 3, 7, 37):
        for chosen in np.array_split(shuffled, range(few, BLOCK_ROWS, few)):
            np.testing.assert_array_equal(
                scorer(UserBlock(users[chosen], NOTHING)), together[chosen]
            )


def test_items_are_compared_by_their_vectors_without_mfs_bias():
    vectors = np.array([[3.0, 4.0, -7.0], [0.0, 0.0, 1.0]], np.float32)
    directions = item_directions(StoredModel({"kind": "mf"}, {}, vectors))
    assert normalised(directions).tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0]]
    assert item_directions(StoredModel({"kind": "gmf"}, {}, vectors)) is vectors


def test_what_scores_in_python_workers_brings_neither_torch_nor_matplotlib():
    code = (
        "import sys, ncf_spark.evaluation.ranks, ncf_spark.evaluation.bootstrap, "
        "ncf_spark.evaluation.judging; print({'torch', 'matplotlib'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
