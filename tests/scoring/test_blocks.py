import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ncf_spark.model.recommender import Architecture, Recommender, initialise_shared
from ncf_spark.scoring.blocks import (
    ModelScorer,
    SameForAll,
    items_at_a_time,
    positions_in_row,
    top_k,
)


def pairs(hidden) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows and items of (row, item) pairs."""
    rows, items = (torch.tensor([pair[i] for pair in hidden], dtype=torch.int64) for i in (0, 1))
    return rows, items


def listed(scores: list[list[float]], k: int, hidden=()) -> list[tuple[int, int, float]]:
    """(row, item, score) of `top_k`."""
    found = top_k(torch.tensor(scores), k, pairs(hidden))
    return list(zip(*(column.tolist() for column in found), strict=True))


def best(scores: list[list[float]], k: int, hidden) -> list[tuple[int, int, float]]:
    """The same by sorting everything."""
    return [
        (row, item, -negated)
        for row, line in enumerate(scores)
        for negated, item in sorted(
            (-score, item) for item, score in enumerate(line) if (row, item) not in hidden
        )[:k]
    ]


@st.composite
def tables(draw) -> list[list[float]]:
    """Scores of up to 6 rows and 12 items, most of which tie."""
    num_items = draw(st.integers(1, 12))
    line = st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0]), min_size=num_items, max_size=num_items)
    return draw(st.lists(line, min_size=1, max_size=6))


@given(tables(), st.integers(1, 14), st.sets(st.tuples(st.integers(0, 5), st.integers(0, 11))))
@settings(max_examples=300)
def test_the_best_k_come_in_order_whatever_ties_and_is_hidden(scores, k, hidden):
    hidden = {(r, i) for r, i in hidden if r < len(scores) and i < len(scores[0])}
    assert listed(scores, k, sorted(hidden)) == best(scores, k, hidden)


def test_of_equal_scores_the_lower_item_comes_first():
    scores = [[1.0, 3.0, 1.0, 3.0, 1.0], [0.0, 0.0, 0.0, 0.0, 9.0]]
    assert listed(scores, 3) == [
        (0, 1, 3.0),
        (0, 3, 3.0),
        (0, 0, 1.0),
        (1, 4, 9.0),
        (1, 0, 0.0),
        (1, 1, 0.0),
    ]


def test_a_hidden_item_never_appears():
    assert listed([[1.0, 3.0, 2.0]], 2, [(0, 1)]) == [(0, 2, 2.0), (0, 0, 1.0)]


def test_a_row_with_fewer_than_k_items_left_has_fewer():
    hidden = [(0, 0), (0, 2), (1, 0), (1, 1), (1, 2)]
    assert listed([[1.0, 3.0, 2.0], [1.0, 3.0, 2.0]], 2, hidden) == [(0, 1, 3.0)]
    assert listed([[1.0, 3.0]], 5) == [(0, 1, 3.0), (0, 0, 1.0)]


def test_positions_count_within_each_run():
    assert positions_in_row(torch.tensor([0, 0, 2, 2, 2, 7])).tolist() == [1, 2, 1, 2, 3, 1]
    assert positions_in_row(torch.empty(0, dtype=torch.int64)).tolist() == []


def random_model(kind: str) -> tuple[Recommender, torch.Tensor]:
    """A model of 23 items and nobody's users, and the vectors of 9 users."""
    model = Recommender(Architecture(kind, 4, (8, 16, 6), 0.5, "normal", 23), 0)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return model, torch.randn(9, model.head.width, generator=generator)


def naive_scores(model: Recommender, users: torch.Tensor) -> np.ndarray:
    """(B, I), pair by pair in double precision, with the MLP's input side by side."""
    p = {name: value.detach().double().numpy() for name, value in model.named_parameters()}
    gmf = {"gmf": "head.", "neumf": "head.gmf."}.get(model_kind(p))
    mlp = {"mlp": "head.", "neumf": "head.mlp."}.get(model_kind(p))
    width = len(p[f"{gmf}output"]) if gmf else 0
    scores = np.full((len(users), len(p["item_vectors"])), p["bias"])
    for b, user in enumerate(users.double().numpy()):
        for i, item in enumerate(p["item_vectors"]):
            if gmf:
                scores[b, i] += user[:width] * item[:width] @ p[f"{gmf}output"]
            if mlp:
                hidden = np.concatenate([user[width:], item[width:]])
                for layer in ("first", "layers.0"):
                    weight, bias = p[f"{mlp}{layer}.weight"], p[f"{mlp}{layer}.bias"]
                    hidden = np.maximum(weight @ hidden + bias, 0)
                scores[b, i] += hidden @ p[f"{mlp}output"]
    return scores


def model_kind(parameters: dict[str, np.ndarray]) -> str:
    if "head.gmf.output" in parameters:
        return "neumf"
    return "mlp" if "head.first.weight" in parameters else "gmf"


@pytest.mark.parametrize("block_bytes", [1, 9 * 16 * 4 * 5, 2**30])
@pytest.mark.parametrize("kind", ["gmf", "mlp", "neumf"])
def test_scores_are_those_of_a_naive_forward_for_any_block_size(kind, block_bytes):
    model, users = random_model(kind)
    scores = ModelScorer(model, block_bytes)(users)
    np.testing.assert_allclose(scores.numpy(), naive_scores(model, users), rtol=0, atol=1e-5)


def test_scores_may_be_masked_without_changing_the_next():
    model, users = random_model("neumf")
    scorer = ModelScorer(model, 2**20)
    first = scorer(users)
    kept = first.clone()
    first.fill_(-torch.inf)
    assert torch.equal(scorer(users), kept)


def test_the_items_of_a_block_fit_into_its_bytes():
    # 4 bytes · 16, the widest layer · 9 users = 576 for each item
    model, _ = random_model("neumf")
    assert items_at_a_time(model, 9, 576 * 5) == 5
    assert items_at_a_time(model, 9, 576 * 5 - 1) == 4
    assert items_at_a_time(model, 9, 1) == 1
    assert items_at_a_time(random_model("gmf")[0], 9, 1) == 23


def test_popularity_scores_every_user_the_same_on_rows_of_their_own():
    scorer = SameForAll(torch.tensor([3.0, 0.0, 7.0]))
    scores = scorer(torch.zeros(2, 5))
    assert scores.tolist() == [[3.0, 0.0, 7.0]] * 2
    scores[0] = -torch.inf
    assert scores[1].tolist() == [3.0, 0.0, 7.0]
    assert scorer(torch.zeros(1, 5)).tolist() == [[3.0, 0.0, 7.0]]


@pytest.mark.parametrize("kind", ["gmf", "mlp", "neumf"])
def test_a_row_scores_the_same_bits_in_any_company(kind: str):
    """A rerun on other partitions scores a user beside other users."""
    architecture = Architecture(kind, 8, (64, 32, 16, 8), 0.0, "normal", 149)
    model = Recommender(architecture, 0)
    initialise_shared(model, architecture, 3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        model.item_vectors.copy_(torch.randn(149, model.head.width, generator=generator))
    users = torch.randn(300, model.head.width, generator=generator)
    scorer = ModelScorer(model, 2**20)
    together = scorer(users)
    shuffled = torch.randperm(300, generator=generator)
    for few in (1, 2, 3, 7, 37, 64, 65):
        apart = torch.cat([scorer(part) for part in users[shuffled].split(few)])
        assert torch.equal(apart, together[shuffled]), few
