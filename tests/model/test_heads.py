import numpy as np
import pytest
import torch
from torch import Tensor

from ncf_spark.model.heads import GMF, MF, MLP, NeuMF
from tests.model.architectures import KINDS, build_architecture


def fill(parameter: Tensor, values: list) -> None:
    with torch.no_grad():
        parameter.copy_(torch.tensor(values))


def small_gmf() -> GMF:
    gmf = GMF(factors=2)
    fill(gmf.output, [2.0, -1.0])
    return gmf


def small_mlp(activation: str = "relu") -> MLP:
    mlp = MLP(tower=(4, 2, 2), dropout=(0.0, 0.0), activation=activation)
    fill(mlp.first.weight, [[1.0, 0.0, 2.0, -1.0], [0.0, 1.0, -1.0, 1.0]])
    fill(mlp.first.bias, [0.5, -1.0])
    fill(mlp.layers[0].weight, [[2.0, 1.0], [-1.0, 3.0]])
    fill(mlp.layers[0].bias, [-3.0, 1.0])
    fill(mlp.output, [0.5, 4.0])
    return mlp


def logits(head, users: list, items: list) -> list:
    """Of one user vector with each of the item vectors, by `pairs`."""
    of_items = head.encode_items(torch.tensor(items).unsqueeze(1))
    return head.pairs(head.encode_users(torch.tensor([users])), of_items)[0][:, 0].tolist()


# --- MF -----------------------------------------------------------------------------------------

# The last number of each vector is its bias.
USER, ITEMS = [3.0, 4.0, 0.5], [[1.0, 2.0, -1.0], [4.0, 3.0, 0.25], [0.0, -2.0, 2.0]]


@pytest.mark.parametrize(
    ("cosine", "temperature", "expected"),
    [
        # 3·1 + 4·2 + 0.5 - 1, 3·4 + 4·3 + 0.5 + 0.25, 4·-2 + 0.5 + 2
        (False, 1.0, [10.5, 24.75, -5.5]),
        # 11, 24 and -8 divided by 4, the biases as they are
        (False, 4.0, [2.25, 6.75, 0.5]),
        # 11 / (5 · √5), 24 / (5 · 5) and -8 / (5 · 2), the biases as they are
        (True, 1.0, [0.483870 - 0.0, 0.96 + 0.75, -0.8 + 2.5]),
        (True, 0.1, [9.838699 - 0.5, 9.6 + 0.75, -8.0 + 2.5]),
    ],
)
def test_mf_is_a_similarity_over_a_temperature_and_two_biases(cosine, temperature, expected):
    head = MF(factors=2, cosine=cosine, temperature=temperature)
    assert logits(head, USER, ITEMS) == pytest.approx(expected, abs=1e-5)


def test_the_length_of_a_vector_does_not_change_a_cosine():
    head = MF(factors=2, cosine=True)
    longer = [[10 * x, 10 * y, bias] for x, y, bias in ITEMS]
    assert logits(head, USER, longer) == pytest.approx(logits(head, USER, ITEMS), abs=1e-5)


def test_the_cosine_of_a_vector_without_length_is_0():
    assert logits(MF(factors=2, cosine=True), [0.0, 0.0, 0.5], ITEMS) == [-0.5, 0.75, 2.5]


def test_mf_vectors_start_with_a_bias_of_0():
    vectors = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    MF(factors=2).initialise_vectors(vectors)
    assert vectors.tolist() == [[1.0, 2.0, 0.0], [4.0, 5.0, 0.0]]


@pytest.mark.parametrize(
    ("kind", "similarity", "expected"),
    [
        ("mf", "dot", [3.0, 4.0]),
        ("mf", "cosine", [0.6, 0.8]),
        ("gmf", "dot", [3.0, 4.0, -7.0]),
        ("mlp", "dot", [3.0, 4.0, -7.0]),
        ("neumf", "dot", [3.0, 4.0, -7.0]),
    ],
)
def test_items_are_alike_by_their_vectors_without_the_bias(kind, similarity, expected):
    head = build_architecture(kind, num_items=1, similarity=similarity).build_head()
    found = head.item_directions(torch.tensor([[3.0, 4.0, -7.0]]))
    assert found.tolist() == [pytest.approx(expected)]


# --- GMF, MLP and NeuMF -------------------------------------------------------------------------


def test_gmf_adds_up_the_weighted_products_of_the_factors():
    # 2·1·4 - 1·3·5 and 2·1·0 - 1·3·1
    assert logits(small_gmf(), [1.0, 3.0], [[4.0, 5.0], [0.0, 1.0]]) == [-7.0, -3.0]


def test_mlp_is_a_relu_tower_over_both_embeddings():
    # (3, 1): (6.5, -1) → relu (6.5, 0) → (10, -5.5) → relu (10, 0) → 5
    # (0, 0): (1.5, 1) → (1, 2.5) → 10.5
    assert logits(small_mlp(), [1.0, 2.0], [[3.0, 1.0], [0.0, 0.0]]) == [5.0, 10.5]


def test_a_leaky_tower_lets_a_hundredth_of_what_is_negative_through():
    # (3, 1): (6.5, -1) → (6.5, -0.01) → (9.99, -5.53) → (9.99, -0.0553) → 4.995 - 0.2212
    # (0, 0): (1.5, 1) → (1, 2.5) → 10.5
    found = logits(small_mlp("leaky_relu"), [1.0, 2.0], [[3.0, 1.0], [0.0, 0.0]])
    assert found == pytest.approx([4.7738, 10.5], abs=1e-5)


def test_neumf_adds_both_halves_on_embeddings_of_their_own():
    head = NeuMF(small_gmf(), small_mlp())
    items = [[4.0, 5.0, 3.0, 1.0], [0.0, 1.0, 0.0, 0.0]]
    assert logits(head, [1.0, 3.0, 1.0, 2.0], items) == [-7.0 + 5.0, -3.0 + 10.5]


def paper_mlp(mlp: MLP, user: np.ndarray, item: np.ndarray) -> float:
    """Eq. 10 as it is printed: the first layer sees [u; i]."""
    hidden = np.concatenate([user, item])
    for layer in (mlp.first, *mlp.layers):
        weight, bias = (p.detach().double().numpy() for p in (layer.weight, layer.bias))
        hidden = np.maximum(weight @ hidden + bias, 0.0)
    return float(hidden @ mlp.output.detach().double().numpy())


def paper_gmf(gmf: GMF, user: np.ndarray, item: np.ndarray) -> float:
    return float((user * item) @ gmf.output.detach().double().numpy())


def paper_logit(head, user: np.ndarray, item: np.ndarray) -> float:
    if isinstance(head, GMF):
        return paper_gmf(head, user, item)
    if isinstance(head, MLP):
        return paper_mlp(head, user, item)
    width = head.gmf.width
    gmf = paper_gmf(head.gmf, user[:width], item[:width])
    return gmf + paper_mlp(head.mlp, user[width:], item[width:])


def random_head(kind: str, **named):
    named = {"factors": 4, "tower": (8, 6, 5, 3), **named}
    head = build_architecture(kind, num_items=1, **named).build_head()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    vectors = torch.randn(6 + 7, head.width, generator=generator)
    return head, vectors[:6], vectors[6:]


@pytest.mark.parametrize("kind", ["gmf", "mlp", "neumf"])
def test_the_split_first_layer_gives_what_the_papers_concatenation_gives(kind):
    head, users, items = random_head(kind)
    expected = [[paper_logit(head, u, i) for i in items.double().numpy()] for u in users.numpy()]
    every_item = items.unsqueeze(1).expand(-1, len(users), -1)
    found, _ = head.pairs(head.encode_users(users), head.encode_items(every_item))
    np.testing.assert_allclose(found.T.detach().numpy(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        *[(kind, {}) for kind in KINDS],
        ("mf", {"similarity": "cosine", "temperature": 0.1}),
        ("neumf", {"activation": "leaky_relu"}),
    ],
)
def test_a_block_scores_every_user_with_every_item_as_pairs_do(kind, named):
    head, users, items = random_head(kind, **named)
    block = head.block(head.encode_users(users), head.encode_items(items))
    assert block.shape == (6, 7)
    for b, user in enumerate(users):
        for i, item in enumerate(items):
            sides = head.encode_users(user[None]), head.encode_items(item[None, None])
            pair, _ = head.pairs(*sides)
            torch.testing.assert_close(block[b, i], pair[0, 0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        *[(kind, {}) for kind in KINDS],
        ("mf", {"similarity": "cosine", "temperature": 0.1}),
        ("neumf", {"activation": "leaky_relu"}),
    ],
)
def test_gradients_by_hand_are_those_of_autograd(kind, named):
    head, users, items = random_head(kind, **named)
    items = items[:6].unflatten(0, (2, 3))
    sides = [users[:3].requires_grad_(), items.requires_grad_()]
    grad = torch.tensor([[1.0, -2.0, 0.5], [3.0, 0.0, -1.0]])
    logits, backward = head.pairs(head.encode_users(sides[0]), head.encode_items(sides[1]))
    learned = list(head.parameters())
    expected = torch.autograd.grad((logits * grad).sum(), [*sides, *learned])
    gradients = {p: torch.ones_like(p) for p in learned}  # to which the step's own are added
    with torch.no_grad():
        of_users, of_items = backward(grad, gradients)
        found = [
            head.users_backward(sides[0], of_users, gradients),
            head.items_backward(sides[1], of_items, gradients),
        ]
    found += [gradients[p] - 1 for p in learned]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("kind", "width"), [("mf", 5), ("gmf", 4), ("mlp", 3), ("neumf", 7)])
def test_the_width_of_a_vector_is_that_of_its_embeddings(kind, width):
    # 4 factors, one more for MF's bias, and half of the tower's input
    assert build_architecture(kind, 1, factors=4, tower=(6, 2)).build_head().width == width


# --- dropout ------------------------------------------------------------------------------------


def counting_mlp(dropout: tuple[float, float]) -> MLP:
    """512 units of 1, copied by the second layer and added up by the output."""
    head = MLP((2, 512, 512), dropout)
    fill(head.first.weight, [[0.0, 1.0]] * 512)
    fill(head.layers[0].weight, torch.eye(512).tolist())
    for bias in (head.first.bias, head.layers[0].bias):
        fill(bias, [0.0] * 512)
    fill(head.output, [1.0] * 512)
    return head


@pytest.mark.parametrize(
    ("dropout", "kept"),
    [
        # A unit that is kept with probability p counts 1 / p; 512 · p · (1 / p) is expected.
        ((0.5, 0.0), 0.5),
        ((0.0, 0.25), 0.75),
        ((0.5, 0.25), 0.375),
    ],
)
def test_each_layer_leaves_its_own_share_of_outputs_out_in_training_only(dropout, kept):
    head = counting_mlp(dropout)
    assert logits(head.eval(), [1.0], [[1.0]]) == [512.0]
    torch.manual_seed(3)
    [trained] = logits(head.train(), [1.0], [[1.0]])
    units = trained * kept  # each of the units left counts 1 / kept
    assert units == pytest.approx(round(units), abs=1e-2)
    # 5 standard deviations of a binomial of 512 are at most 57.
    assert units == pytest.approx(512 * kept, abs=57)


def test_a_dropout_for_each_layer_of_the_tower_is_needed():
    with pytest.raises(ValueError, match=r"zip\(\) argument 3 is longer"):
        logits(MLP((2, 3, 3), (0.1, 0.2, 0.3)), [1.0], [[1.0]])


def test_an_output_of_ones_makes_gmf_plain_matrix_factorisation():
    model = build_architecture("gmf", 3, factors=2, gmf_output="ones").build_head()
    model.initialise(torch.Generator().manual_seed(1), "lecun_uniform")
    assert model.output.tolist() == [1.0, 1.0]
    assert not model.output.requires_grad
    # 1·4 + 3·5
    assert logits(model, [1.0, 3.0], [[4.0, 5.0]]) == [19.0]
    neumf = build_architecture("neumf", 3, factors=2, gmf_output="ones").build_head()
    neumf.initialise(torch.Generator().manual_seed(1), "lecun_uniform")
    assert neumf.gmf.output.tolist() == [1.0, 1.0]
    assert neumf.mlp.output.requires_grad
