import numpy as np
import pytest
import torch
from torch import Tensor

from ncf_spark.model.heads import GMF, MLP, NeuMF, build_head

TOWER = (8, 6, 5, 3)


def fill(parameter: Tensor, values: list) -> None:
    with torch.no_grad():
        parameter.copy_(torch.tensor(values))


def small_gmf() -> GMF:
    gmf = GMF(factors=2)
    fill(gmf.output, [2.0, -1.0])
    return gmf


def small_mlp() -> MLP:
    mlp = MLP(tower=(4, 2, 2), dropout=0.0)
    fill(mlp.first.weight, [[1.0, 0.0, 2.0, -1.0], [0.0, 1.0, -1.0, 1.0]])
    fill(mlp.first.bias, [0.5, -1.0])
    fill(mlp.layers[0].weight, [[2.0, 1.0], [-1.0, 3.0]])
    fill(mlp.layers[0].bias, [-3.0, 1.0])
    fill(mlp.output, [0.5, 4.0])
    return mlp


def logits(head, users: list, items: list) -> list:
    """Of one user vector with each of the item vectors, by `pairs`."""
    encoded = head.encode_users(torch.tensor([users])), head.encode_items(torch.tensor([items]))
    return head.pairs(*encoded)[0].tolist()


def test_gmf_adds_up_the_weighted_products_of_the_factors():
    # 2·1·4 - 1·3·5 and 2·1·0 - 1·3·1
    assert logits(small_gmf(), [1.0, 3.0], [[4.0, 5.0], [0.0, 1.0]]) == [-7.0, -3.0]


def test_mlp_is_a_relu_tower_over_both_embeddings():
    # (3, 1): (6.5, -1) → relu (6.5, 0) → (10, -5.5) → relu (10, 0) → 5
    # (0, 0): (1.5, 1) → (1, 2.5) → 10.5
    assert logits(small_mlp(), [1.0, 2.0], [[3.0, 1.0], [0.0, 0.0]]) == [5.0, 10.5]


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


def random_head(kind: str):
    head = build_head(kind, factors=4, tower=TOWER, dropout=0.0)
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
    every_item = items.expand(len(users), *items.shape)
    found = head.pairs(head.encode_users(users), head.encode_items(every_item))
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["gmf", "mlp", "neumf"])
def test_a_block_scores_every_user_with_every_item_as_pairs_do(kind):
    head, users, items = random_head(kind)
    block = head.block(head.encode_users(users), head.encode_items(items))
    assert block.shape == (6, 7)
    for b, user in enumerate(users):
        for i, item in enumerate(items):
            pair = head.pairs(head.encode_users(user[None]), head.encode_items(item[None, None]))
            torch.testing.assert_close(block[b, i], pair[0, 0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("kind", "width"), [("gmf", 4), ("mlp", 4), ("neumf", 8)])
def test_the_width_of_a_vector_is_that_of_its_embeddings(kind, width):
    assert build_head(kind, factors=4, tower=TOWER, dropout=0.0).width == width


def test_dropout_leaves_outputs_out_in_training_only():
    head = build_head("mlp", factors=1, tower=(2, 512), dropout=0.5)
    fill(head.first.weight, [[0.0, 1.0]] * 512)
    fill(head.first.bias, [0.0] * 512)
    fill(head.output, [1.0] * 512)
    assert logits(head.eval(), [1.0], [[1.0]]) == [512.0]
    # What is kept counts double, so about half of 512 outputs of 2.
    [trained] = logits(head.train(), [1.0], [[1.0]])
    assert trained != 512.0
    assert trained == pytest.approx(512.0, rel=0.3)
