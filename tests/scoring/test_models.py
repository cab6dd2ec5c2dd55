import copy
import subprocess
import sys

import numpy as np
import pytest
import torch

from ncf_spark.model.recommender import Recommender
from ncf_spark.scoring.models import ModelScorer
from ncf_spark.scoring.scorers import BLOCK_ROWS, UserBlock
from ncf_spark.scoring.topk import top_k
from tests.model.architectures import KINDS, build_architecture

BLOCK = BLOCK_ROWS["cpu"]
NUM_ITEMS = 700
NOTHING = (np.empty(0, np.int64), np.empty(0, np.int64))
NAMED = [
    *[(kind, {}) for kind in KINDS],
    ("mf", {"similarity": "cosine", "temperature": 0.1}),
    ("neumf", {"activation": "leaky_relu"}),
    ("mlp", {"tower": (8, 3)}),
]


def random_model(kind: str, **named) -> Recommender:
    sizes = {"factors": 4, "tower": (8, 16, 6), "dropout": (0.5, 0.5), **named}
    sizes["dropout"] = sizes["dropout"][: len(sizes["tower"]) - 1]
    model = Recommender(build_architecture(kind, NUM_ITEMS, **sizes), 0).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return model


def random_users(model: Recommender, count: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal((count, model.head.width), np.float32)


def float64_scores(model: Recommender, users: np.ndarray) -> np.ndarray:
    """(B, I), by torch's forward pass in float64."""
    double = copy.deepcopy(model).double()
    every = double.item_vectors.expand(len(users), -1, -1)
    return double.pairs(torch.from_numpy(users).double(), every).numpy()


@pytest.mark.parametrize("tile_bytes", [1, 40_000, 2**30])
@pytest.mark.parametrize(("kind", "named"), NAMED)
def test_scores_are_those_of_a_forward_pass_in_float64(kind, named, tile_bytes):
    model = random_model(kind, **named)
    users = random_users(model, 9)
    expected = float64_scores(model, users)
    scores = ModelScorer(model, tile_bytes)(UserBlock(users))
    assert scores.dtype == torch.float32
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)

    some = np.arange(3, NUM_ITEMS, 5)
    with_unknown = np.append(some, [NUM_ITEMS, NUM_ITEMS + 7])
    scores = ModelScorer(model, tile_bytes, with_unknown)(UserBlock(users)).numpy()
    np.testing.assert_allclose(scores[:, some], expected[:, some], rtol=1e-5, atol=1e-5)
    assert (np.delete(scores, some, axis=1) == -np.inf).all()


@pytest.mark.parametrize(("kind", "named"), NAMED)
def test_lists_are_those_of_float64_up_to_ties_within_a_hundred_thousandth(kind, named):
    model = random_model(kind, **named)
    users, k = random_users(model, BLOCK), 10
    exact = float64_scores(model, users)
    rows, items, scores = top_k(ModelScorer(model, 2**16)(UserBlock(users)), k, NOTHING)
    assert rows.tolist() == np.repeat(np.arange(BLOCK), k).tolist()
    best = np.sort(exact, axis=1)[:, : -k - 1 : -1].ravel()
    np.testing.assert_allclose(exact[rows, items], best, rtol=1e-5)
    np.testing.assert_allclose(scores, best, rtol=1e-5)


@pytest.mark.parametrize(("kind", "named"), NAMED)
def test_a_user_scores_the_same_bits_in_any_block(kind, named):
    """A rerun on other partitions scores a user beside other users."""
    model = random_model(kind, **named)
    users = random_users(model, BLOCK)
    scorer = ModelScorer(model, 2**14)
    together = scorer(UserBlock(users))
    shuffled = np.random.default_rng(5).permutation(BLOCK)
    for few in (1, 2, 3, 7, 37):
        for chosen in np.array_split(shuffled, range(few, BLOCK, few)):
            np.testing.assert_array_equal(scorer(UserBlock(users[chosen])), together[chosen])


@pytest.mark.parametrize(
    ("module", "others"),
    [
        ("ncf_spark.night", {"torch", "matplotlib", "pyspark.ml"}),  # a step may be skipped
        ("ncf_spark.evaluation.ranks", {"matplotlib", "pyspark.ml"}),  # Python workers import it
        ("tests.benchmarks.bare_scoring", {"pyspark", "pyarrow"}),  # for machines with torch alone
    ],
)
def test_what_takes_long_to_import_is_imported_where_it_is_needed(module, others):
    code = f"import sys, {module}; print({others!r} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
