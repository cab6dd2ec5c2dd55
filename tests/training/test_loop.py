import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ncf_spark.model.recommender import (
    Architecture,
    Recommender,
    initialise_shared,
    initialise_users,
)
from ncf_spark.training.communicator import Alone, Communicator
from ncf_spark.training.loop import LoopSettings, Trainer, _loss_sum
from ncf_spark.training.sampler import NegativeSampler
from ncf_spark.training.shards import UserShards
from tests.training.simulated import InMemory, run_workers

SETTINGS = LoopSettings(
    epochs=3, batch_size=16, num_negatives=3, learning_rate=0.02, l2=0.0, seed=7
)
NUM_USERS, NUM_ITEMS, NUM_SHARDS = 24, 20, 4
LN_2 = 0.693147

# Users like the items of their own parity: of these ten, one is held out, one has not been met.
HELD_OUT = {user: (user + 2 * (user % 7)) % NUM_ITEMS for user in range(NUM_USERS)}
PATTERN = [
    (user, item)
    for user in range(NUM_USERS)
    for item in range(user % 2, NUM_ITEMS, 2)
    if item not in (HELD_OUT[user], (HELD_OUT[user] + 4) % NUM_ITEMS)
]


def architecture(kind: str) -> Architecture:
    return Architecture(kind, 4, (8, 8, 4), 0.0, "normal", NUM_ITEMS)


class Chosen:
    """A sampler that gives each user, by table row, the negatives chosen beforehand."""

    def __init__(self, negatives: Tensor, unresolved: list[int] | None = None) -> None:
        self._negatives = negatives
        self._unresolved = torch.tensor(unresolved or [], dtype=torch.int64)

    def draw(self, users: Tensor, num_negatives: int) -> tuple[Tensor, Tensor]:
        return self._negatives[users], self._unresolved


def build_trainer(
    communicator: Communicator,
    pairs: list[tuple[int, int]] = PATTERN,
    settings: LoopSettings = SETTINGS,
    kind: str = "neumf",
    sampler: Any = None,
) -> Trainer:
    """One worker's trainer on those of the (user, item) pairs that are its own."""
    rank, num_workers = communicator.worker_rank, communicator.num_workers
    shards = UserShards(NUM_USERS, NUM_SHARDS, rank, num_workers)
    own = [(u, i) for u, i in pairs if u % NUM_SHARDS % num_workers == rank]
    users = torch.from_numpy(shards.rows_of(np.array([u for u, _ in own], np.int64)))
    items = torch.tensor([i for _, i in own], dtype=torch.int64)
    model = Recommender(architecture(kind), shards.num_rows)
    initialise_shared(model, architecture(kind), settings.seed)
    initialise_users(model, architecture(kind), shards.owned, NUM_USERS, settings.seed)
    if sampler is None:
        generator = torch.Generator().manual_seed(settings.seed * 31 + rank)
        sampler = NegativeSampler(torch.ones(NUM_ITEMS), users, items, 10, generator)
    return Trainer(model, sampler, users, items, settings, communicator)


def trained(communicator: Communicator, **options: Any) -> tuple[Trainer, list[dict[str, Any]]]:
    trainer = build_trainer(communicator, **options)
    records: list[dict[str, Any]] = []
    trainer.fit(records.append)
    return trainer, records


class Announced:
    """One of several workers, whose numbers of positives are given."""

    def __init__(self, worker_rank: int, worker_positives: list[int]) -> None:
        self.worker_rank = worker_rank
        self.num_workers = len(worker_positives)
        self._worker_positives = worker_positives

    def sum_(self, tensor: Tensor, name: str) -> None:
        raise AssertionError("nothing to add up here")

    def gather(self, values: list[int]) -> list[list[int]]:
        assert values == [self._worker_positives[self.worker_rank]]
        return [[n] for n in self._worker_positives]


def batches_of(worker_positives: list[int], batch_size: int, epoch: int = 1) -> list[list]:
    """The batches of each worker, by rank."""
    model = Recommender(Architecture("gmf", 1, (2, 1), 0.0, "normal", 1), 1)
    settings, found = replace(SETTINGS, batch_size=batch_size), []
    for rank, positives in enumerate(worker_positives):
        nothing = torch.zeros(positives, dtype=torch.int64)
        communicator = Announced(rank, worker_positives)
        trainer = Trainer(model, None, nothing, nothing, settings, communicator)
        found.append([(b.tolist(), size) for b, size in trainer._batches(epoch)])
    return found


@given(st.lists(st.integers(0, 40), min_size=1, max_size=5).filter(any), st.integers(1, 12))
def test_each_positive_is_taken_once_and_all_workers_take_the_same_steps(positives, batch_size):
    workers = batches_of(positives, batch_size)
    steps = math.ceil(max(positives) / batch_size)
    for count, batches in zip(positives, workers, strict=True):
        assert len(batches) == steps
        assert sorted(p for batch, _ in batches for p in batch) == list(range(count))
        assert all(len(batch) <= batch_size for batch, _ in batches)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=5).filter(any), st.integers(1, 12))
def test_the_size_of_a_step_is_known_to_all_workers(positives, batch_size):
    for step in zip(*batches_of(positives, batch_size), strict=True):
        taken = sum(len(batch) for batch, _ in step)
        assert {size for _, size in step} == {taken}
        assert taken > 0


def test_a_worker_with_fewer_positives_than_steps_waits_in_some_of_them():
    first, second, third = batches_of([6, 2, 0], batch_size=2)
    assert [len(batch) for batch, _ in first] == [2, 2, 2]
    assert [len(batch) for batch, _ in second] == [0, 1, 1]
    assert [len(batch) for batch, _ in third] == [0, 0, 0]
    assert [size for _, size in first] == [2, 3, 3]


def test_each_epoch_has_an_order_of_its_own():
    [first], [again], [second] = (batches_of([30], 30, epoch) for epoch in (1, 1, 2))
    assert first == again
    assert first != second


def test_the_loss_is_binary_cross_entropy_added_up():
    # ln(1 + e⁻¹) for the positive, ln(1 + e²) and ln 2 for the negatives
    loss = _loss_sum(torch.tensor([[1.0, 2.0, 0.0]]), torch.empty(0, dtype=torch.int64))
    assert loss.item() == pytest.approx(0.313262 + 2.126928 + LN_2, abs=1e-5)


def test_unresolved_negatives_do_not_count_in_the_loss():
    logits = torch.zeros(2, 4, requires_grad=True)  # two positives, three negatives each
    loss = _loss_sum(logits, torch.tensor([1, 5]))
    assert loss.item() == pytest.approx(6 * LN_2, abs=1e-5)
    loss.backward()
    expected = [[-0.5, 0.5, 0.0, 0.5], [-0.5, 0.5, 0.5, 0.0]]
    assert logits.grad.tolist() == expected


def test_an_unresolved_negative_is_not_learnt_from():
    negatives = torch.full((NUM_USERS, 1), 9)
    for unresolved, moves in ([], True), ([0], False):
        sampler = Chosen(negatives, unresolved)
        trainer = build_trainer(
            Alone(), [(2, 4)], replace(SETTINGS, num_negatives=1), "gmf", sampler
        )
        before = trainer.model.item_vectors[9].clone()
        assert trainer.train_step(trainer.users, trainer.items, 1)[1] == len(unresolved)
        assert torch.equal(trainer.model.item_vectors[9], before) != moves


def test_an_epochs_record_tells_its_loss_samples_and_unresolved_negatives():
    # User 0 has every item, so none of its 20 · 2 negatives can be resolved.
    pairs = [(0, item) for item in range(NUM_ITEMS)] + [(1, 3)]
    settings = replace(SETTINGS, num_negatives=2, learning_rate=1e-9)
    trainer = build_trainer(Alone(), pairs, settings, "gmf")
    with torch.no_grad():
        trainer.model.head.output.zero_()
    record = trainer.train_epoch(4)
    assert {n: record[n] for n in ("epoch", "samples", "unresolved")} == {
        "epoch": 4,
        "samples": 21 * 3,
        "unresolved": 40,
    }
    # Every logit is 0; the loss is the mean over all samples, those left out adding nothing.
    assert record["loss"] == pytest.approx(LN_2 * (63 - 40) / 63, abs=1e-5)
    assert record["seconds"] > 0


def penalty_gradient(l2: float, global_size: int, communicator: Communicator) -> dict[str, list]:
    """The gradients of one step on one positive of an MLP that predicts 0 whatever comes in."""
    model = Recommender(Architecture("mlp", 1, (2, 1), 0.0, "normal", 3), 1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.user_vectors.fill_(3.0)
        model.item_vectors.copy_(torch.tensor([[1.0], [2.0], [5.0]]))
        model.head.first.weight.copy_(torch.tensor([[2.0, -1.0]]))
    one, settings = torch.tensor([0]), replace(SETTINGS, l2=l2, num_negatives=1)
    trainer = Trainer(model, Chosen(torch.tensor([[1]])), one, one, settings, communicator)
    trainer.train_step(one, one, global_size)
    return {name: p.grad.flatten().tolist() for name, p in model.named_parameters()}


def test_l2_is_the_mean_square_of_the_batch_and_that_of_the_kernels():
    found = penalty_gradient(0.1, 1, Alone())
    # 0.1 · (3² + (1² + 2²) / 2 + 2² + (-1)²); output weights of 0 let no other gradient through.
    assert found["user_vectors"] == pytest.approx([0.6])
    assert found["item_vectors"] == pytest.approx([0.1, 0.2, 0.0])
    assert found["head.first.weight"] == pytest.approx([0.4, -0.2])
    assert found["head.first.bias"] == [0.0]
    assert penalty_gradient(0.0, 1, Alone())["user_vectors"] == [0.0]


def test_l2_of_two_workers_counts_the_kernels_once():
    for found in run_workers(2, lambda worker: penalty_gradient(0.1, 2, worker)):
        assert found["user_vectors"] == pytest.approx([0.3])
        assert found["item_vectors"] == pytest.approx([0.1, 0.2, 0.0])
        assert found["head.first.weight"] == pytest.approx([0.4, -0.2])


def step_gradients(communicator: Communicator, kind: str) -> tuple[Tensor, dict[int, list]]:
    """Of a step on a positive of each user: the shared gradients, and each user's."""
    pairs = [(user, user % NUM_ITEMS) for user in range(NUM_USERS)]
    shards = UserShards(NUM_USERS, NUM_SHARDS, communicator.worker_rank, communicator.num_workers)
    users = np.concatenate([shards.users_of(shard) for shard, _ in shards.owned])
    negatives = torch.from_numpy((users[:, None] + np.array([3, 8, 11])) % NUM_ITEMS)
    settings = replace(SETTINGS, l2=0.05)
    trainer = build_trainer(communicator, pairs, settings, kind, Chosen(negatives))
    trainer.train_step(trainer.users, trainer.items, NUM_USERS)
    of_users = trainer.model.user_vectors.grad.tolist()
    return trainer.shared.flat, dict(zip(users.tolist(), of_users, strict=True))


@pytest.mark.parametrize("kind", ["gmf", "mlp", "neumf"])
def test_a_step_on_two_parts_of_a_batch_is_a_step_on_the_whole(kind):
    shared, users = step_gradients(Alone(), kind)
    assert shared.abs().max() > 1e-4
    parts = run_workers(2, lambda worker: step_gradients(worker, kind))
    for part, _ in parts:
        torch.testing.assert_close(part, shared, rtol=1e-4, atol=1e-8)
    of_parts = parts[0][1] | parts[1][1]
    assert sorted(of_parts) == sorted(users)
    for user, gradient in users.items():
        assert of_parts[user] == pytest.approx(gradient, rel=1e-4, abs=1e-8)


def test_a_step_does_not_start_from_the_last_ones_gradients():
    settings, sampler = replace(SETTINGS, learning_rate=0.0), Chosen(torch.tensor([[5, 6, 7]] * 24))
    trainer = build_trainer(Alone(), [(2, 4), (3, 9)], settings, sampler=sampler)
    found = []
    for _ in range(2):
        trainer.train_step(trainer.users, trainer.items, 2)
        found.append((trainer.shared.flat.tolist(), trainer.model.user_vectors.grad.tolist()))
    assert found[0] == found[1]


def assert_equal_shared(first: Trainer, second: Trainer) -> None:
    pairs = zip(first.model.shared_parameters(), second.model.shared_parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


# All users' pairs; those of three shards, so that the second worker has half as many; those of
# one shard, so that it has none.
@pytest.mark.parametrize("shards", [{0, 1, 2, 3}, {0, 1, 2}, {0}])
def test_two_workers_end_with_the_same_shared_weights(shards):
    pairs = [(u, i) for u, i in PATTERN if u % NUM_SHARDS in shards]
    (first, records), (second, others) = run_workers(2, lambda w: trained(w, pairs=pairs))
    assert_equal_shared(first, second)
    assert first.num_steps == second.num_steps
    assert [r["loss"] for r in records] == [r["loss"] for r in others]
    assert records[-1]["samples"] == len(pairs) * 4
    initial = build_trainer(Alone())
    assert not torch.equal(first.model.item_vectors, initial.model.item_vectors)


def test_a_user_without_positives_on_a_worker_keeps_its_vector():
    pairs = [(u, i) for u, i in PATTERN if u % NUM_SHARDS == 0]
    _, (second, _) = run_workers(2, lambda worker: trained(worker, pairs=pairs))
    untouched = run_workers(2, build_trainer)[1]
    assert torch.equal(second.model.user_vectors, untouched.model.user_vectors)


def test_user_vectors_are_never_communicated():
    def exchanged(worker: InMemory) -> set[tuple[str, int]]:
        trained(worker)
        return set(worker.sizes)

    # Shared: GMF output 4, tower 8 · 8 + 8 + 8 · 4 + 4, output 4, bias 1, items 20 · (4 + 4).
    assert run_workers(2, exchanged) == [{("shared_gradients", 277), ("totals", 2)}] * 2


def held_out_rank(trainer: Trainer, user: int) -> int:
    """Among the held-out item and the ten items of the other kind."""
    rivals = torch.arange(1 - user % 2, NUM_ITEMS, 2)
    candidates = torch.cat([torch.tensor([HELD_OUT[user]]), rivals]).unsqueeze(0)
    row = UserShards(NUM_USERS, NUM_SHARDS, 0, 1).rows_of(np.array([user]))
    [scores] = trainer.model(torch.from_numpy(row), candidates)
    return 1 + int((scores[1:] >= scores[0]).sum())


@pytest.mark.parametrize("kind", ["gmf", "mlp", "neumf"])
def test_a_plain_pattern_is_learnt(kind):
    trainer, records = trained(Alone(), settings=replace(SETTINGS, epochs=15), kind=kind)
    # An item is a negative for the users of the other kind and the two that a user has not met.
    assert records[0]["loss"] > 0.4
    assert records[-1]["loss"] < 0.6 * records[0]["loss"]
    assert [held_out_rank(trainer, user) for user in range(NUM_USERS)] == [1] * NUM_USERS


def test_the_same_seed_trains_to_the_same_weights_to_the_bit():
    first, again = (trained(Alone())[0] for _ in range(2))
    assert_equal_shared(first, again)
    assert torch.equal(first.model.user_vectors, again.model.user_vectors)
    other = trained(Alone(), settings=replace(SETTINGS, seed=8))[0]
    assert not torch.equal(first.model.item_vectors, other.model.item_vectors)
