"""Progress from worker 0 to the driver, by a small file that is rewritten after every epoch.

Horovod forwards the workers' output in chunks of 64 KiB, so a line may take hours to appear. A file
in the model's folder works on every cluster and stays there.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ncf_spark.evaluation.metrics import main_cut_off
from ncf_spark.storage import files

log = logging.getLogger("ncf_spark")

_SECONDS_BETWEEN_LOOKS = 1.0


def write_history(model_uri: str, history: list[dict[str, Any]]) -> None:
    """Writes the records of the epochs so far for the driver."""
    files.write_json(_path(model_uri), history)


@contextmanager
def show_progress(
    model_uri: str, phases: Mapping[str, int], emit: Callable[..., None], done: int = 0
) -> Iterator[None]:
    """While the block runs, calls `emit` with a line for each epoch that the workers finish.

    The epoch's record is passed as logging's `extra`.

    Args:
        phases: epochs of each phase, at most.
        done: epochs that an earlier training finished: they have no line.
    """
    stop = threading.Event()
    thread = threading.Thread(
        target=_follow, args=(model_uri, phases, emit, done, stop), name="progress", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _follow(
    model_uri: str,
    phases: Mapping[str, int],
    emit: Callable[..., None],
    done: int,
    stop: threading.Event,
) -> None:
    shown, last_look = done, False
    while not last_look:
        last_look = stop.wait(_SECONDS_BETWEEN_LOOKS)
        path = _path(model_uri)
        try:
            if not files.exists(path):
                continue
            history = files.read_json(path)
            for count in range(shown + 1, len(history) + 1):
                line = progress_line(history[:count], phases)
                emit(line, extra={"numbers": history[count - 1]})
            shown = len(history)
        except Exception as error:  # of any kind: training does not depend on its display
            log.warning("progress is no longer shown; training continues: %s: %s", path, error)
            return


def progress_line(history: list[dict[str, Any]], phases: Mapping[str, int]) -> str:
    """`neumf epoch 3/20, loss 0.2873, 1,012,345 samples/s, ndcg@10 0.3610, 1 min 20 s left`.

    The time left is for all remaining epochs of the phase. Epoch 0 is the joined model before
    training: `neumf before its first epoch, ndcg@10 0.3610`.

    Args:
        phases: epochs of each phase, at most.
    """
    record = history[-1]
    phase, epochs = record["phase"], phases[record["phase"]]
    ks = [int(name.partition("@")[2]) for name in record if "@" in name]
    shown = f"@{main_cut_off(ks)}" if ks else "@"
    judged = [f"{name} {value:.4f}" for name, value in record.items() if name.endswith(shown)]
    if record["epoch"] == 0:
        return ", ".join([f"{phase} before its first epoch", *judged])
    of_phase = [r["seconds"] for r in history if r["phase"] == phase and r["epoch"]]
    left = round(sum(of_phase) / len(of_phase) * (epochs - record["epoch"]))
    return ", ".join(
        [
            f"{phase} epoch {record['epoch']}/{epochs}",
            f"loss {record['loss']:.4f}",
            f"{record['samples'] / record['seconds']:,.0f} samples/s",
            *judged,
            f"{left // 60} min {left % 60} s left",
        ]
    )


def _path(model_uri: str) -> str:
    return f"{model_uri}/history.json"
