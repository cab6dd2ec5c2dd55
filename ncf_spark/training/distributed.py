"""Horovod workers on Spark executors; the only importer of Horovod."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import horovod.spark
import horovod.torch as hvd
import torch
from horovod.common.exceptions import HorovodInternalError
from horovod.spark.task import get_available_devices
from torch import Tensor

from ncf_spark.config import ConfigError
from ncf_spark.storage import files
from ncf_spark.training.checkpoint import last_checkpoint, num_workers_of
from ncf_spark.training.failures import Failures, WorkerError, first_line
from ncf_spark.training.preflight import check_gpu
from ncf_spark.training.process import keep_freed_memory, take_share
from ncf_spark.training.progress import followed
from ncf_spark.training.task import TrainingTask
from ncf_spark.training.worker import train_worker

log = logging.getLogger("ncf_spark")

# How often Horovod's background thread looks for tensors to exchange, in milliseconds. It takes a
# share of a core from the workers of a machine whose cores are all at work.
_CYCLE_TIME_MS = 3


class Horovod:
    """The workers that Horovod started; `bytes_exchanged` counts what they exchange."""

    def __init__(self) -> None:
        self.worker_rank = hvd.rank()
        self.num_workers = hvd.size()
        self.bytes_exchanged: dict[str, int] = {}

    def sum_(self, tensor: Tensor, name: str) -> None:
        """Adds up a tensor over the workers, in place."""
        hvd.allreduce_(tensor, op=hvd.Sum, name=name)
        self._count(tensor, name)

    def start_sum(self, tensor: Tensor, name: str) -> Callable[[], None]:
        """Begins to add up a tensor over the workers, in place; what it returns waits for it."""
        handle = hvd.allreduce_async_(tensor, op=hvd.Sum, name=name)
        self._count(tensor, name)
        return lambda: hvd.synchronize(handle)

    def join(self, tensor: Tensor, name: str) -> Tensor:
        """The rows of all workers' tensors, by rank."""
        self._count(tensor, name)
        joined: Tensor = hvd.allgather(tensor, name=name)
        return joined

    def _count(self, tensor: Tensor, name: str) -> None:
        size = tensor.numel() * tensor.element_size()
        self.bytes_exchanged[name] = self.bytes_exchanged.get(name, 0) + size

    def gather(self, values: list[int]) -> list[list[int]]:
        """The values of each worker, by rank."""
        gathered = hvd.allgather(torch.tensor([values]), name="gather")
        return [[int(value) for value in row] for row in gathered.tolist()]


def run_workers(
    task: TrainingTask,
    wait_for_room: Callable[[], None],
    *,
    num_workers: int,
    device: str,
    threads_per_worker: int | None,
    pin_workers: bool,
    start_timeout_s: int,
    network_interfaces: list[str],
    max_restarts: int,
    python: str,
) -> list[dict[str, Any]]:
    """Trains on `num_workers` Spark tasks of the active session.

    It goes on from the last checkpoint, if there is one. When a worker is lost, all start again;
    the log says so. What would come again ends the training at once.

    Args:
        wait_for_room: returns when Spark has a task slot for each worker again, or raises.
        max_restarts: how many times.
        python: the interpreter on the executors; the driver's may not be there.

    Returns:
        For each worker, by rank: `history`, `chosen_epochs` and `bytes_exchanged` by name.

    Raises:
        ConfigError, DataError, SchemaError: as a worker told, which names the remedy.
        WorkerError: when the workers failed for another reason, or too often.
    """
    name = task.model_uri.rsplit("/", 1)[-1]
    done = _announce_checkpoint(task, name, num_workers)
    emit = partial(log.info, "train: %s: %s", name)
    with followed(task.model_uri, task.phases, emit, done):
        for attempt in range(max_restarts + 1):
            failures = _failures(task, attempt)
            files.delete(failures.uri)
            try:
                results: list[dict[str, Any]] = horovod.spark.run(
                    _run_worker,
                    args=(task, device, threads_per_worker, pin_workers, attempt),
                    num_proc=num_workers,
                    use_gloo=True,
                    start_timeout=start_timeout_s,
                    nics=network_interfaces or None,
                    stdout=LineLogger(log.info),
                    stderr=LineLogger(log.warning),
                    verbose=0,
                    executable=python,
                )
                break
            except Exception as error:
                failures.check(name)
                reason = failures.summary(num_workers) or first_line(error)
                if attempt == max_restarts:
                    raise WorkerError(_gave_up(name, attempt, reason)) from error
            log.warning(
                "train: %s: the workers failed (%s); restart %d of %d",
                *(name, reason, attempt + 1, max_restarts),
            )
            wait_for_room()
            _announce_checkpoint(task, name, num_workers)
    files.delete(f"{task.model_uri}/failures")
    return results


def _failures(task: TrainingTask, attempt: int) -> Failures:
    return Failures(f"{task.model_uri}/failures/attempt-{attempt}")


def _gave_up(name: str, restarts: int, reason: str) -> str:
    return (
        f"{name}: the workers failed ({reason}), after {restarts} restarts. See to what ends them; "
        "jobs/train.py goes on from the last checkpoint. training.max_restarts allows more."
    )


def _announce_checkpoint(task: TrainingTask, name: str, num_workers: int) -> int:
    """Says where training goes on, and which checkpoints are left out.

    Returns:
        How many records of epochs there are already.
    """
    number, problems = last_checkpoint(task.checkpoints_uri, task.identity)
    for problem in problems:
        log.warning("train: %s: checkpoint %s", name, problem)
    if number is None:
        if problems:
            log.warning("train: %s: there is no other checkpoint; it starts afresh", name)
        return 0
    before = num_workers_of(task.checkpoints_uri, number)
    other = "" if before == num_workers else f" (num_workers was {before}, is {num_workers})"
    log.info("train: %s: goes on from checkpoint %06d%s", name, number, other)
    return number


class LineLogger:
    """A text stream that hands each whole line of the workers' output to a logger."""

    def __init__(self, emit: Callable[[str, str], None]) -> None:
        self._emit = emit
        self._rest = ""

    def write(self, text: str) -> int:
        """Takes any piece of output."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in filter(str.strip, lines):
            self._emit("train: %s", line)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back but an unfinished line."""


def join_workers(threads: int | None, *, pin: bool) -> Horovod:
    """This process as one of the workers that Horovod started.

    Args:
        threads: of torch; None: the machine's cores divided among its workers.
        pin: whether the worker stays on its part of the machine's cores.
    """
    os.environ.setdefault("HOROVOD_CYCLE_TIME", str(_CYCLE_TIME_MS))
    rank, size = (int(os.environ[f"HOROVOD_LOCAL_{name}"]) for name in ("RANK", "SIZE"))
    take_share(rank, size, threads, pin=pin)  # before Horovod starts a thread of its own
    keep_freed_memory()
    hvd.init()
    return Horovod()


def _run_worker(
    task: TrainingTask, device: str, threads: int | None, pin: bool, attempt: int
) -> dict[str, Any]:
    workers = join_workers(threads, pin=pin)
    try:
        with _failures(task, attempt).told(hvd.rank(), HorovodInternalError):
            used = _device(device)
            if used.type == "cuda":
                check_gpu(task, workers.num_workers, torch.cuda.mem_get_info(used)[0])
            trained = train_worker(task, workers, used)
        return {**trained, "bytes_exchanged": workers.bytes_exchanged}
    finally:
        hvd.shutdown()


def _device(setting: str) -> torch.device:
    """The GPU that Spark assigned to the task, else the one by local rank, else the CPU."""
    if setting == "cpu" or (setting == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ConfigError(
            "training.device is cuda, but this worker has no usable GPU; "
            "set training.device: auto, or give its executor a GPU."
        )
    assigned = get_available_devices()
    index = int(assigned[0]) if assigned else hvd.local_rank() % torch.cuda.device_count()
    return torch.device("cuda", index)
