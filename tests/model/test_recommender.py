import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ncf_spark.config import load_config
from ncf_spark.model.recommender import (
    Architecture,
    Recommender,
    initialise_shared,
    initialise_users,
)
from ncf_spark.training.shards import UserShards
from tests.model.architectures import KINDS, build_architecture

BASE = Path(__file__).parents[2] / "conf" / "base.yaml"

# Wide, so that the greatest of the weights comes near its bound.
WIDE = build_architecture(
    "neumf", num_items=872, factors=64, tower=(128, 64, 64), embedding_init="glorot_uniform"
)
NARROW = build_architecture("gmf", num_items=5, factors=4)


def initialised(architecture: Architecture, seed: int = 1, num_users: int = 0) -> Recommender:
    model = Recommender(architecture, num_users)
    initialise_shared(model, architecture, seed)
    return model


def user_rows(architecture: Architecture, num_workers: int, seed: int = 1) -> dict[int, list]:
    """Of 11 users in 4 shards: each one's vector, from whichever worker owns it."""
    found = {}
    for worker_rank in range(num_workers):
        shards = UserShards(11, 4, worker_rank, num_workers)
        model = Recommender(architecture, shards.num_rows)
        initialise_users(model, architecture, shards.owned, 11, seed)
        users = [user for shard, _ in shards.owned for user in shards.users_of(shard).tolist()]
        found |= dict(zip(users, model.user_vectors.tolist(), strict=True))
    return found


def assert_uniform(weights: torch.Tensor, bound: float) -> None:
    assert weights.abs().max() <= bound
    assert weights.max() > 0.9 * bound
    assert weights.min() < -0.9 * bound


def test_forward_takes_rows_of_the_tables_and_adds_the_bias():
    model = Recommender(build_architecture("gmf", num_items=3, factors=1), 2)
    with torch.no_grad():
        model.head.output.fill_(2.0)
        model.bias.fill_(0.5)
        model.user_vectors.copy_(torch.tensor([[1.0], [-3.0]]))
        model.item_vectors.copy_(torch.tensor([[10.0], [20.0], [30.0]]))
    logits = model(torch.tensor([1, 0]), torch.tensor([[2, 0], [1, 1]]))
    assert logits.tolist() == [[-179.5, -59.5], [40.5, 40.5]]


def test_all_but_the_user_vectors_is_shared():
    model = Recommender(NARROW, 7)
    shapes = sorted(tuple(p.shape) for p in model.shared_parameters())
    assert shapes == [(), (4,), (5, 4)]


def test_tower_weights_are_glorot_uniform_and_biases_zero():
    mlp = initialised(WIDE).head.mlp
    assert_uniform(mlp.first.weight, math.sqrt(6 / (128 + 64)))
    assert_uniform(mlp.layers[0].weight, math.sqrt(6 / (64 + 64)))
    assert not mlp.first.bias.any()
    assert not mlp.layers[0].bias.any()


def test_output_weights_are_lecun_uniform_over_their_inputs():
    gmf = build_architecture("gmf", num_items=1, factors=64)
    mlp = build_architecture("mlp", num_items=1, tower=(128, 64, 32))
    assert_uniform(initialised(gmf).head.output, math.sqrt(3 / 64))
    assert_uniform(initialised(mlp).head.output, math.sqrt(3 / 32))


def test_neumf_output_weights_are_lecun_uniform_over_both_halves():
    head = initialised(WIDE).head
    assert_uniform(head.gmf.output, math.sqrt(3 / (64 + 64)))
    assert_uniform(head.mlp.output, math.sqrt(3 / (64 + 64)))


@pytest.mark.parametrize("kind", ["gmf", "mlp", "neumf"])
def test_normal_output_weights_have_a_deviation_of_a_hundredth(kind):
    architecture = build_architecture(
        kind, num_items=1, factors=4000, tower=(2, 4000), output_init="normal"
    )
    head = initialised(architecture).head
    outputs = [p for name, p in head.named_parameters() if name.endswith("output")]
    assert len(outputs) == (2 if kind == "neumf" else 1)
    for output in outputs:
        # Of 4000 draws, 5 standard deviations of the mean are 0.0008, of the deviation 0.0006.
        assert output.std().item() == pytest.approx(0.01, abs=0.0006)
        assert output.mean().item() == pytest.approx(0.0, abs=0.0008)


def test_the_output_initialiser_does_not_change_the_rest():
    normal, uniform = (
        initialised(build_architecture("mlp", num_items=3, output_init=output_init))
        for output_init in ("normal", "lecun_uniform")
    )
    assert torch.equal(normal.head.first.weight, uniform.head.first.weight)
    assert not torch.equal(normal.head.output, uniform.head.output)


@pytest.mark.parametrize("kind", KINDS)
def test_the_bias_starts_at_zero(kind):
    assert initialised(build_architecture(kind, num_items=5)).bias.item() == 0.0


@pytest.mark.parametrize("embedding_init", ["normal", "glorot_uniform"])
@pytest.mark.parametrize("non_negative", [False, True])
def test_biases_of_users_and_items_start_at_zero_and_their_factors_do_not(
    embedding_init, non_negative
):
    architecture = build_architecture(
        "mf", num_items=5, embedding_init=embedding_init, non_negative=non_negative
    )
    model = initialised(architecture, num_users=4)
    initialise_users(model, architecture, [(0, 4)], 4, seed=1)
    for vectors in (model.item_vectors, model.user_vectors):
        assert vectors.shape[1] == 3
        assert not vectors[:, 2].any()
        assert (vectors[:, :2] != 0).all()


def test_glorot_item_vectors_are_bounded_by_items_and_width():
    # 6 / (872 items + 128 wide) = 0.006
    assert_uniform(initialised(WIDE).item_vectors, math.sqrt(0.006))


def test_glorot_user_vectors_are_bounded_by_the_users_of_all_workers():
    model = Recommender(WIDE, 300)
    initialise_users(model, WIDE, [(0, 300)], num_users=1372, seed=1)
    # 6 / (1372 users + 128 wide) = 0.004, though this worker has 300 of them.
    assert_uniform(model.user_vectors, math.sqrt(0.004))


def test_normal_vectors_have_a_deviation_of_a_hundredth():
    architecture = build_architecture("gmf", num_items=1000, factors=50)
    vectors = initialised(architecture).item_vectors
    assert vectors.std().item() == pytest.approx(0.01, rel=0.02)
    assert vectors.mean().item() == pytest.approx(0.0, abs=0.0002)


def test_shared_weights_depend_on_the_seed_alone():
    first = initialised(WIDE, seed=3, num_users=2)
    again = initialised(WIDE, seed=3, num_users=9)
    other = initialised(WIDE, seed=4)
    for a, b in zip(first.shared_parameters(), again.shared_parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first.item_vectors, other.item_vectors)
    assert not torch.equal(first.head.gmf.output, other.head.gmf.output)


@pytest.mark.parametrize("num_workers", [2, 3, 4])
@pytest.mark.parametrize("architecture", [NARROW, WIDE])
def test_a_users_vector_does_not_depend_on_the_number_of_workers(architecture, num_workers):
    alone = user_rows(architecture, 1)
    assert sorted(alone) == list(range(11))
    assert user_rows(architecture, num_workers) == alone


def test_no_two_users_start_with_the_same_vector():
    assert len({tuple(vector) for vector in user_rows(NARROW, 1).values()}) == 11


def test_user_vectors_depend_on_the_seed():
    assert user_rows(NARROW, 1, seed=1)[0] != user_rows(NARROW, 1, seed=2)[0]


def test_an_architecture_survives_the_manifest():
    architecture = replace(WIDE, dropout=(0.1, 0.2), temperature=0.5)
    assert Architecture.from_json(json.loads(json.dumps(architecture.to_json()))) == architecture


def test_an_architecture_is_section_model_of_the_configuration():
    given = (
        "model={kind: mlp, factors: 5, gmf_output: ones, tower: [8, 6, 4], activation: leaky_relu, "
        "dropout: [0.25], temperature: 0.5, embedding_init: glorot_uniform, output_init: normal}"
    )
    model = load_config(str(BASE), [given]).model
    assert Architecture.of(model, num_items=7) == Architecture(
        kind="mlp",
        factors=5,
        gmf_output="ones",
        tower=(8, 6, 4),
        activation="leaky_relu",
        dropout=(0.25, 0.25),
        similarity="dot",
        temperature=0.5,
        non_negative=False,
        embedding_init="glorot_uniform",
        output_init="normal",
        num_items=7,
    )


# --- non-negative factors -----------------------------------------------------------------------


@pytest.mark.parametrize("embedding_init", ["normal", "glorot_uniform"])
@pytest.mark.parametrize("kind", ["mf", "gmf"])
def test_non_negative_factors_and_output_weights_start_above_0(kind, embedding_init):
    architecture = build_architecture(
        kind, num_items=40, factors=4, non_negative=True, embedding_init=embedding_init
    )
    model = initialised(architecture, num_users=30)
    initialise_users(model, architecture, [(0, 30)], 30, seed=1)
    for vectors in (model.item_vectors, model.user_vectors):
        assert (vectors[:, :4] > 0).all()
    if kind == "gmf":
        assert (model.head.output > 0).all()


def test_negative_factors_and_output_weights_of_gmf_are_raised_to_0():
    model = Recommender(build_architecture("gmf", num_items=2), 1)
    with torch.no_grad():
        model.bias.fill_(-3.0)
        model.head.output.copy_(torch.tensor([-0.5, 0.5]))
        model.item_vectors.copy_(torch.tensor([[1.0, -2.0], [-0.1, 0.0]]))
        model.user_vectors.copy_(torch.tensor([[-1.0, 2.0]]))
    model.clamp_non_negative()
    assert model.head.output.tolist() == [0.0, 0.5]
    assert model.item_vectors.tolist() == [[1.0, 0.0], [0.0, 0.0]]
    assert model.user_vectors.tolist() == [[0.0, 2.0]]
    assert model.bias.item() == -3.0


def test_negative_factors_of_mf_are_raised_to_0_and_its_biases_are_left():
    model = Recommender(build_architecture("mf", num_items=2), 1)
    with torch.no_grad():
        model.item_vectors.copy_(torch.tensor([[1.0, -2.0, -3.0], [-0.1, 0.0, 4.0]]))
        model.user_vectors.copy_(torch.tensor([[-1.0, 2.0, -0.5]]))
    model.clamp_non_negative()
    assert model.item_vectors.tolist() == [[1.0, 0.0, -3.0], [0.0, 0.0, 4.0]]
    assert model.user_vectors.tolist() == [[0.0, 2.0, -0.5]]


@pytest.mark.parametrize("kind", ["mlp", "neumf"])
def test_a_tower_has_no_factors_to_keep_at_0_or_above(kind):
    model = Recommender(build_architecture(kind, num_items=2), 1)
    with pytest.raises(TypeError, match="only mf and gmf have non-negative factors"):
        model.clamp_non_negative()


# --- GMF and MLP joined -------------------------------------------------------------------------


def random_models(seed: int) -> dict[str, Recommender]:
    """A GMF, an MLP and a NeuMF of 4 users and 5 items, all parameters drawn from N(0, 1)."""
    generator = torch.Generator().manual_seed(seed)
    models = {}
    for kind in ("gmf", "mlp", "neumf"):
        architecture = build_architecture(kind, num_items=5, factors=3, tower=(4, 6, 3))
        models[kind] = Recommender(architecture, 4)
        with torch.no_grad():
            for parameter in models[kind].parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return models


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_a_joined_logit_is_the_weighted_sum_of_both_models_logits(seed, alpha):
    models = random_models(seed)
    models["neumf"].join(models["gmf"], models["mlp"], alpha)
    users, items = torch.arange(4), torch.arange(5).expand(4, 5)
    gmf, mlp, joined = (models[kind](users, items) for kind in ("gmf", "mlp", "neumf"))
    torch.testing.assert_close(joined, alpha * gmf + (1 - alpha) * mlp, rtol=1e-4, atol=1e-5)


def test_join_weighs_both_halves_of_the_output_and_the_bias_and_puts_vectors_side_by_side():
    models = {
        kind: Recommender(build_architecture(kind, num_items=1, factors=1, tower=(2, 1)), 1)
        for kind in ("gmf", "mlp", "neumf")
    }
    with torch.no_grad():
        for kind, value in (("gmf", 1.0), ("mlp", 10.0), ("neumf", 100.0)):
            for place, parameter in enumerate(models[kind].parameters(), start=1):
                parameter.fill_(value * place)
    models["neumf"].join(models["gmf"], models["mlp"], 0.25)
    # GMF: bias 1, items 2, users 3, output 4.
    # MLP: bias 10, items 20, users 30, output 40, first layer's weight 50 and bias 60.
    found = {name: p.flatten().tolist() for name, p in models["neumf"].named_parameters()}
    assert found == {
        "bias": [0.25 * 1 + 0.75 * 10],
        "item_vectors": [2.0, 20.0],
        "user_vectors": [3.0, 30.0],
        "head.gmf.output": [0.25 * 4],
        "head.mlp.output": [0.75 * 40],
        "head.mlp.first.weight": [50.0, 50.0],
        "head.mlp.first.bias": [60.0],
    }


def test_a_joined_model_shares_no_memory_with_its_halves():
    models = random_models(seed=1)
    models["neumf"].join(models["gmf"], models["mlp"], 0.5)
    before = [p.clone() for p in models["neumf"].parameters()]
    with torch.no_grad():
        for kind in ("gmf", "mlp"):
            for parameter in models[kind].parameters():
                parameter.zero_()
    assert all(map(torch.equal, models["neumf"].parameters(), before))
