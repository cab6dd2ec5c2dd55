"""Trainers for tests, on positives of 24 users and 20 items in 4 shards."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ncf_spark.model.recommender import Recommender, initialise_shared, initialise_users
from ncf_spark.training.batches import Resident
from ncf_spark.training.communicator import Communicator, SingleWorker
from ncf_spark.training.loop import LoopSettings, Trainer
from ncf_spark.training.positives import PositiveSet
from ncf_spark.training.sampler import NegativeSampler
from ncf_spark.training.samples import draw_samples
from ncf_spark.training.shards import UserShards
from tests.model.architectures import build_architecture

NUM_USERS, NUM_ITEMS, NUM_SHARDS = 24, 20, 4

# Users like the items of their own parity: of these ten, one is held out, one has not been met.
HELD_OUT = {user: (user + 2 * (user % 7)) % NUM_ITEMS for user in range(NUM_USERS)}
PATTERN = [
    (user, item)
    for user in range(NUM_USERS)
    for item in range(user % 2, NUM_ITEMS, 2)
    if item not in (HELD_OUT[user], (HELD_OUT[user] + 4) % NUM_ITEMS)
]


def build_settings(**named: Any) -> LoopSettings:
    """Binary cross-entropy by Adam at a constant rate, without any penalty."""
    values: dict[str, Any] = {
        "epochs": 3,
        "batch_size": 16,
        "num_negatives": 3,
        "loss": "bce",
        "optimiser": "adam",
        "learning_rate": 0.02,
        "warmup_epochs": 0.0,
        "decay": "none",
        "l2": 0.0,
        "l2_kernels": 0.0,
        "l2_output": 0.0,
        "user_balance": 0.0,
        "precision": "float32",
        "exchange": "float32",
        "seed": 7,
    }
    return LoopSettings(**{**values, **named})


class Chosen:
    """A sampler that gives each user, by table row, the negatives chosen beforehand."""

    def __init__(self, negatives: Tensor, unresolved: list[int] | None = None) -> None:
        self._negatives = negatives
        self._unresolved = unresolved

    def draw(self, users: Tensor, positions: Tensor | None) -> tuple[Tensor, Tensor | None]:
        negatives = self._negatives[users]
        if not self._unresolved:
            return negatives.T, None
        marks = torch.zeros_like(negatives, dtype=torch.bool)
        marks.view(-1)[self._unresolved] = True
        return negatives.T, marks.T


def build_trainer(
    communicator: Communicator | None = None,
    *,
    pairs: list[tuple[int, int]] = PATTERN,
    settings: LoopSettings | None = None,
    sampler: Any = None,
    kind: str = "neumf",
    **architecture: Any,
) -> Trainer:
    """One worker's trainer on those of the (user, item) pairs that are its own."""
    communicator, settings = communicator or SingleWorker(), settings or build_settings()
    rank, num_workers = communicator.worker_rank, communicator.num_workers
    shards = UserShards(NUM_USERS, NUM_SHARDS, rank, num_workers)
    own = [(u, i) for u, i in pairs if u % NUM_SHARDS % num_workers == rank]
    users = torch.from_numpy(shards.rows_of(np.array([u for u, _ in own], np.int64))).int()
    positives = Resident(users, torch.tensor([i for _, i in own], dtype=torch.int32))
    described = build_architecture(
        kind, NUM_ITEMS, **{"factors": 4, "tower": (8, 8, 4), **architecture}
    )
    model = Recommender(described, shards.num_rows)
    initialise_shared(model, described, settings.seed)
    initialise_users(model, described, shards.owned, NUM_USERS, settings.seed)
    if sampler is None:
        generator = torch.Generator().manual_seed(settings.seed * 31 + rank)
        rejected = PositiveSet(positives.rows(), len(own), shards.num_rows, NUM_ITEMS, users.device)
        sampler = NegativeSampler(
            torch.ones(NUM_ITEMS), rejected, settings.num_negatives, 10, generator
        )
    return Trainer(model, sampler, positives, settings, communicator)


def trained(
    communicator: Communicator | None = None, **options: Any
) -> tuple[Trainer, list[dict[str, Any]]]:
    """A trainer after all its epochs, and their records."""
    trainer = build_trainer(communicator, **options)
    epochs = range(1, trainer.settings.epochs + 1)
    return trainer, [trainer.train_epoch(epoch) for epoch in epochs]


def step_on_all(trainer: Trainer, global_size: int | None = None) -> int:
    """One step on all of a worker's positives; the number of unresolved negatives."""
    whole = torch.arange(trainer.positives.num_positives)
    return step_on(trainer, whole, len(whole) if global_size is None else global_size)


def step_on(trainer: Trainer, positions: Tensor, global_size: int) -> int:
    """The same on the positives at some positions."""
    batch = trainer.positives.at(positions)
    samples = draw_samples(batch, trainer.sampler, trainer.user_weights)
    trainer.train_step(samples, global_size)
    return 0 if samples.counted is None else int((samples.counted == 0).sum())


def gradients_of(trainer: Trainer) -> dict[str, Tensor]:
    """The gradients of the last step, by the names of the model's parameters."""
    found = {}
    for parameter in trainer.loss.parameters:
        named = trainer.loss.parts[parameter]
        parts = parameter.grad.flatten().split([p.numel() for p in named.values()])
        found |= {n: g.view(p.shape) for (n, p), g in zip(named.items(), parts, strict=True)}
    return found


def assert_equal_shared(first: Trainer, second: Trainer) -> None:
    pairs = zip(first.model.shared_parameters(), second.model.shared_parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
