"""Progress from worker 0 to the driver, by a small file that is rewritten after every epoch.

Horovod forwards the workers' output in pieces of 64 KiB, so hours may pass before a line of it
shows. A file in the model's folder works on every cluster and stays there for whoever looks later.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ncf_spark.storage import files

_SECONDS_BETWEEN_LOOKS = 1.0


def write_history(model_uri: str, history: list[dict[str, Any]]) -> None:
    """Makes the records of the epochs so far known to the driver."""
    files.write_json(_place(model_uri), history)


@contextmanager
def followed(model_uri: str, num_epochs: int, emit: Callable[[str], None]) -> Iterator[None]:
    """While the block runs, `emit` receives a line for each epoch that the workers finish."""
    stop = threading.Event()
    thread = threading.Thread(
        target=_follow, args=(model_uri, num_epochs, emit, stop), name="progress", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _follow(
    model_uri: str, num_epochs: int, emit: Callable[[str], None], stop: threading.Event
) -> None:
    shown, last_look = 0, False
    while not last_look:
        last_look = stop.wait(_SECONDS_BETWEEN_LOOKS)
        place = _place(model_uri)
        history = files.read_json(place) if files.exists(place) else []
        for count in range(shown + 1, len(history) + 1):
            emit(progress_line(history[:count], num_epochs))
        shown = len(history)


def progress_line(history: list[dict[str, Any]], num_epochs: int) -> str:
    """`epoch 3/20, loss 0.2873, 1,012,345 samples/s, hr@10 0.6100, 1 min 20 s left`."""
    record = history[-1]
    mean = sum(r["seconds"] for r in history) / len(history)
    left = round(mean * (num_epochs - record["epoch"]))
    return ", ".join(
        [
            f"epoch {record['epoch']}/{num_epochs}",
            f"loss {record['loss']:.4f}",
            f"{record['samples'] / record['seconds']:,.0f} samples/s",
            *[f"{name} {value:.4f}" for name, value in record.items() if "@" in name],
            f"{left // 60} min {left % 60} s left",
        ]
    )


def _place(model_uri: str) -> str:
    return f"{model_uri}/history.json"
