"""Samples a second of two Horovod workers beside one, on MovieLens 1M, one thread each.

python -m tests.benchmarks.worker_scaling   # NCF_DATA names the folder of the data

The model and the work of training_speed.py. A batch is a worker's; in turns, the worker alone
exchanges nothing.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path

import horovod
import horovod.torch as hvd
import numpy as np
import torch

from ncf_spark.training.communicator import Alone
from ncf_spark.training.distributed import Horovod
from tests.benchmarks.contenders.ncf_neumf import build_trainer
from tests.benchmarks.duel import record
from tests.benchmarks.training_speed import SETTINGS, data_folder, write_arrays

# Samples of a worker's step, positives and negatives together.
BATCHES = (2_048, 16_384, 65_536)
SAMPLES = 2_500_000
ROUNDS = 3


def measure(data: str, batch: int) -> tuple[int, float]:
    """On a worker: samples of its steps, and the seconds that they took; the first are left out."""
    hvd.init()
    torch.set_num_threads(1)
    communicator = Horovod() if hvd.size() > 1 else Alone()
    settings = [*SETTINGS, f"training.batch_size={batch // 5}"]
    trainer = build_trainer(dict(np.load(data)), settings, communicator)
    steps = SAMPLES // hvd.size() // batch
    batches = trainer._batches(1)
    for positives, global_size in islice(batches, max(3, steps // 10)):
        trainer.train_step(positives, global_size)
    started, samples = time.perf_counter(), 0
    for positives, global_size in islice(batches, steps // 2):
        trainer.train_step(positives, global_size)
        samples += 5 * len(positives.users)
    return samples, time.perf_counter() - started


def speed(data: str, batch: int, num_workers: int) -> float:
    """Samples a second of all workers together, by the slowest one's clock."""
    hosts = f"localhost:{num_workers}"
    done = horovod.run(measure, (data, batch), np=num_workers, hosts=hosts, use_gloo=True)
    return sum(samples for samples, _ in done) / max(seconds for _, seconds in done)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = str(Path(folder) / "ml1m.npz")
        write_arrays(data_folder(), Path(data))
        for batch in BATCHES:
            rounds = [[speed(data, batch, workers) for workers in (2, 1)] for _ in range(ROUNDS)]
            two, one = (statistics.median(side) for side in zip(*rounds, strict=True))
            title = f"two workers, samples/s at {batch:,} a worker's step, one worker"
            bar = "≥ 1.7" if batch == 65_536 else "none"
            record(title, ours=two, peer=one, ratio=two / one, bar=bar)


if __name__ == "__main__":
    main()
