"""Jobs in the tests' own process: on the session of the tests, with threads for Horovod's workers.

A job runs as spark-submit runs it, from its first line to its exit status. Of Horovod, only what
starts the workers and what they say to each other is replaced.
"""

from __future__ import annotations

import contextlib
import io
import logging
import runpy
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from horovod.common.exceptions import HorovodInternalError
from pyspark.sql import SparkSession

from ncf_spark.pipeline import session
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.logs import log, working_on
from ncf_spark.pipeline.runner import run_step
from tests.training.simulated import Group, InMemory


def run_as(job: Job, work: Callable[[Job], Any]) -> None:
    """Runs a step with other work than its own, whose result is not recorded."""

    def run(job: Job) -> None:
        work(job)

    job.steps = {**job.steps, job.name: replace(job.steps[job.name], run=run)}
    run_step(job)


def run_job(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs `jobs/<name>.py`; what it printed and its exit status, as those of a process."""
    printed, said = io.StringIO(), io.StringIO()
    with (
        workers_as_threads(),
        _as_before(),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(said),
    ):
        sys.argv = [f"jobs/{name}.py", *arguments]
        status = _exit_status(sys.argv[0])
    return subprocess.CompletedProcess(
        [name, *arguments], status, printed.getvalue(), said.getvalue()
    )


def _exit_status(script: str) -> int:
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        return int(end.code or 0)
    except Exception:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        return 1
    return 0


@contextlib.contextmanager
def _as_before() -> Iterator[None]:
    """Afterwards, what a job changes of its process is as it was."""
    root = logging.getLogger()
    before = root.handlers[:], root.level, log.level, sys.excepthook, sys.argv
    # A job closes the handlers that it finds, pytest's among them.
    root.handlers[:] = []
    try:
        yield
    finally:
        root.handlers[:], level, own_level, sys.excepthook, sys.argv = before
        root.setLevel(level)
        log.setLevel(own_level)
        working_on(None, None)
        spark = SparkSession.getActiveSession()
        for key in {**session._FOR_SMALL_INPUTS, **session._FOR_LARGE_INPUTS} if spark else ():
            if not spark.sparkContext.getConf().contains(key):
                spark.conf.unset(key)


@contextlib.contextmanager
def workers_as_threads() -> Iterator[None]:
    """Within the block, workers are threads of this process, and Spark has slots for two of them.

    The lines of `train_worker`, its files and its failures are those of Horovod's workers.
    """
    mine = threading.local()

    def run(work: Callable[..., Any], args: Sequence[Any], num_proc: int, **_: object) -> list[Any]:
        group = _Group(num_proc)

        def of_rank(rank: int) -> Any:
            mine.place = (group, rank)
            try:
                return work(*args)
            except BaseException:
                group.barrier.abort()
                raise

        with ThreadPoolExecutor(num_proc) as pool:
            futures = [pool.submit(of_rank, rank) for rank in range(num_proc)]
        if any(future.exception() for future in futures):
            raise RuntimeError("Horovod detected that one or more processes exited")
        return [future.result() for future in futures]

    with pytest.MonkeyPatch.context() as patch:
        of_training = "ncf_spark.training.distributed"
        patch.setattr(f"{of_training}.horovod.spark.run", run)
        patch.setattr(f"{of_training}.join_workers", lambda threads, *, pin: None)
        patch.setattr(f"{of_training}.Horovod", lambda: InMemory(*mine.place))
        patch.setattr(f"{of_training}.hvd.shutdown", lambda: None)
        patch.setattr("ncf_spark.training.slots._wait_for_slots", lambda context, wanted: 2)
        yield


class _Group(Group):
    """Whoever waits for a worker that is gone fails as Horovod's do."""

    def exchange(self, worker_rank: int, name: str, value: Any) -> list[Any]:
        try:
            return super().exchange(worker_rank, name, value)
        except threading.BrokenBarrierError:
            raise HorovodInternalError("another worker is gone") from None
