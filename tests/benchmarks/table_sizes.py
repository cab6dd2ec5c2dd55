"""What a step costs as the tables grow: five million users, a million items.

python -m tests.benchmarks.table_sizes

NeuMF of 8 factors, tower 64-32-16-8, 4 negatives, lazy Adam, generated positives. A step's time at
5 million users beside 50 thousand, in turns in one process; the bytes that two workers exchange in
a step at 10 thousand and 5 million users, counted; and a step of two workers with the items
exchanged by rows beside one with the whole table. The loop chooses rows where a step of all workers
has fewer samples than a quarter of the items.
"""

from __future__ import annotations

import statistics
import time
from itertools import islice
from typing import Any
from unittest.mock import patch

import horovod
import numpy as np

from ncf_spark.training.communicator import Communicator, SingleWorker
from ncf_spark.training.loop import Trainer
from ncf_spark.training.process import keep_freed_memory, take_share
from tests.benchmarks.contenders.horovod_workers import join_benchmark
from tests.benchmarks.contenders.ncf_neumf import build_trainer
from tests.benchmarks.duel import record
from tests.benchmarks.training_speed import SETTINGS

FEW_USERS, MANY_USERS, NUM_ITEMS = 50_000, 5_000_000, 3_706
# Samples of a worker's step, positives and negatives together.
BATCHES = (2_048, 65_536)
ITEM_TABLES = (10_000, 100_000, 1_000_000)
ROUNDS, STEPS = 7, 10


def generated_trainer(
    num_users: int, num_items: int, batch: int, communicator: Communicator
) -> Trainer:
    """A trainer on as many positives as its rounds take, spread over all users and items."""
    rng = np.random.default_rng(1)
    positives = communicator.num_workers * (ROUNDS + 2) * STEPS * (batch // 5)
    arrays = {
        "users": rng.integers(num_users, size=positives),
        "items": (num_items * rng.random(positives) ** 2).astype(np.int64),
        "num_users": np.array(num_users),
        "num_items": np.array(num_items),
    }
    settings = [*SETTINGS, "training.optimiser=lazy_adam", f"training.batch_size={batch // 5}"]
    return build_trainer(arrays, settings, communicator)


def seconds_of_steps(trainer: Trainer, steps: Any) -> float:
    """Of one step, over the next few."""
    started = time.perf_counter()
    for samples, global_size in islice(steps, STEPS):
        trainer.train_step(samples, global_size)
    return (time.perf_counter() - started) / STEPS


def in_turns(trainers: dict[Any, Trainer]) -> dict[Any, list[float]]:
    """Seconds of a step in each round; the first round is left out."""
    steps = {name: trainer.steps(1) for name, trainer in trainers.items()}
    found: dict[Any, list[float]] = {name: [] for name in trainers}
    for _ in range(ROUNDS + 1):
        for name, trainer in trainers.items():
            found[name].append(seconds_of_steps(trainer, steps[name]))
    return {name: seconds[1:] for name, seconds in found.items()}


def compare_users(batch: int) -> None:
    """A step with many users beside one with few."""
    trainers = {
        n: generated_trainer(n, NUM_ITEMS, batch, SingleWorker()) for n in (FEW_USERS, MANY_USERS)
    }
    found = in_turns(trainers)
    record(
        f"a step of {batch:,} samples, ms, {MANY_USERS:,} users; {FEW_USERS:,} users",
        ours=1e3 * statistics.median(found[MANY_USERS]),
        peer=1e3 * statistics.median(found[FEW_USERS]),
        ratio=statistics.median(
            many / few for many, few in zip(found[MANY_USERS], found[FEW_USERS], strict=True)
        ),
        bar="≤ 1.3",
    )


def bytes_of_a_step(num_users: int, batch: int) -> float:
    """On a worker: what it gives to the others."""
    workers = join_benchmark()
    trainer = generated_trainer(num_users, NUM_ITEMS, batch, workers)
    before = sum(workers.bytes_exchanged.values())
    seconds_of_steps(trainer, trainer.steps(1))
    return (sum(workers.bytes_exchanged.values()) - before) / STEPS


def by_rows_and_whole(num_items: int, batch: int) -> tuple[list[float], list[float]]:
    """On a worker: seconds of a step with items exchanged by rows, and as a whole table."""
    workers = join_benchmark()
    trainers = {}
    for by_rows in (True, False):
        with patch("ncf_spark.training.loop.use_sparse_exchange", return_value=by_rows):
            trainers[by_rows] = generated_trainer(20_000, num_items, batch, workers)
    found = in_turns(trainers)
    return found[True], found[False]


def on_two_workers(work: Any, *arguments: int) -> list[Any]:
    """What the workers return."""
    results: list[Any] = horovod.run(work, arguments, np=2, hosts="localhost:2", use_gloo=True)
    return results


def main() -> None:
    take_share(0, 1, 1, pin=False)
    keep_freed_memory()
    for batch in BATCHES:
        compare_users(batch)
    for batch in BATCHES:
        few, many = (on_two_workers(bytes_of_a_step, n, batch)[0] for n in (10_000, MANY_USERS))
        record(
            f"bytes exchanged in a step of {batch:,} samples, {MANY_USERS:,} users; 10,000 users",
            ours=many,
            peer=few,
            ratio=many / few,
            bar="= 1",
        )
    for num_items in ITEM_TABLES:
        for batch in (b for b in BATCHES if b < num_items):
            rows, whole = on_two_workers(by_rows_and_whole, num_items, batch)[0]
            record(
                f"two workers' step of {batch:,} samples, {num_items:,} items, ms, by rows; whole",
                ours=1e3 * statistics.median(rows),
                peer=1e3 * statistics.median(whole),
                ratio=statistics.median(r / w for r, w in zip(rows, whole, strict=True)),
                bar="none",
            )


if __name__ == "__main__":
    main()
