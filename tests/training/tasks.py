"""Training tasks for tests: the tables of 10 users and 8 items in 4 shards, and who runs them."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from ncf_spark.storage import arrays
from ncf_spark.training.communicator import SingleWorker
from ncf_spark.training.task import TrainingTask
from ncf_spark.training.worker import train_worker
from tests.model.architectures import build_architecture
from tests.training.simulated import run_workers
from tests.training.trainers import build_settings

CPU = torch.device("cpu")
NUM_USERS, NUM_ITEMS, NUM_SHARDS = 10, 8, 4
# Every user has two items, and user 9 none; item 7 is nobody's.
PAIRS = [(user, (user + step) % 7) for user in range(9) for step in (0, 3)]
# Validation item and rivals of users 0, 1 and 4; shards 2 and 3 have no rows.
VALIDATION = {0: (1, [2, 4, 5]), 1: (2, [3, 5]), 4: (6, [2])}


def write_shards(folder: Path, columns: dict[str, list]) -> str:
    """A table in shard=… folders; `columns` include user_index."""
    table = pa.table(
        {
            n: pa.array(v, pa.list_(pa.int32()) if n == "negatives" else pa.int32())
            for n, v in columns.items()
        }
    )
    shards = np.array(columns["user_index"]) % NUM_SHARDS
    for shard in sorted(set(shards.tolist())):
        place = folder / f"shard={shard}"
        place.mkdir(parents=True)
        pq.write_table(table.filter(pa.array(shards == shard)), place / "part-00000.parquet")
    return f"file://{folder}"


def write_validation(folder: Path, held_out: dict[int, tuple[int, list[int]]]) -> str:
    """The validation item and the rivals of some users."""
    items, negatives = zip(*held_out.values(), strict=True)
    columns = {"user_index": [*held_out], "item_index": [*items], "negatives": [*negatives]}
    return write_shards(folder, columns)


def write_activity(folder: Path, distributions: Mapping[str, list[float]]) -> str:
    """`item_activity` of the first items: each distribution of negatives by its name."""
    folder.mkdir()
    num_items = len(next(iter(distributions.values())))
    columns = {"item_index": pa.array(range(num_items), "int32"), **distributions}
    pq.write_table(pa.table(columns), folder / "part-00000.parquet")
    return f"file://{folder}"


def write_task(folder: Path, **named: Any) -> TrainingTask:
    """The tables below `folder`, and three epochs of a small NeuMF on them, judged after each."""
    users, items = (list(column) for column in zip(*PAIRS, strict=True))
    values: dict[str, Any] = {
        "train_uri": write_shards(folder / "train", {"user_index": users, "item_index": items}),
        "validation_uri": write_validation(folder / "validation", VALIDATION),
        "activity_uri": write_activity(folder / "activity", {"uniform": [1 / 7] * 7}),
        "model_uri": f"file://{folder}/model",
        "checkpoints_uri": f"file://{folder}/checkpoints/model",
        "tables": {"build_interactions": "2026-11-01T03:00:00+00:00"},
        "start": None,
        "num_users": NUM_USERS,
        "num_shards": NUM_SHARDS,
        "architecture": build_architecture("neumf", NUM_ITEMS, tower=(4, 4, 2)),
        "loop": build_settings(batch_size=4, num_negatives=2, learning_rate=0.01, seed=5),
        "pretraining": {},
        "alpha": 0.5,
        "patience": None,
        "evaluate_every": 1,
        "checkpoint_epochs": None,
        "checkpoint_minutes": None,
        "mixture": {"uniform": 1.0},
        "max_retries": 10,
        "redraw": True,
        "resident_bytes": None,
        "ks": (2, 10),
    }
    return TrainingTask(**{**values, **named})


def elsewhere(task: TrainingTask) -> TrainingTask:
    """The same task, which writes into other folders."""
    return replace(
        task, model_uri=task.model_uri + "-2", checkpoints_uri=task.checkpoints_uri + "-2"
    )


def on_workers(task: TrainingTask, num_workers: int) -> list[dict[str, Any]]:
    """What each worker returns, by rank."""
    return run_workers(num_workers, lambda worker: train_worker(task, worker, CPU))


def alone(task: TrainingTask) -> dict[str, Any]:
    """What the one worker returns."""
    return train_worker(task, SingleWorker(), CPU)


def stored(task: TrainingTask) -> dict[str, np.ndarray]:
    """The vectors that the workers wrote."""
    return {
        name: arrays.read_vectors(f"{task.model_uri}/{name}_vectors", f"{name}_index")[1]
        for name in ("user", "item")
    }


def history_on_disk(task: TrainingTask) -> list[dict[str, Any]]:
    """What whoever follows the training sees."""
    place = Path(task.model_uri.removeprefix("file://")) / "history.json"
    return json.loads(place.read_text())


def without_seconds(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records without what differs between two runs."""
    return [{name: v for name, v in record.items() if name != "seconds"} for record in history]
