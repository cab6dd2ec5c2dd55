"""The peak memory of a worker beside what the preflight said, for some extremes.

python -m tests.training.measured_memory [NAME …]   # prints one JSON line a case

Each case is two processes forked from this one, which has imported everything but allocated
nothing: one writes the tables, one trains. Its peak beyond what it had when it was forked counts.
Epochs end after a few steps, since a step needs what every other needs.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from ncf_spark.training.communicator import SingleWorker
from ncf_spark.training.loop import LoopSettings, Trainer
from ncf_spark.training.preflight import worker_bytes
from ncf_spark.training.process import keep_freed_memory
from ncf_spark.training.task import TrainingTask
from ncf_spark.training.worker import train_worker
from tests.model.architectures import build_architecture
from tests.training.trainers import build_settings

CPU, SHARDS, STEPS = torch.device("cpu"), 16, 3
# What the libraries hold once they were used.
NOTHING = {"num_users": 100, "num_items": 200, "num_positives": 400, "judged": 10}
LARGE = {"num_users": 500_000, "num_items": 5_000, "num_positives": 500_000, "judged": 2_000}
MANY = {"num_users": 50_000, "num_items": 5_000, "num_positives": 6_000_000, "judged": 0}
# More pairs than marks.
SPARSE = MANY | {"num_items": 50_000}
# Name → sizes, what is different in the loop, and what is different in the task.
CASES: dict[str, tuple[dict[str, int], dict[str, Any], dict[str, Any]]] = {
    "adam": (LARGE, {}, {}),
    "lazy_adam": (LARGE, {"optimiser": "lazy_adam"}, {}),
    "sgd": (LARGE | {"num_users": 1_000_000, "judged": 0}, {"optimiser": "sgd"}, {}),
    "pretraining": (LARGE, {"optimiser": "sgd"}, {"pretraining": ("gmf", "mlp")}),
    "positives": (SPARSE, {}, {}),
    "dense positives": (MANY | {"num_positives": 12_000_000}, {}, {}),
    "streaming": (SPARSE | {"num_positives": 8_000_000}, {}, {"resident_bytes": 24_000_000}),
    "kept negatives": (MANY | {"num_positives": 2_000_000}, {}, {"redraw": False}),
    "validation": (MANY | {"num_positives": 500_000, "judged": 50_000}, {}, {}),
    "large steps": (MANY | {"num_positives": 2_000_000}, {"batch_size": 2_000_000}, {}),
    "large lazy steps": (
        MANY | {"num_positives": 300_000, "num_items": 2_000_000},
        {"batch_size": 300_000, "optimiser": "lazy_adam"},
        {},
    ),
    "many items": (LARGE | {"num_users": 10_000, "num_items": 500_000}, {}, {}),
}


def write_tables(folder: Path, sizes: dict[str, int]) -> None:
    """`train`, `validation` and `item_activity`."""
    draw = np.random.default_rng(1)
    users = np.arange(sizes["num_positives"], dtype=np.int32) % sizes["num_users"]
    items = draw.integers(0, sizes["num_items"], len(users), dtype=np.int32)
    for shard in range(SHARDS):
        own = users % SHARDS == shard
        write(folder / f"train/shard={shard}", user_index=users[own], item_index=items[own])
        judged = np.arange(shard, sizes["judged"], SHARDS, dtype=np.int32)
        if len(judged):
            rivals = draw.integers(0, sizes["num_items"], 99 * len(judged), dtype=np.int32)
            offsets = np.arange(len(judged) + 1, dtype=np.int32) * 99
            lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(rivals))
            place = folder / f"validation/shard={shard}"
            write(place, user_index=judged, item_index=judged % 100, negatives=lists)
    num_items = sizes["num_items"]
    uniform = np.full(num_items, 1 / num_items)
    write(folder / "activity", item_index=np.arange(num_items, dtype=np.int32), uniform=uniform)


def write(folder: Path, **columns: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), folder / "part-00000.parquet", row_group_size=200_000)


def build_task(
    folder: Path, sizes: dict[str, int], loop: dict[str, Any], different: dict[str, Any]
) -> TrainingTask:
    settings: LoopSettings = build_settings(
        **{"epochs": 2, "batch_size": 1_024, "num_negatives": 4, "learning_rate": 0.001, **loop}
    )
    halves = {k: replace(settings, optimiser="adam") for k in different.get("pretraining", ())}
    return TrainingTask(
        train_uri=f"file://{folder}/train",
        validation_uri=f"file://{folder}/validation" if sizes["judged"] else None,
        activity_uri=f"file://{folder}/activity",
        model_uri=f"file://{folder}/model",
        checkpoints_uri=f"file://{folder}/checkpoints",
        tables={},
        start=None,
        num_users=sizes["num_users"],
        num_shards=SHARDS,
        architecture=build_architecture(
            "neumf", sizes["num_items"], factors=8, tower=(64, 32, 16, 8)
        ),
        loop=settings,
        alpha=0.5,
        patience=None,
        evaluate_every=1,
        checkpoint_epochs=1,
        checkpoint_minutes=None,
        mixture={"uniform": 1.0},
        max_retries=8,
        ks=(10,),
        **{"redraw": True, "resident_bytes": None, **different, "pretraining": halves},
    )


def memory(field: str) -> int:
    """Bytes of VmRSS, now, or VmHWM, at most so far."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


def in_a_process(work: Callable[[], Any]) -> Any:
    """What `work` returns in a fork of this process, by JSON."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.write(writing, json.dumps(work()).encode())
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as answer:
        content = answer.read()
    assert os.waitpid(child, 0)[1] == 0
    return json.loads(content)


def measure(task: TrainingTask) -> int:
    """Bytes at the peak of a training."""
    batches = Trainer._batches
    Trainer._batches = lambda self, epoch: islice(batches(self, epoch), STEPS)  # type: ignore
    torch.set_num_threads(1)
    keep_freed_memory()
    train_worker(task, SingleWorker(), CPU)
    return memory("VmHWM")


def estimate_and_peak(
    sizes: dict[str, int], loop: dict[str, Any], different: dict[str, Any]
) -> tuple[dict[str, int], int]:
    """What the preflight says, and what the training takes."""
    with tempfile.TemporaryDirectory() as folder:
        task = build_task(Path(folder), sizes, loop, different)
        in_a_process(lambda: write_tables(Path(folder), sizes))
        parts = in_a_process(lambda: worker_bytes(task, 1, sizes["num_positives"]))
        return parts, in_a_process(lambda: measure(task))


def main() -> None:
    _, before = estimate_and_peak(NOTHING, {}, {})
    for name in sys.argv[1:] or CASES:
        parts, peak = estimate_and_peak(*CASES[name])
        found = {"name": name, "estimated": sum(parts.values()), "measured": peak - before}
        line = {**found, "before": before, "parts": parts}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
