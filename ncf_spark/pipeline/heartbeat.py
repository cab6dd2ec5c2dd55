"""A line now and then from a step that takes long, so that it does not look dead."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pyspark.sql import SparkSession

from ncf_spark.pipeline.logs import log, numbers

_SECONDS_BETWEEN_LINES = 30.0


@contextmanager
def heartbeat(
    spark: SparkSession,
    step: str,
    describe: Callable[[], str],
    every_s: float = _SECONDS_BETWEEN_LINES,
) -> Iterator[None]:
    """While the block runs, logs every `every_s` seconds what is running, and how far it is.

    `evaluate, after 90 s: ranks of 4 models, 12 of 40 tasks`; without tasks of Spark, only what.

    Args:
        describe: what is running now.
    """
    stop = threading.Event()
    given = (spark, step, describe, every_s, stop)
    thread = threading.Thread(target=_beat, args=given, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _beat(
    spark: SparkSession,
    step: str,
    describe: Callable[[], str],
    every_s: float,
    stop: threading.Event,
) -> None:
    tracker, started = spark.sparkContext.statusTracker(), time.monotonic()
    while not stop.wait(every_s):
        stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
        running = [stage for stage in stages if stage is not None]
        done, tasks = (
            sum(getattr(s, n) for s in running) for n in ("numCompletedTasks", "numTasks")
        )
        seconds = time.monotonic() - started
        log.info(
            "%s, after %.0f s: %s%s",
            *(step, seconds, describe(), f", {done} of {tasks} tasks" if tasks else ""),
            extra=numbers(seconds=round(seconds), tasks_done=done, num_tasks=tasks),
        )
