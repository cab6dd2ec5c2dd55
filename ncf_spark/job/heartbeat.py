"""A line now and then from a step that takes long, so that it does not look dead."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import SparkSession

from ncf_spark.job.logs import log, numbers

_SECONDS_BETWEEN_LINES = 30.0


@contextmanager
def heartbeat(
    spark: SparkSession, step: str, every_s: float = _SECONDS_BETWEEN_LINES
) -> Iterator[None]:
    """While the block runs, logs every `every_s` seconds how far Spark is with its tasks."""
    stop = threading.Event()
    thread = threading.Thread(target=_beat, args=(spark, step, every_s, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _beat(spark: SparkSession, step: str, every_s: float, stop: threading.Event) -> None:
    tracker, started = spark.sparkContext.statusTracker(), time.monotonic()
    while not stop.wait(every_s):
        stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
        running = [stage for stage in stages if stage is not None]
        done, tasks = (
            sum(getattr(s, n) for s in running) for n in ("numCompletedTasks", "numTasks")
        )
        seconds = time.monotonic() - started
        log.info(
            "%s: running for %.0f s, %d of %d tasks done",
            *(step, seconds, done, tasks),
            extra=numbers(seconds=round(seconds), tasks_done=done, num_tasks=tasks),
        )
