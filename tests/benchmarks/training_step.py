"""A training step with gradients by hand beside the same step by plain autograd.

python -m tests.benchmarks.training_step   # NCF_DATA names the folder of the data

MovieLens 1M, NeuMF of 8 factors, tower 64-32-16-8, 4 negatives, Adam. Both keep the structure of
the batch: the first layer splits, and all items are encoded once where there are more samples. In
turns in one process, one thread.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ncf_spark.model.heads import NeuMF
from ncf_spark.training.communicator import SingleWorker
from ncf_spark.training.loop import Trainer
from ncf_spark.training.optimisers import build_optimisers
from ncf_spark.training.process import keep_freed_memory
from ncf_spark.training.samples import Samples
from tests.benchmarks.contenders.ncf_neumf import build_trainer
from tests.benchmarks.duel import record
from tests.benchmarks.training_speed import BATCHES, SETTINGS, data_folder, write_arrays

ROUNDS, SAMPLES_OF_A_ROUND = 12, 600_000


class AutogradLoss:
    """The loss of a step as torch computes and differentiates it."""

    sparse_users = sparse_items = False

    def __init__(self, trainer: Trainer) -> None:
        self.model = trainer.model
        self.parameters = list(self.model.parameters())

    def __call__(self, samples: Samples, divisor: float) -> Tensor:
        """Binary cross-entropy, divided by `divisor`."""
        model, head = self.model, self.model.head
        assert isinstance(head, NeuMF)
        rows = samples.items.flatten()
        users = head.encode_users(model.user_vectors.index_select(0, samples.users))
        if len(rows) < len(model.item_vectors):
            items = head.encode_items(model.item_vectors.index_select(0, rows))
        else:
            encoded = head.encode_items(model.item_vectors)
            items = tuple(part.index_select(0, rows) for part in encoded)
        of_gmf, hidden = (part.view(*samples.items.shape, -1) for part in items)
        hidden = torch.relu_(hidden + users[1])
        for layer in head.mlp.layers:
            hidden = torch.relu_(layer(hidden))
        logits = (of_gmf * users[0]).sum(dim=2) + hidden @ head.mlp.output + model.bias
        terms = nn.functional.softplus(logits).sum(dim=0) - logits[0]
        return terms @ samples.weights / divisor


def seconds_of_a_sample(
    trainer: Trainer, steps: Iterator[tuple[Samples, int]], count: int
) -> float:
    """Over the next steps."""
    started, taken = time.perf_counter(), 0
    for samples, global_size in islice(steps, count):
        trainer.train_step(samples, global_size)
        taken += samples.items.numel()
    return (time.perf_counter() - started) / taken


def compare(arrays: dict[str, np.ndarray], batch: int) -> None:
    """Both ways at a number of samples a step."""
    settings = [*SETTINGS, f"training.batch_size={batch // 5}"]
    ours, plain = (build_trainer(arrays, settings, SingleWorker()) for _ in range(2))
    plain.loss = AutogradLoss(plain)  # type: ignore[assignment]
    plain.optimisers = build_optimisers(plain.loss.parameters, "adam")
    count, times = max(1, SAMPLES_OF_A_ROUND // batch), []
    steps = [trainer.steps(1) for trainer in (ours, plain)]
    for _ in range(min(ROUNDS, ours.num_steps // count)):
        pairs = zip((ours, plain), steps, strict=True)
        times.append([seconds_of_a_sample(trainer, own, count) for trainer, own in pairs])
    record(
        f"a step of {batch:,} samples, samples/s, by hand; by autograd",
        ours=1 / statistics.median(own for own, _ in times),
        peer=1 / statistics.median(other for _, other in times),
        ratio=statistics.median(other / own for own, other in times),
        bar="> 1",
    )


def main() -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ml1m.npz"
        write_arrays(data_folder(), path)
        arrays = dict(np.load(path))
    for batch in BATCHES:
        compare(arrays, batch)


if __name__ == "__main__":
    main()
