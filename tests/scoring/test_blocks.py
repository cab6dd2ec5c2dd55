import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ncf_spark.model.recommender import Recommender, initialise_shared
from ncf_spark.scoring import blocks
from ncf_spark.scoring.blocks import (
    DotScorer,
    ItemItemScorer,
    ModelScorer,
    SameForAll,
    UserBlock,
    positions_in_row,
    slices_up_to,
    top_k,
)
from tests.model.architectures import KINDS, build_architecture


def pairs(hidden) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows and items of (row, item) pairs."""
    rows, items = (torch.tensor([pair[i] for pair in hidden], dtype=torch.int64) for i in (0, 1))
    return rows, items


def of(vectors: torch.Tensor, seen=()) -> UserBlock:
    """Users with these vectors, who have seen (row, item) pairs."""
    return UserBlock(vectors, pairs(seen))


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


def test_a_score_that_is_not_a_number_is_never_among_the_best():
    nan = float("nan")
    assert listed([[nan, nan, nan], [1.0, 2.0, 3.0]], 2) == [(1, 2, 3.0), (1, 1, 2.0)]
    assert listed([[nan, nan, nan]], 2, [(0, 0), (0, 1)]) == []


def test_positions_count_within_each_run():
    assert positions_in_row(torch.tensor([0, 0, 2, 2, 2, 7])).tolist() == [1, 2, 1, 2, 3, 1]
    assert positions_in_row(torch.empty(0, dtype=torch.int64)).tolist() == []


def random_model(kind: str) -> tuple[Recommender, torch.Tensor]:
    """A model of 23 items and nobody's users, and the vectors of 9 users."""
    named = {"factors": 4, "tower": (8, 16, 6), "dropout": (0.5, 0.5)}
    model = Recommender(build_architecture(kind, 23, **named), 0)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return model, torch.randn(9, model.head.width, generator=generator)


def naive_scores(model: Recommender, users: torch.Tensor) -> np.ndarray:
    """(B, I), pair by pair in double precision, with the MLP's input side by side."""
    p = {name: value.detach().double().numpy() for name, value in model.named_parameters()}
    if model_kind(p) == "mf":
        user_side, item_side = users.double().numpy(), p["item_vectors"]
        biases = user_side[:, -1:] + item_side[:, -1] + p["bias"]
        return user_side[:, :-1] @ item_side[:, :-1].T + biases
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
    if "head.first.weight" in parameters:
        return "mlp"
    return "gmf" if "head.output" in parameters else "mf"


@pytest.mark.parametrize("block_bytes", [1, 9 * 16 * 4 * 5, 2**30])
@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_a_naive_forward_for_any_block_size(kind, block_bytes):
    model, users = random_model(kind)
    scores = ModelScorer(model, block_bytes)(of(users))
    np.testing.assert_allclose(scores.numpy(), naive_scores(model, users), rtol=0, atol=1e-5)


def test_scores_may_be_masked_without_changing_the_next():
    model, users = random_model("neumf")
    scorer = ModelScorer(model, 2**20)
    first = scorer(of(users))
    kept = first.clone()
    first.fill_(-torch.inf)
    assert torch.equal(scorer(of(users)), kept)


def test_popularity_scores_every_user_the_same_on_rows_of_their_own():
    scorer = SameForAll(torch.tensor([3.0, 0.0, 7.0]))
    scores = scorer(of(torch.zeros(2, 5)))
    assert scores.tolist() == [[3.0, 0.0, 7.0]] * 2
    scores[0] = -torch.inf
    assert scores[1].tolist() == [3.0, 0.0, 7.0]
    assert scorer(of(torch.zeros(1, 5))).tolist() == [[3.0, 0.0, 7.0]]


def test_vectors_alone_score_by_their_product():
    scorer = DotScorer(torch.tensor([[1.0, 2.0], [0.0, -1.0], [0.0, 0.0]]))
    scores = scorer(of(torch.tensor([[3.0, 1.0], [0.0, 2.0]])))
    assert scores.tolist() == [[5.0, -1.0, 0.0], [4.0, -2.0, 0.0]]


# (item, neighbour, similarity)
NEIGHBOURS = [(0, 1, 0.5), (0, 2, 0.25), (1, 0, 0.5), (2, 3, 0.75), (3, 0, 1.0), (3, 2, 0.125)]


def item_item(neighbours, num_items: int) -> ItemItemScorer:
    items, others, similarities = zip(*neighbours, strict=True)
    return ItemItemScorer(
        torch.tensor(items), torch.tensor(others), torch.tensor(similarities), num_items
    )


def test_an_item_scores_by_those_of_its_own_neighbours_that_were_seen():
    scorer = item_item(NEIGHBOURS, 5)
    users = of(torch.empty(4, 0), [(0, 1), (0, 2), (2, 0), (3, 4)])
    assert scorer(users).tolist() == [
        [0.75, 0.0, 0.0, 0.125, 0.0],  # 0.5 + 0.25 for item 0; nobody keeps item 1 but item 0
        [0.0] * 5,  # has seen nothing
        [0.0, 0.5, 0.0, 1.0, 0.0],
        [0.0] * 5,  # nobody is a neighbour of item 4
    ]


def random_neighbours(num_items: int) -> tuple[list, np.ndarray, list]:
    """Neighbours, the same as a matrix (item, neighbour), and what 9 users have seen."""
    choose = np.random.default_rng(6)
    dense = choose.random((num_items, num_items)) * (choose.random((num_items, num_items)) < 0.3)
    items, others = dense.nonzero()
    seen = [(row, int(item)) for row in range(9) for item in choose.permutation(num_items)[:row]]
    return list(zip(items, others, dense[items, others], strict=True)), dense, seen


@pytest.mark.parametrize("terms", [1, 7, 2**20])
def test_item_item_is_a_product_of_matrices_however_few_terms_at_a_time(monkeypatch, terms):
    monkeypatch.setattr(blocks, "_TERMS", terms)
    neighbours, dense, seen = random_neighbours(23)
    history = np.zeros((9, 23))
    history[tuple(np.array(seen).T)] = 1
    scores = item_item(neighbours[::-1], 23)(of(torch.empty(9, 0), seen))
    np.testing.assert_allclose(scores.numpy(), history @ dense.T, rtol=0, atol=1e-12)


def test_few_terms_are_laid_out_at_a_time():
    assert slices_up_to(5, torch.tensor([3, 4, 5, 1])) == [slice(0, 2), slice(2, 3), slice(3, 4)]
    assert slices_up_to(5, torch.tensor([0, 0, 9, 0, 2])) == [slice(0, 3), slice(3, 5)]
    assert slices_up_to(99, torch.tensor([3, 4, 5])) == [slice(0, 3)]
    assert slices_up_to(5, torch.tensor([], dtype=torch.int64)) == []


def test_item_item_gives_the_same_bits_in_any_order_and_company():
    neighbours, _, seen = random_neighbours(23)
    together = item_item(neighbours, 23)(of(torch.empty(9, 0), seen))
    shuffled = [seen[i] for i in np.random.default_rng(7).permutation(len(seen))]
    assert torch.equal(item_item(neighbours[::-1], 23)(of(torch.empty(9, 0), shuffled)), together)
    for row in range(9):
        alone = of(torch.empty(1, 0), [(0, item) for r, item in shuffled if r == row])
        assert torch.equal(item_item(neighbours, 23)(alone)[0], together[row])


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_scores_the_same_bits_in_any_company(kind: str):
    """A rerun on other partitions scores a user beside other users."""
    architecture = build_architecture(kind, 149, factors=8, tower=(64, 32, 16, 8))
    model = Recommender(architecture, 0)
    initialise_shared(model, architecture, 3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        model.item_vectors.copy_(torch.randn(149, model.head.width, generator=generator))
    users = torch.randn(300, model.head.width, generator=generator)
    scorers = [ModelScorer(model, 2**20), DotScorer(model.item_vectors.detach())]
    shuffled = torch.randperm(300, generator=generator)
    for scorer in scorers:
        together = scorer(of(users))
        for few in (1, 2, 3, 7, 37, 64, 65):
            apart = torch.cat([scorer(of(part)) for part in users[shuffled].split(few)])
            assert torch.equal(apart, together[shuffled]), few
