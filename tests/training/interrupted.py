"""Trainings that are lost in the middle of an epoch and go on with another number of workers.

python -m tests.training.interrupted   # NCF_DATA names the folder of the data; prints a table

MovieLens 1M in the published split, NeuMF of 8 factors, tower 64-32-16-8. HR@10 is that of the test
items among their 99 negatives after the last epoch. Workers are threads of one process, so one core
will do: what Horovod adds up is added up in the same order.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from ncf_spark.training.loop import Trainer
from ncf_spark.training.task import TrainingTask
from tests.model.architectures import build_architecture
from tests.training.tasks import on_workers, write_activity, write_shards, write_task
from tests.training.trainers import build_settings

EPOCHS, LOST_IN, SEEDS = 8, 4, (1, 2, 3)


class LostError(Exception):
    """Stands for a worker that is no longer there."""


def interrupted(task: TrainingTask, before: int, after: int, steps: int) -> list[dict[str, Any]]:
    """The records of a training that is lost after `steps` and resumes with other workers."""
    original = Trainer.train_step

    def train_step(self: Trainer, *arguments: Any, **named: Any) -> Tensor:
        if self.steps_done == steps:
            raise LostError
        return original(self, *arguments, **named)

    with patch.object(Trainer, "train_step", train_step), pytest.raises(LostError):
        on_workers(task, before)
    return on_workers(task, after)[0]["history"]


def movielens(
    source: Path, folder: Path, *, every: int = 1, batch_size: int = 1_024, **named: Any
) -> tuple[TrainingTask, int]:
    """The task, and its number of positives.

    Args:
        every: only one in so many users.
    """
    train = pd.read_parquet(source / "ml-1m" / "ncf_train.parquet")
    test = pd.read_parquet(source / "ml-1m" / "ncf_test_negatives.parquet")
    train, test = (
        t[t.user_id % every == 0].assign(user_id=t.user_id // every) for t in (train, test)
    )
    columns = {"user_index": train.user_id.tolist(), "item_index": train.item_id.tolist()}
    held_out = {
        "user_index": test.user_id.tolist(),
        "item_index": test.item_id.tolist(),
        "negatives": [row.tolist() for row in test.negatives],
    }
    num_items = int(
        1 + max(train.item_id.max(), test.item_id.max(), np.stack(test.negatives).max())
    )
    settings = build_settings(batch_size=batch_size, num_negatives=4, learning_rate=0.001)
    task = write_task(
        folder,
        train_uri=write_shards(folder / "ml1m_train", columns),
        validation_uri=write_shards(folder / "ml1m_test", held_out),
        activity_uri=write_activity(folder / "ml1m_items", {"uniform": [1.0] * num_items}),
        num_users=int(train.user_id.max()) + 1,
        architecture=build_architecture("neumf", num_items, factors=8, tower=(64, 32, 16, 8)),
        loop=replace(settings, **named),
        checkpoint_epochs=1,
        ks=(10,),
    )
    return task, len(train)


def main() -> None:
    torch.set_num_threads(1)
    source = Path(os.environ["NCF_DATA"])
    ways = {"1 worker": (1, None), "2 workers": (2, None), "2 → 1": (2, 1), "1 → 2": (1, 2)}
    print("| workers | HR@10 by seed | mean |\n| --- | --- | --- |", flush=True)
    for way, (before, after) in ways.items():
        found = []
        for seed in SEEDS:
            with tempfile.TemporaryDirectory() as folder:
                task, num_positives = movielens(source, Path(folder), epochs=EPOCHS, seed=seed)
                if after is None:
                    history = on_workers(task, before)[0]["history"]
                else:
                    steps = int((LOST_IN - 0.5) * num_positives / task.loop.batch_size / before)
                    history = interrupted(task, before, after, steps)
            assert [record["epoch"] for record in history] == list(range(1, EPOCHS + 1))
            found.append(history[-1]["hr@10"])
            print(f"{way}, seed {seed}: {found[-1]:.4f}", file=sys.stderr, flush=True)
        print(f"| {way} | {', '.join(f'{h:.4f}' for h in found)} | {mean(found):.4f} |", flush=True)


if __name__ == "__main__":
    main()
