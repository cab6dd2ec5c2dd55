import math

import pytest
import torch

from ncf_spark.model.recommender import (
    Architecture,
    Recommender,
    initialise_shared,
    initialise_users,
)
from ncf_spark.training.shards import UserShards

# Wide, so that the greatest of the weights comes near its bound.
WIDE = Architecture("neumf", 64, (128, 64, 64), 0.0, "glorot_uniform", num_items=872)
NARROW = Architecture("gmf", 4, (8, 4), 0.0, "normal", num_items=5)


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
    model = Recommender(Architecture("gmf", 1, (2, 1), 0.0, "normal", num_items=3), 2)
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
    gmf = Architecture("gmf", 64, (128, 64), 0.0, "normal", num_items=1)
    mlp = Architecture("mlp", 64, (128, 64, 32), 0.0, "normal", num_items=1)
    assert_uniform(initialised(gmf).head.output, math.sqrt(3 / 64))
    assert_uniform(initialised(mlp).head.output, math.sqrt(3 / 32))


def test_neumf_output_weights_are_lecun_uniform_over_both_halves():
    head = initialised(WIDE).head
    assert_uniform(head.gmf.output, math.sqrt(3 / (64 + 64)))
    assert_uniform(head.mlp.output, math.sqrt(3 / (64 + 64)))


def test_the_bias_starts_at_zero():
    assert initialised(NARROW).bias.item() == 0.0


def test_glorot_item_vectors_are_bounded_by_items_and_width():
    # 6 / (872 items + 128 wide) = 0.006
    assert_uniform(initialised(WIDE).item_vectors, math.sqrt(0.006))


def test_glorot_user_vectors_are_bounded_by_the_users_of_all_workers():
    model = Recommender(WIDE, 300)
    initialise_users(model, WIDE, [(0, 300)], num_users=1372, seed=1)
    # 6 / (1372 users + 128 wide) = 0.004, though this worker has 300 of them.
    assert_uniform(model.user_vectors, math.sqrt(0.004))


def test_normal_vectors_have_a_deviation_of_a_hundredth():
    architecture = Architecture("gmf", 50, (2, 1), 0.0, "normal", num_items=1000)
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
    content = WIDE.to_json()
    assert Architecture.from_json({**content, "tower": list(content["tower"])}) == WIDE
