"""Samples a second of two Horovod workers beside one, on MovieLens 1M, one thread each.

python -m tests.benchmarks.worker_scaling   # NCF_DATA names the folder of the data

The model and the work of training_speed.py. A batch is a worker's. In turns: one worker, which
exchanges nothing; two workers; and two processes that train the whole data each and exchange
nothing, which is what the machine's two cores can do at most.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import horovod
import numpy as np

from ncf_spark.training.communicator import SingleWorker
from tests.benchmarks.contenders.horovod_workers import join_benchmark
from tests.benchmarks.contenders.ncf_neumf import build_trainer
from tests.benchmarks.duel import record
from tests.benchmarks.training_speed import SETTINGS, data_folder, write_arrays

# Samples of a worker's step, positives and negatives together.
BATCHES = (2_048, 16_384, 65_536)
ROUNDS = 5
# (processes, whether they are workers that exchange gradients).
WAYS = {"one": (1, False), "two": (2, True), "apart": (2, False)}


def measure(data: str, batch: int, exchange: bool) -> tuple[int, float]:
    """On a worker: the samples of its second epoch, and the seconds that it took."""
    workers = join_benchmark()
    communicator = workers if exchange else SingleWorker()
    settings = [*SETTINGS, f"training.batch_size={batch // 5}"]
    trainer = build_trainer(dict(np.load(data)), settings, communicator)
    trainer.train_epoch(1)
    seconds = trainer.train_epoch(2)["seconds"]
    return 5 * trainer.positives.num_positives, seconds


def speed(data: str, batch: int, processes: int, exchange: bool) -> float:
    """Samples a second of all processes together, by the slowest one's clock."""
    done = horovod.run(
        measure,
        (data, batch, exchange),
        np=processes,
        hosts=f"localhost:{processes}",
        use_gloo=True,
    )
    return sum(samples for samples, _ in done) / max(seconds for _, seconds in done)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = str(Path(folder) / "ml1m.npz")
        write_arrays(data_folder(), Path(data))
        for batch in BATCHES:
            rounds = [
                {w: speed(data, batch, *way) for w, way in WAYS.items()} for _ in range(ROUNDS)
            ]
            found = {way: statistics.median(r[way] for r in rounds) for way in WAYS}
            for way, title, bar in (
                ("two", "two workers", "≥ 1.7" if batch == 65_536 else "none"),
                ("apart", "two processes without exchange", "none"),
            ):
                record(
                    f"{title}, samples/s at {batch:,} a step of each, one worker",
                    ours=found[way],
                    peer=found["one"],
                    ratio=statistics.median(r[way] / r["one"] for r in rounds),
                    bar=bar,
                )


if __name__ == "__main__":
    main()
