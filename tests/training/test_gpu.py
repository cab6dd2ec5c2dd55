"""The loop on a GPU: the same learning, and nothing that makes the host wait within a step."""

from collections.abc import Iterator

import pytest
import torch

from ncf_spark.model.recommender import Recommender
from ncf_spark.training.alias import AliasTable
from ncf_spark.training.batches import Resident
from ncf_spark.training.communicator import SingleWorker
from ncf_spark.training.loop import Trainer
from ncf_spark.training.positives import PositiveSet
from ncf_spark.training.sampler import NegativeSampler
from tests.training.trainers import NUM_ITEMS, build_settings, build_trainer

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def on_gpu(trainer: Trainer) -> Trainer:
    """Another trainer on the same positives and first values, on a GPU."""
    device = torch.device("cuda")
    positives = trainer.positives
    assert isinstance(positives, Resident)
    users, items = positives.users.to(device), positives.items.to(device)
    model: Recommender = trainer.model.to(device)
    count = len(users)
    rejected = PositiveSet([(users, items)], count, len(model.user_vectors), NUM_ITEMS, device)
    generator = torch.Generator(device).manual_seed(3)
    negatives = trainer.settings.num_negatives
    sampler = NegativeSampler(torch.ones(NUM_ITEMS), rejected, negatives, 8, generator)
    return Trainer(model, sampler, Resident(users, items), trainer.settings, SingleWorker())


@pytest.fixture
def debug_mode() -> Iterator[None]:
    """Whatever a test sets is undone."""
    yield
    torch.cuda.set_sync_debug_mode("default")


@needs_gpu
@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
@pytest.mark.parametrize("kind", ["mf", "gmf", "mlp", "neumf"])
def test_a_gpu_learns_the_pattern(kind, precision):
    settings = build_settings(epochs=40, precision=precision)
    trainer = on_gpu(build_trainer(settings=settings, kind=kind))
    losses = [trainer.train_epoch(epoch)["loss"] for epoch in range(1, 41)]
    assert losses[-1] < 0.7 * losses[0]


@needs_gpu
@pytest.mark.parametrize("loss", ["bce", "squared", "softmax"])
def test_the_host_does_not_wait_within_a_step(loss, debug_mode):
    trainer = on_gpu(build_trainer(settings=build_settings(loss=loss, l2=0.01, batch_size=4)))
    steps = trainer.steps(1)
    next(steps)  # the order of an epoch comes from the host
    torch.cuda.set_sync_debug_mode("error")
    for samples, global_size in steps:
        trainer.train_step(samples, global_size)


@pytest.mark.parametrize("max_retries", [0, 1, 5])
def test_drawing_as_a_gpu_does_rejects_as_drawing_on_a_cpu_does(max_retries):
    """The way that asks for nothing is run here on a CPU."""
    pairs = [(user, item) for user in range(3) for item in range(user, 5)]
    users, items = (torch.tensor([p[i] for p in pairs], dtype=torch.int32) for i in (0, 1))
    positives = PositiveSet([(users, items)], len(pairs), 3, 6, users.device)
    generator = torch.Generator().manual_seed(2)
    sampler = NegativeSampler(torch.ones(6), positives, 1, max_retries, generator)
    owners = torch.arange(3).repeat(20_000)
    drawn = AliasTable(torch.ones(6)).draw(len(owners), generator)
    taken = positives.contains(owners, drawn)
    left = sampler._redraw_in_place(owners, drawn, taken, positives)
    assert torch.equal(positives.contains(owners, drawn), left)
    for user in range(3):
        own = owners == user
        # Of six items, 5 - user are positives.
        share = ((5 - user) / 6) ** (1 + max_retries)
        assert left[own].double().mean().item() == pytest.approx(share, abs=0.02)
        free = drawn[own & ~left]
        counts = torch.bincount(free, minlength=6).double() / len(free)
        expected = [1 / (1 + user) if item < user or item == 5 else 0.0 for item in range(6)]
        assert counts.tolist() == pytest.approx(expected, abs=0.02)
