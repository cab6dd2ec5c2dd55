"""L2: on the rows of the batch, on the kernels of the tower, on the output weights."""

import numpy as np
import pytest
import torch

from ncf_spark.model.recommender import Recommender
from ncf_spark.training.batches import Resident
from ncf_spark.training.communicator import Communicator, SingleWorker
from ncf_spark.training.loop import Trainer
from ncf_spark.training.shards import UserShards
from tests.model.architectures import build_architecture
from tests.training.simulated import run_workers
from tests.training.trainers import (
    NUM_ITEMS,
    NUM_SHARDS,
    NUM_USERS,
    Chosen,
    build_settings,
    build_trainer,
    gradients_of,
    step_on_all,
    trained,
)

# Settings by name.
NOTHING: dict[str, float] = {}
ROWS, KERNELS, OUTPUT = {"l2": 0.1}, {"l2_kernels": 0.1}, {"l2_output": 0.1}

# 0.1 · (3² + (1² + 2²) / 2), 0.1 · (2² + (-1)²) and 0.1 · 4², each by its own parameters.
ROW_GRADIENTS = {"user_vectors": [0.6], "item_vectors": [0.1, 0.2, 0.0]}
KERNEL_GRADIENTS = {"head.first.weight": [0.4, -0.2]}
OUTPUT_GRADIENTS = {"head.output": [0.8]}
NO_GRADIENTS = {
    "bias": [0.0],
    "user_vectors": [0.0],
    "item_vectors": [0.0, 0.0, 0.0],
    "head.first.weight": [0.0, 0.0],
    "head.first.bias": [0.0],
    "head.output": [0.0],
}


def gradients(
    penalties: dict[str, float], global_size: int, communicator: Communicator
) -> dict[str, list[float]]:
    """Of one step on one positive and one negative of an MLP, by the penalties alone.

    The layer's only unit is shut (-100), so that the rest of the loss moves nothing but the bias.
    """
    model = Recommender(build_architecture("mlp", num_items=3, tower=(2, 1)), 1)
    with torch.no_grad():
        model.bias.zero_()
        model.user_vectors.fill_(3.0)
        model.item_vectors.copy_(torch.tensor([[1.0], [2.0], [5.0]]))
        model.head.first.weight.copy_(torch.tensor([[2.0, -1.0]]))
        model.head.first.bias.fill_(-100.0)
        model.head.output.fill_(4.0)
    one, settings = torch.tensor([0]).int(), build_settings(num_negatives=1, **penalties)
    sampler = Chosen(torch.tensor([[1]]))
    trainer = Trainer(model, sampler, Resident(one, one), settings, communicator)
    step_on_all(trainer, global_size)
    # Logits of 0: the positive's -1/2 and the negative's 1/2 cancel in the bias.
    return {name: g.flatten().tolist() for name, g in gradients_of(trainer).items()}


CASES = [
    (NOTHING, {}),
    (ROWS, ROW_GRADIENTS),
    (KERNELS, KERNEL_GRADIENTS),
    (OUTPUT, OUTPUT_GRADIENTS),
    (ROWS | KERNELS | OUTPUT, ROW_GRADIENTS | KERNEL_GRADIENTS | OUTPUT_GRADIENTS),
]


@pytest.mark.parametrize(("penalties", "expected"), CASES)
def test_each_penalty_is_on_its_own_parameters_and_no_other(penalties, expected):
    found = gradients(penalties, 1, SingleWorker())
    assert found == {
        name: pytest.approx(values, abs=1e-7) for name, values in (NO_GRADIENTS | expected).items()
    }


@pytest.mark.parametrize(("penalties", "expected"), CASES)
@pytest.mark.parametrize("num_workers", [2, 3])
def test_several_workers_count_weights_once_and_rows_by_their_share_of_the_batch(
    penalties, expected, num_workers
):
    # Each worker has one positive, on the same items: 0.6 and [0.1, 0.2] in the mean over them.
    if "user_vectors" in expected:
        expected = {**expected, "user_vectors": [0.6 / num_workers]}
    for found in run_workers(num_workers, lambda w: gradients(penalties, num_workers, w)):
        assert found == {
            name: pytest.approx(values, abs=1e-7)
            for name, values in (NO_GRADIENTS | expected).items()
        }


# 6 samples are fewer than the 20 items, 30 are more.
@pytest.mark.parametrize("num_negatives", [1, 9])
def test_an_items_penalty_counts_the_weights_of_its_positives(num_negatives):
    rows = UserShards(NUM_USERS, NUM_SHARDS, 0, 1).rows_of(np.array([0, 1]))
    negatives = torch.zeros((NUM_USERS, num_negatives), dtype=torch.int64)
    negatives[rows[0]], negatives[rows[1]] = 3, 4

    def of_items(l2: float) -> torch.Tensor:
        settings = build_settings(l2=l2, user_balance=1.0, num_negatives=num_negatives)
        pairs, sampler = [(0, 0), (0, 1), (1, 2)], Chosen(negatives)
        trainer = build_trainer(pairs=pairs, settings=settings, sampler=sampler)
        step_on_all(trainer)
        return trainer.model.item_vectors.grad.clone()

    # Both users are equal, so the positives weigh 3/4, 3/4 and 3/2, and so does each negative.
    weights = torch.zeros(NUM_ITEMS, 1)
    weights[:5, 0] = torch.tensor([0.75, 0.75, 1.5, 1.5 * num_negatives, 1.5 * num_negatives])
    shares = weights / (3 * (1 + num_negatives))
    expected = shares * build_trainer().model.item_vectors.detach()
    # The gradient of 0.5 · v² is v.
    torch.testing.assert_close(of_items(0.5) - of_items(0.0), expected, rtol=1e-4, atol=1e-7)


def test_the_outputs_of_both_halves_of_neumf_are_penalised():
    def outputs(l2_output: float) -> list[torch.Tensor]:
        settings = build_settings(l2_output=l2_output)
        trainer = build_trainer(settings=settings, sampler=Chosen(torch.tensor([[5, 6, 7]] * 24)))
        step_on_all(trainer)
        found = gradients_of(trainer)
        return [found["head.gmf.output"], found["head.mlp.output"]]

    head = build_trainer().model.head
    for penalised, plain, weight in zip(
        outputs(0.5), outputs(0.0), (head.gmf.output, head.mlp.output), strict=True
    ):
        # The gradient of 0.5 · w² is w.
        torch.testing.assert_close(penalised - plain, weight.detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["mf", "gmf"])
def test_a_model_without_a_tower_is_trained_as_if_its_kernels_had_no_penalty(kind):
    settings = build_settings(epochs=1, l2_kernels=0.5)
    penalised, plain = (
        trained(settings=settings, kind=kind),
        trained(settings=build_settings(epochs=1), kind=kind),
    )
    assert penalised[1][0]["loss"] == plain[1][0]["loss"]


def test_mf_has_no_output_layer_to_penalise():
    settings = build_settings(epochs=1, l2_output=0.5)
    [record], [plain] = (
        trained(settings=s, kind="mf")[1] for s in (settings, build_settings(epochs=1))
    )
    assert record["loss"] == plain["loss"]
