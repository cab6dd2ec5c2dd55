"""Submitted by test_two_workers.py: one epoch on two Horovod workers, watched from inside.

Arguments: the run's URI, its number of shards, the JSON file to write, and in JSON for each epoch
what is different in its task.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import horovod.spark
from pyspark.sql import SparkSession


def watched_epoch(run_uri: str, num_shards: int, different: dict[str, Any]) -> dict[str, Any]:
    """Trains one epoch and tells which positives were taken and what was exchanged."""
    import horovod.torch as hvd
    import torch

    from ncf_spark.model.recommender import Architecture
    from ncf_spark.storage import files
    from ncf_spark.training.distributed import Horovod
    from ncf_spark.training.loop import LoopSettings, Trainer
    from ncf_spark.training.samples import Samples
    from ncf_spark.training.task import TrainingTask
    from ncf_spark.training.worker import Worker

    hvd.init()
    torch.set_num_threads(1)
    stored = files.read_json(f"{run_uri}/model/manifest.json")["task"]
    task = TrainingTask(
        **{
            **stored,
            "model_uri": "file:///nowhere",
            "num_shards": num_shards,
            "architecture": Architecture.from_json(stored["architecture"]),
            "loop": LoopSettings(**{**stored["loop"], "epochs": 1, "batch_size": 200}),
            **different,
        }
    )
    communicator = Horovod()
    mine = Worker(task, communicator, torch.device("cpu"))
    shards, model = mine.shards, mine.build(task.architecture)
    trainer = Trainer(model, mine.sampler, mine.positives, task.loop, communicator)
    owned = torch.cat([torch.from_numpy(shards.users_of(shard)) for shard, _ in shards.owned])
    taken: list[tuple[int, int]] = []
    step = trainer.train_step

    def watched_step(samples: Samples, size: int, **others: Any) -> torch.Tensor:
        positives = samples.items[0].tolist()
        taken.extend(zip(owned[samples.users].tolist(), positives, strict=True))
        return step(samples, size, **others)

    trainer.train_step = watched_step  # type: ignore[method-assign]
    before = trainer.model.user_vectors.detach().clone()
    trainer.train_epoch(1)
    shared = torch.cat([p.detach().flatten() for p in trainer.model.shared_parameters()])
    moved = (trainer.model.user_vectors.detach() != before).any(dim=1)
    return {
        "mode": mine.positives.mode,
        "taken": taken,
        "num_steps": trainer.num_steps,
        "shared": shared.tolist(),
        "moved_users": owned[moved].tolist(),
        "bytes_exchanged": communicator.bytes_exchanged,
    }


def main() -> None:
    run_uri, num_shards, output, *tasks = sys.argv[1:]
    spark = SparkSession.builder.getOrCreate()
    epochs = [
        horovod.spark.run(
            watched_epoch,
            args=(run_uri, int(num_shards), json.loads(different)),
            num_proc=2,
            use_gloo=True,
            verbose=0,
        )
        for different in tasks
    ]
    Path(output).write_text(json.dumps(epochs))
    spark.stop()


if __name__ == "__main__":
    main()
