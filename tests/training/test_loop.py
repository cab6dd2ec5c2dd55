import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ncf_spark.config import load_config
from ncf_spark.model.recommender import Recommender
from ncf_spark.training import loop
from ncf_spark.training.batches import Resident
from ncf_spark.training.communicator import Communicator, SingleWorker
from ncf_spark.training.loop import LoopSettings, Trainer
from ncf_spark.training.shards import UserShards
from tests.model.architectures import KINDS, build_architecture
from tests.training.simulated import InMemory, run_workers
from tests.training.trainers import (
    HELD_OUT,
    NUM_ITEMS,
    NUM_SHARDS,
    NUM_USERS,
    PATTERN,
    Chosen,
    assert_equal_shared,
    build_settings,
    build_trainer,
    step_on,
    step_on_all,
    trained,
)

LN_2 = 0.693147


class Announced:
    """One of several workers, whose numbers of positives are given."""

    def __init__(self, worker_rank: int, worker_positives: list[int]) -> None:
        self.worker_rank = worker_rank
        self.num_workers = len(worker_positives)
        self._worker_positives = worker_positives

    def all_reduce_(self, tensor: Tensor, name: str) -> None:
        raise AssertionError("nothing to add up here")

    def gather(self, values: list[int]) -> list[list[int]]:
        assert values == [self._worker_positives[self.worker_rank]]
        return [[n] for n in self._worker_positives]


class NoNegatives:
    def draw(self, users: Tensor, positions: Tensor | None) -> tuple[Tensor, None]:
        return torch.empty((0, len(users)), dtype=torch.int64), None


def batches_of(worker_positives: list[int], batch_size: int, epoch: int = 1) -> list[list]:
    """The items of each step's positives and the step's size, by worker; they are numbered."""
    model = Recommender(build_architecture("gmf", num_items=1), 1)
    settings, found = build_settings(batch_size=batch_size), []
    for rank, positives in enumerate(worker_positives):
        users, items = torch.zeros(positives, dtype=torch.int32), torch.arange(positives).int()
        communicator = Announced(rank, worker_positives)
        trainer = Trainer(model, NoNegatives(), Resident(users, items), settings, communicator)
        found.append([(s.items[0].tolist(), size) for s, size in trainer.steps(epoch)])
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


@pytest.mark.parametrize("together", [1, 4, 10, 1000])
def test_steps_do_not_depend_on_how_many_draw_their_negatives_together(together, monkeypatch):
    expected = batches_of([40, 33], batch_size=4)
    monkeypatch.setattr(loop, "_DRAWN_AT_ONCE", together)
    assert batches_of([40, 33], batch_size=4) == expected


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


@pytest.mark.parametrize("loss", ["bce", "squared", "softmax"])
@pytest.mark.parametrize(("unresolved", "moves"), [([], True), ([0], False)])
def test_an_unresolved_negative_is_not_learnt_from(loss, unresolved, moves):
    trainer = build_trainer(
        pairs=[(2, 4)],
        settings=build_settings(num_negatives=1, loss=loss),
        kind="gmf",
        sampler=Chosen(torch.full((NUM_USERS, 1), 9), unresolved),
    )
    before = trainer.model.item_vectors[9].clone()
    assert step_on_all(trainer) == len(unresolved)
    assert torch.equal(trainer.model.item_vectors[9], before) != moves


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        # Every logit is 0. The loss is the mean over all 21 · 3 samples, the 40 left out adding 0;
        ("bce", LN_2 * (63 - 40) / 63),
        # the error of a positive is 1, that of a negative 0;
        ("squared", 21 / 63),
        # or the mean over all 21 positives, of which one has negatives: two.
        ("softmax", 1.098612 / 21),
    ],
)
def test_an_epochs_record_tells_its_loss_samples_and_unresolved_negatives(loss, expected):
    # User 0 has every item, so none of its 20 · 2 negatives can be resolved.
    pairs = [(0, item) for item in range(NUM_ITEMS)] + [(1, 3)]
    settings = build_settings(num_negatives=2, learning_rate=1e-9, loss=loss)
    trainer = build_trainer(pairs=pairs, settings=settings, kind="gmf")
    with torch.no_grad():
        trainer.model.head.output.zero_()
    record = trainer.train_epoch(4)
    assert {n: record[n] for n in ("epoch", "samples", "unresolved")} == {
        "epoch": 4,
        "samples": 21 * 3,
        "unresolved": 40,
    }
    assert record["loss"] == pytest.approx(expected, abs=1e-5)
    assert record["seconds"] > 0


def test_a_loss_that_is_not_finite_stops_all_workers():
    def diverge(communicator: Communicator) -> str:
        trainer = build_trainer(communicator, kind="gmf")
        if communicator.worker_rank == 1:
            with torch.no_grad():
                trainer.model.user_vectors.fill_(math.nan)
        with pytest.raises(FloatingPointError, match=r"the loss is not finite after epoch 2"):
            trainer.train_epoch(2)
        return "stopped"

    assert run_workers(2, diverge) == ["stopped", "stopped"]


def test_the_settings_of_the_loop_come_from_three_sections():
    given = [
        "run.seed=9",
        "sampling.num_negatives=6",
        "training={epochs: 2, batch_size: 32, loss: softmax, optimiser: sgd, learning_rate: 0.5}",
        "training={warmup_epochs: 0.5, decay: cosine, l2: 0.1, l2_kernels: 0.2, l2_output: 0.3}",
        "training={user_balance: 0.5, precision: bfloat16, exchange: float16}",
    ]
    assert LoopSettings.of(load_config("conf/base.yaml", given)) == LoopSettings(
        epochs=2,
        batch_size=32,
        num_negatives=6,
        loss="softmax",
        optimiser="sgd",
        learning_rate=0.5,
        warmup_epochs=0.5,
        decay="cosine",
        l2=0.1,
        l2_kernels=0.2,
        l2_output=0.3,
        user_balance=0.5,
        precision="bfloat16",
        exchange="float16",
        seed=9,
    )


# User 0 has four positives, user 1 one, on another worker where there are two.
UNEQUAL = [(0, 2), (0, 4), (0, 6), (0, 8), (1, 3)]


@pytest.mark.parametrize(
    ("user_balance", "expected"),
    [
        (0.0, {0: 1.0, 1: 1.0}),
        # 4^-½ and 1, over their mean (4 · 0.5 + 1) / 5
        (0.5, {0: 0.5 / 0.6, 1: 1.0 / 0.6}),
        # Each user has the same in all: 4 · 0.625 = 2.5
        (1.0, {0: 0.625, 1: 2.5}),
    ],
)
@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_positive_weighs_less_the_more_its_user_has(user_balance, expected, num_workers):
    def weights(communicator: Communicator) -> dict[int, float]:
        settings = build_settings(user_balance=user_balance)
        trainer = build_trainer(communicator, pairs=UNEQUAL, settings=settings)
        users = [0, 1] if num_workers == 1 else [communicator.worker_rank]
        rows = UserShards(NUM_USERS, NUM_SHARDS, communicator.worker_rank, num_workers).rows_of(
            np.array(users)
        )
        return dict(zip(users, trainer.user_weights[rows].tolist(), strict=True))

    found = {u: w for part in run_workers(num_workers, weights) for u, w in part.items()}
    assert found == {user: pytest.approx(weight) for user, weight in expected.items()}


def test_weights_scale_a_positives_loss_and_penalty():
    gradients = []
    for user_balance in (0.0, 1.0):
        settings = build_settings(user_balance=user_balance, l2=0.1, optimiser="sgd")
        negatives = torch.tensor([[5, 7, 9]] * NUM_USERS)
        trainer = build_trainer(
            pairs=UNEQUAL, settings=settings, sampler=Chosen(negatives), kind="gmf"
        )
        step_on_all(trainer, len(UNEQUAL))
        gradients.append(trainer.model.user_vectors.grad.clone())
    rows = UserShards(NUM_USERS, NUM_SHARDS, 0, 1).rows_of(np.array([0, 1]))
    for row, weight in zip(rows, (0.625, 2.5), strict=True):
        torch.testing.assert_close(gradients[1][row], weight * gradients[0][row])
        assert gradients[0][row].abs().max() > 0


def step_gradients(
    communicator: Communicator, kind: str, options: dict[str, Any]
) -> tuple[Tensor, dict[int, list]]:
    """Of a step on a positive of each user: the shared gradients, and each user's."""
    pairs = [(user, user % NUM_ITEMS) for user in range(NUM_USERS)]
    shards = UserShards(NUM_USERS, NUM_SHARDS, communicator.worker_rank, communicator.num_workers)
    users = np.concatenate([shards.users_of(shard) for shard, _ in shards.owned])
    negatives = torch.from_numpy((users[:, None] + np.array([3, 8, 11])) % NUM_ITEMS)
    trainer = build_trainer(
        communicator,
        pairs=pairs,
        settings=build_settings(**options),
        kind=kind,
        sampler=Chosen(negatives),
    )
    step_on_all(trainer, NUM_USERS)
    of_users = trainer.model.user_vectors.grad.tolist()
    of_shared = torch.cat([p.grad.flatten() for p in trainer.loss.parameters[1:]])
    return of_shared, dict(zip(users.tolist(), of_users, strict=True))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *[(kind, {"l2": 0.05, "l2_kernels": 0.03, "l2_output": 0.02}) for kind in KINDS],
        ("neumf", {"loss": "squared"}),
        ("neumf", {"loss": "softmax"}),
    ],
)
def test_a_step_on_two_parts_of_a_batch_is_a_step_on_the_whole(kind, options):
    shared, users = step_gradients(SingleWorker(), kind, options)
    assert shared.abs().max() > 1e-4
    parts = run_workers(2, lambda worker: step_gradients(worker, kind, options))
    for part, _ in parts:
        torch.testing.assert_close(part, shared, rtol=1e-4, atol=1e-7)
    of_parts = parts[0][1] | parts[1][1]
    assert sorted(of_parts) == sorted(users)
    for user, gradient in users.items():
        assert of_parts[user] == pytest.approx(gradient, rel=1e-4, abs=1e-7)


def test_a_step_does_not_start_from_the_last_ones_gradients():
    trainer = build_trainer(
        pairs=[(2, 4), (3, 9)],
        settings=build_settings(learning_rate=0.0),
        sampler=Chosen(torch.tensor([[5, 6, 7]] * 24)),
    )
    found = []
    for _ in range(2):
        step_on_all(trainer)
        found.append([p.grad.tolist() for p in trainer.loss.parameters])
    assert found[0] == found[1]


# All users' pairs; those of three shards, so that the second worker has half as many; those of
# one shard, so that it has none.
@pytest.mark.parametrize("shards", [{0, 1, 2, 3}, {0, 1, 2}, {0}])
@pytest.mark.parametrize(
    "options", [{}, {"loss": "softmax"}, {"optimiser": "lazy_adam"}, {"optimiser": "sgd"}]
)
def test_two_workers_end_with_the_same_shared_weights(shards, options):
    pairs = [(u, i) for u, i in PATTERN if u % NUM_SHARDS in shards]
    settings = build_settings(**options)
    (first, records), (second, others) = run_workers(
        2, lambda worker: trained(worker, pairs=pairs, settings=settings)
    )
    assert_equal_shared(first, second)
    assert first.num_steps == second.num_steps
    assert [r["loss"] for r in records] == [r["loss"] for r in others]
    assert records[-1]["samples"] == len(pairs) * 4
    initial = build_trainer()
    assert not torch.equal(first.model.item_vectors, initial.model.item_vectors)


def test_a_user_without_positives_on_a_worker_keeps_its_vector():
    pairs = [(u, i) for u, i in PATTERN if u % NUM_SHARDS == 0]
    _, (second, _) = run_workers(2, lambda worker: trained(worker, pairs=pairs))
    untouched = run_workers(2, build_trainer)[1]
    assert torch.equal(second.model.user_vectors, untouched.model.user_vectors)


@pytest.mark.parametrize("optimiser", ["adam", "lazy_adam", "sgd"])
def test_user_vectors_are_never_communicated(optimiser):
    def exchanged(worker: InMemory) -> set[tuple[str, int]]:
        trained(worker, settings=build_settings(optimiser=optimiser))
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


@pytest.mark.parametrize(
    ("kind", "options", "architecture"),
    [
        *[(kind, {}, {}) for kind in KINDS if kind != "mlp"],
        # From this seed it stands still for 30 epochs.
        ("mlp", {"epochs": 40}, {}),
        ("mf", {"learning_rate": 0.05}, {"similarity": "cosine", "temperature": 0.2}),
        ("mf", {}, {"non_negative": True}),
        # From values as small as the paper's, half of the users would end at 0 for good.
        ("gmf", {}, {"non_negative": True, "embedding_init": "glorot_uniform"}),
        ("neumf", {"optimiser": "lazy_adam"}, {}),
        ("neumf", {"loss": "softmax"}, {}),
        ("gmf", {"loss": "squared"}, {}),
        ("neumf", {"precision": "bfloat16"}, {}),
        ("neumf", {"precision": "tf32"}, {}),
        ("neumf", {"warmup_epochs": 1.5, "decay": "cosine"}, {"activation": "leaky_relu"}),
    ],
)
def test_a_plain_pattern_is_learnt(kind, options, architecture):
    settings = build_settings(**{"epochs": 25, **options})
    trainer, records = trained(settings=settings, kind=kind, **architecture)
    # An item is a negative for the users of the other kind and the two that a user has not met.
    assert records[-1]["loss"] < 0.7 * records[0]["loss"]
    # By chance one user in eleven has the held-out item first; which ones do depends on the seed.
    first = sum(held_out_rank(trainer, user) == 1 for user in range(NUM_USERS))
    assert first >= 18


def test_the_same_seed_trains_to_the_same_weights_to_the_bit():
    first, again = (trained()[0] for _ in range(2))
    assert_equal_shared(first, again)
    assert torch.equal(first.model.user_vectors, again.model.user_vectors)
    other = trained(settings=build_settings(seed=8))[0]
    assert not torch.equal(first.model.item_vectors, other.model.item_vectors)


# --- factors that stay at 0 or above ------------------------------------------------------------


def never_negative(trainer: Trainer) -> list[Tensor]:
    """What must be at 0 or above: factors, and GMF's output weights."""
    model, factors = trainer.model, 4
    output = [model.head.output] if hasattr(model.head, "output") else []
    return [model.item_vectors[:, :factors], model.user_vectors[:, :factors], *output]


@pytest.mark.parametrize("optimiser", ["adam", "lazy_adam", "sgd"])
@pytest.mark.parametrize("kind", ["mf", "gmf"])
@pytest.mark.parametrize("num_workers", [1, 2])
def test_factors_stay_at_0_or_above_after_every_step(kind, optimiser, num_workers):
    # Half of what a step wants goes below 0, and so do the biases of MF.
    rate = 5.0 if optimiser == "sgd" else 0.05
    settings = build_settings(optimiser=optimiser, learning_rate=rate)

    def work(communicator: Communicator) -> dict[str, bool]:
        trainer = build_trainer(communicator, settings=settings, kind=kind, non_negative=True)
        at_zero = False
        for epoch in range(1, 5):
            for samples, global_size in trainer.steps(epoch):
                trainer.train_step(samples, global_size)
                assert all((values >= 0).all() for values in never_negative(trainer))
                at_zero |= any((values == 0).any() for values in never_negative(trainer))
        biases = [v[:, 4:] for v in (trainer.model.item_vectors, trainer.model.user_vectors)]
        return {"at 0": bool(at_zero), "biases below 0": any((b < 0).any() for b in biases)}

    for found in run_workers(num_workers, work):
        assert found == {"at 0": True, "biases below 0": kind == "mf"}


@pytest.mark.parametrize("optimiser", ["adam", "lazy_adam", "sgd"])
@pytest.mark.parametrize("kind", ["gmf", "neumf"])
def test_an_output_of_ones_stays_while_the_rest_learns(kind, optimiser):
    trainer = build_trainer(
        kind=kind, gmf_output="ones", settings=build_settings(optimiser=optimiser, l2_output=0.1)
    )
    gmf = trainer.model.head if kind == "gmf" else trainer.model.head.gmf
    before = trainer.model.item_vectors.detach().clone()
    trainer.train_epoch(1)
    assert gmf.output.tolist() == [1.0] * 4
    assert not torch.equal(trainer.model.item_vectors, before)


def test_items_exchanged_by_rows_are_trained_as_those_of_the_whole_table(monkeypatch):
    """In a step of two workers there are 4 samples, fewer than the 20 items."""

    def trained_items(worker: InMemory) -> tuple[list[str], Tensor]:
        settings = build_settings(optimiser="lazy_adam", batch_size=1, num_negatives=1)
        trainer = build_trainer(
            worker,
            pairs=[(0, 0), (1, 1)],
            settings=settings,
            sampler=Chosen(torch.full((24, 1), 5 + worker.worker_rank)),
        )
        for _ in range(3):
            step_on(trainer, torch.tensor([0]), 2)
        return [name for name, _ in worker.sizes], trainer.model.item_vectors.detach()

    (names, by_rows), (_, other) = run_workers(2, trained_items)
    monkeypatch.setattr(loop, "use_sparse_exchange", lambda samples, num_items: False)
    (whole_names, whole), _ = run_workers(2, trained_items)
    assert names[-3:] == ["shared_gradients", "item_rows", "item_gradients"]
    assert set(whole_names) == {"shared_gradients"}
    assert torch.equal(by_rows, other)
    torch.testing.assert_close(by_rows, whole)


# --- half precision -----------------------------------------------------------------------------


def test_scores_are_computed_in_float32_whatever_the_tower_trains_in():
    trainer, _ = trained(settings=build_settings(precision="bfloat16"))
    users, items = torch.arange(NUM_USERS), torch.arange(NUM_ITEMS).expand(NUM_USERS, -1)
    found = {}
    for precision in ("bfloat16", "float32"):
        trainer.model.train_in(precision)
        for training in (True, False):
            trainer.model.train(training)
            found[precision, training] = trainer.model(users, items)
    assert torch.equal(found["bfloat16", False], found["float32", False])
    assert not torch.equal(found["bfloat16", True], found["float32", True])


@pytest.mark.parametrize("few", [False, True])
def test_gradients_exchanged_in_float16_lead_nearly_where_those_in_float32_do(few):
    """With few samples a step the items are exchanged by rows."""
    pairs = [(0, 0), (1, 1)] if few else PATTERN
    options = {"optimiser": "lazy_adam", "batch_size": 1, "num_negatives": 1, "l2": 0.01}
    options = options if few else {}

    def ended(worker: InMemory, exchange: str) -> tuple[Trainer, set[torch.dtype]]:
        sent = set()
        all_reduce_async, join = worker.all_reduce_async, worker.all_gather
        worker.all_reduce_async = lambda t, name: sent.add(t.dtype) or all_reduce_async(t, name)
        worker.all_gather = lambda t, name: sent.add(t.dtype) or join(t, name)
        settings = build_settings(**{"epochs": 6, "exchange": exchange, **options})
        return trained(worker, pairs=pairs, settings=settings)[0], sent

    (half, sent), (other, _) = run_workers(2, lambda worker: ended(worker, "float16"))
    (whole, _), _ = run_workers(2, lambda worker: ended(worker, "float32"))
    assert sent == {torch.float16} | ({torch.int64} if few else set())
    assert_equal_shared(half, other)
    assert not torch.equal(half.model.item_vectors, whole.model.item_vectors)
    for one, exact in zip(
        half.model.shared_parameters(), whole.model.shared_parameters(), strict=True
    ):
        torch.testing.assert_close(one, exact, rtol=0.05, atol=0.02)


def test_a_worker_alone_rounds_no_gradients():
    halved, plain = (
        trained(settings=build_settings(exchange=e))[0] for e in ("float16", "float32")
    )
    assert_equal_shared(halved, plain)
