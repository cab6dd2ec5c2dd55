import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ncf_spark.training.communicator import Communicator
from ncf_spark.training.optimisers import (
    MOMENTS,
    LazyAdam,
    build_optimisers,
    learning_rate_at,
    load_moments,
    moments_of,
    set_learning_rate,
    touched_rows,
)
from ncf_spark.training.shards import UserShards
from tests.training.simulated import run_workers
from tests.training.trainers import (
    NUM_ITEMS,
    NUM_SHARDS,
    NUM_USERS,
    Chosen,
    assert_equal_shared,
    build_settings,
    build_trainer,
    step_on,
)

KINDS = ["adam", "lazy_adam", "sgd"]


def build_parameters() -> list[nn.Parameter]:
    """Vectors of 5 users and 6 items, and other weights as one."""
    generator = torch.Generator().manual_seed(1)
    return [
        nn.Parameter(torch.randn(size, generator=generator)) for size in [(5, 3), (6, 3), (20,)]
    ]


def give_gradients(parameters: list[nn.Parameter], seed: int, rows: list[int]) -> None:
    """From N(0, 1); those of users and items in these rows only."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in parameters:
        gradient = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() == 2:
            kept = torch.zeros(len(gradient), 1)
            kept[rows] = 1.0
            gradient = gradient * kept
        parameter.grad = gradient


def step(optimisers: list[torch.optim.Optimizer], rate: float) -> None:
    set_learning_rate(optimisers, rate)
    for optimiser in optimisers:
        optimiser.step()


def stepped(kind: str, rows_of_steps: list[list[int]], rate: float = 0.1) -> list[list[Tensor]]:
    """The parameters at the start and after each step."""
    parameters = build_parameters()
    optimisers, found = build_optimisers(parameters, kind), [values_of(parameters)]
    for seed, rows in enumerate(rows_of_steps):
        give_gradients(parameters, seed, rows)
        step(optimisers, rate)
        found.append(values_of(parameters))
    return found


def values_of(parameters: list[nn.Parameter]) -> list[Tensor]:
    return [p.detach().clone() for p in parameters]


@pytest.mark.parametrize(("kind", "torchs"), [("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)])
def test_adam_and_sgd_are_torchs_at_the_rate_of_each_step(kind, torchs):
    ours, others = build_parameters(), build_parameters()
    optimisers, plain = build_optimisers(ours, kind), torchs(others, lr=1.0)
    for seed, rate in enumerate([0.01, 0.02, 0.005]):
        for parameters in (ours, others):
            give_gradients(parameters, seed, [0, seed])
        step(optimisers, rate)
        plain.param_groups[0]["lr"] = rate
        plain.step()
    # In one pass over the memory, the last digit may differ.
    for one, other in zip(ours, others, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("table", [0, 1])
def test_lazy_adam_leaves_rows_outside_the_batch_to_the_bit_where_adam_moves_them(table):
    for kind, stays in ("lazy_adam", True), ("adam", False):
        _, first, second = stepped(kind, [[0, 1, 2], [1, 4]])
        # Row 0 was met in the first step, row 3 never, row 4 in the second step only.
        assert torch.equal(first[table][0], second[table][0]) == stays
        assert torch.equal(first[table][3], second[table][3])
        for row in (1, 4):
            assert not torch.equal(first[table][row], second[table][row])


def test_lazy_adam_is_torchs_sparse_adam():
    ours, torchs = (torch.nn.Parameter(torch.ones(4, 2)) for _ in range(2))
    lazy, sparse = LazyAdam([ours]), torch.optim.SparseAdam([torchs])
    generator = torch.Generator().manual_seed(4)
    for rate, rows in (0.1, [0, 2]), (0.05, [2]), (0.2, [0, 1]):
        gradient = torch.zeros(4, 2)
        gradient[rows] = torch.randn(len(rows), 2, generator=generator)
        ours.grad, torchs.grad = gradient, gradient.to_sparse(1)
        step([lazy, sparse], rate)
        torch.testing.assert_close(ours, torchs, rtol=1e-6, atol=1e-8)


def test_lazy_adam_keeps_the_moments_of_rows_outside_the_batch():
    # The same three gradients of row 1; in the other run, two steps without it come between.
    def moved(rows_of_steps: list[list[int]], seeds: list[int]) -> Tensor:
        parameters = build_parameters()
        lazy, adam = build_optimisers(parameters, "lazy_adam")
        for rows, seed in zip(rows_of_steps, seeds, strict=True):
            give_gradients(parameters, seed, rows)
            step([lazy, adam], 0.1)
        return lazy.state[parameters[1]]["exp_avg"][1]

    straight = moved([[1], [1], [1]], [5, 6, 7])
    assert torch.equal(moved([[1], [0], [1], [3], [1]], [5, 1, 6, 2, 7]), straight)
    assert straight.any()


def test_lazy_adam_treats_other_weights_as_adam_does():
    rows = [[0, 1], [2], [0]]
    assert torch.equal(stepped("lazy_adam", rows)[-1][2], stepped("adam", rows)[-1][2])


@pytest.mark.parametrize("kind", KINDS)
def test_restored_moments_continue_as_if_there_had_been_no_interruption(kind):
    """The last parameter stands for two of the model."""
    first = build_parameters()
    parts = [{"users": first[0]}, {"items": first[1]}, {"a": first[2][:8], "b": first[2][8:]}]
    optimisers = build_optimisers(first, kind)
    for seed in (1, 2):
        give_gradients(first, seed, [0, 2])
        step(optimisers, 0.1)
    steps, moments = moments_of(optimisers, dict(zip(first, parts, strict=True)))
    assert (steps, set(moments)) == ((0, set()) if kind == "sgd" else (2, set(MOMENTS)))
    moments = {moment: {n: v.clone() for n, v in own.items()} for moment, own in moments.items()}
    second = [nn.Parameter(p.detach().clone()) for p in first]
    resumed = build_optimisers(second, kind)
    load_moments(resumed, dict(zip(second, parts, strict=True)), steps, moments)
    for parameters, own in (first, optimisers), (second, resumed):
        give_gradients(parameters, 3, [0, 1])
        step(own, 0.05)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("sparse", [False, True])
def test_touched_rows_are_those_with_any_gradient(sparse):
    parameter = torch.nn.Parameter(torch.zeros(4, 2))
    gradient = torch.tensor([[0.0, 0.0], [0.0, 2.0], [0.0, 0.0], [-1.0, float("nan")]])
    parameter.grad = gradient.to_sparse(1) if sparse else gradient
    rows, values = touched_rows(parameter)
    assert rows.tolist() == [1, 3]
    torch.testing.assert_close(values, gradient[rows], equal_nan=True)


def test_the_rows_of_a_user_who_comes_twice_are_added_up():
    parameter = torch.nn.Parameter(torch.zeros(3, 1))
    rows = torch.nn.functional.embedding(torch.tensor([2, 0, 2]), parameter, sparse=True)
    (rows * torch.tensor([[1.0], [5.0], [3.0]])).sum().backward()
    found = touched_rows(parameter)
    assert [part.tolist() for part in found] == [[0, 2], [[5.0], [4.0]]]


# --- in training --------------------------------------------------------------------------------


@pytest.mark.parametrize(("optimiser", "stays"), [("lazy_adam", True), ("adam", False)])
def test_a_user_and_items_of_an_earlier_step_stay_where_they_are(optimiser, stays):
    negatives = torch.zeros(NUM_USERS, 1, dtype=torch.int64)
    negatives[0], negatives[1] = 10, 11  # of the users in table rows 0 and 1: 0 and 4
    trainer = build_trainer(
        pairs=[(0, 2), (4, 3)],
        settings=build_settings(num_negatives=1, optimiser=optimiser),
        sampler=Chosen(negatives),
    )
    vectors = trainer.model.user_vectors, trainer.model.item_vectors
    step_on(trainer, torch.tensor([0]), 1)
    users, items = (v.detach().clone() for v in vectors)
    step_on(trainer, torch.tensor([1]), 1)
    assert torch.equal(vectors[0][0], users[0]) == stays
    assert torch.equal(vectors[1][[2, 10]], items[[2, 10]]) == stays
    assert not torch.equal(vectors[0][1], users[1])
    assert (vectors[1][[3, 11]] != items[[3, 11]]).any(dim=1).all()


def after_three_steps(communicator: Communicator, optimiser: str) -> tuple[Any, dict[int, Tensor]]:
    """Two steps on a positive of each user, then one without those of shards 1 to 3."""
    settings = build_settings(optimiser=optimiser, learning_rate=0.05)
    shards = UserShards(NUM_USERS, NUM_SHARDS, communicator.worker_rank, communicator.num_workers)
    users = torch.cat([torch.from_numpy(shards.users_of(shard)) for shard, _ in shards.owned])
    trainer = build_trainer(
        communicator,
        pairs=[(user, user % NUM_ITEMS) for user in range(NUM_USERS)],
        settings=settings,
        sampler=Chosen((users.unsqueeze(1) + torch.tensor([3, 8, 11])) % NUM_ITEMS),
    )
    whole = torch.arange(trainer.positives.num_positives)
    of_first_shard = whole[users[trainer.positives.users] % NUM_SHARDS == 0]
    for batch, global_size in ((whole, 24), (whole, 24), (of_first_shard, 6)):
        step_on(trainer, batch, global_size)
    vectors = trainer.model.user_vectors.detach()
    return trainer, dict(zip(users.tolist(), vectors, strict=True))


@pytest.mark.parametrize("optimiser", KINDS)
@pytest.mark.parametrize("num_workers", [2, 3])
def test_several_workers_move_to_where_one_does(optimiser, num_workers):
    [(alone, vectors)] = run_workers(1, lambda w: after_three_steps(w, optimiser))
    parts = run_workers(num_workers, lambda w: after_three_steps(w, optimiser))
    found = {user: vector for _, own in parts for user, vector in own.items()}
    assert sorted(found) == list(range(NUM_USERS))
    for user, vector in vectors.items():
        torch.testing.assert_close(found[user], vector, rtol=1e-3, atol=1e-5)
    for trainer, _ in parts:
        assert_equal_shared(trainer, parts[0][0])
    for one, several in zip(
        alone.model.shared_parameters(), parts[0][0].model.shared_parameters(), strict=True
    ):
        torch.testing.assert_close(several, one, rtol=1e-3, atol=1e-5)


def test_lazy_adam_raises_no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer = build_trainer(settings=build_settings(optimiser="lazy_adam"))
        trainer.train_epoch(1)


# --- the learning rate --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decay", "warmup_steps", "expected"),
    [
        ("none", 0, {0: 0.8, 5: 0.8, 9: 0.8}),
        # A rise in equal parts to the highest rate, which the first step after it has.
        ("none", 3, {0: 0.2, 1: 0.4, 2: 0.6, 3: 0.8, 9: 0.8}),
        ("linear", 0, {0: 0.8, 5: 0.4, 9: 0.08, 10: 0.0}),
        # After the rise, 8 steps from 1 to 0: 4 of 8, and 7 of 8.
        ("linear", 2, {0: 0.8 / 3, 2: 0.8, 6: 0.4, 9: 0.1, 10: 0.0}),
        # 0.8 · (1 + cos(π / 5)) / 2, and so on
        ("cosine", 0, {0: 0.8, 2: 0.723607, 5: 0.4, 9: 0.019577, 10: 0.0}),
        # (1 + cos(π · 7 / 8)) / 2 = 0.038060
        ("cosine", 2, {1: 0.8 * 2 / 3, 2: 0.8, 6: 0.4, 9: 0.030448, 10: 0.0}),
        # A step and a half: 1 / 2.5 and 2 / 2.5, then 0.5 of 8.5 done.
        ("linear", 1.5, {0: 0.32, 1: 0.64, 2: 0.8 * 8 / 8.5}),
        # A rise longer than the training never ends.
        ("cosine", 15, {0: 0.05, 9: 0.5}),
    ],
)
def test_the_rate_rises_and_then_decays_to_0(decay, warmup_steps, expected):
    found = {
        step: learning_rate_at(step, 10, highest=0.8, warmup_steps=warmup_steps, decay=decay)
        for step in expected
    }
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_training_of_one_step_has_the_highest_rate():
    for decay in ("none", "linear", "cosine"):
        assert learning_rate_at(0, 1, highest=0.3, warmup_steps=0, decay=decay) == 0.3


def test_the_steps_of_a_training_follow_the_plan_over_all_epochs(monkeypatch):
    # 7 positives in steps of at most 3: three steps an epoch, six in all, of which 1.5 · 3 rise.
    trainer = build_trainer(
        pairs=[(user, user) for user in range(7)],
        settings=build_settings(
            epochs=2, batch_size=3, learning_rate=1.1, warmup_epochs=1.5, decay="linear"
        ),
    )
    rates: list[float] = []
    [adam] = trainer.optimisers
    monkeypatch.setattr(adam, "step", lambda: rates.append(adam.param_groups[0]["lr"]))
    for epoch in (1, 2):
        trainer.train_epoch(epoch)
    # 1 / 5.5 to 5 / 5.5 of 1.1, then 0.5 of 1.5 steps done.
    expected = [0.2, 0.4, 0.6, 0.8, 1.0, 1.1 * 2 / 3]
    assert rates == pytest.approx(expected)
