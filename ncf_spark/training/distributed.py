"""Horovod workers on Spark executors; the only importer of Horovod."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import horovod.spark
import horovod.torch as hvd
import torch
from horovod.common.exceptions import HorovodInternalError
from horovod.spark.task import get_available_devices
from torch import Tensor

from ncf_spark.errors import ConfigError, DataError, SchemaError, WorkerError
from ncf_spark.storage import files
from ncf_spark.training.checkpoint import last_checkpoint, num_workers_of
from ncf_spark.training.failures import Failures, first_line, summary
from ncf_spark.training.preflight import check_gpu
from ncf_spark.training.process import keep_freed_memory, take_share
from ncf_spark.training.progress import show_progress
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

    def all_reduce_(self, tensor: Tensor, name: str) -> None:
        """Adds up a tensor over the workers, in place."""
        hvd.allreduce_(tensor, op=hvd.Sum, name=name)
        self._count(tensor, name)

    def all_reduce_async(self, tensor: Tensor, name: str) -> Callable[[], None]:
        """Starts to add up a tensor over the workers, in place; returns what waits for it."""
        handle = hvd.allreduce_async_(tensor, op=hvd.Sum, name=name)
        self._count(tensor, name)
        return lambda: hvd.synchronize(handle)

    def all_gather(self, tensor: Tensor, name: str) -> Tensor:
        """The rows of all workers' tensors, by rank."""
        self._count(tensor, name)
        gathered: Tensor = hvd.allgather(tensor, name=name)
        return gathered

    def _count(self, tensor: Tensor, name: str) -> None:
        size = tensor.numel() * tensor.element_size()
        self.bytes_exchanged[name] = self.bytes_exchanged.get(name, 0) + size

    def gather(self, values: list[int]) -> list[list[int]]:
        """The values of each worker, by rank."""
        gathered = hvd.allgather(torch.tensor([values]), name="gather")
        return [[int(value) for value in row] for row in gathered.tolist()]


def run_workers(
    tasks: Mapping[str, TrainingTask],
    wait_for_room: Callable[[], None],
    *,
    may_fail: Collection[str],
    num_workers: int,
    device: str,
    threads_per_worker: int | None,
    pin_workers: bool,
    start_timeout_s: int,
    network_interfaces: list[str],
    max_restarts: int,
    python: str,
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, str]]:
    """Trains models one after the other on `num_workers` Spark tasks of the active session.

    The workers are started once for all models: a start takes as long as many epochs. Each model
    resumes from its last checkpoint, if there is one. When a worker is lost, all start again with
    the models that are not finished; the log says so. Permanent failures are not retried.

    Args:
        tasks: by the model's name, in the order in which they are trained.
        wait_for_room: returns when Spark has a task slot for each worker again, or raises.
        may_fail: names of models that the night can do without: when one fails permanently, the
            others are still trained.
        max_restarts: how many times.
        python: the interpreter on the executors; the driver's may not be there.

    Returns:
        For each model and worker, by rank: `history`, `chosen_epochs`, `bytes_exchanged` by name;
        and why models failed, by name.

    Raises:
        ConfigError, DataError, SchemaError: as a worker reported, with the remedy.
        WorkerError: when the workers failed for another reason, or too often.
    """
    start = partial(
        _start_workers,
        num_workers=num_workers,
        device=device,
        threads_per_worker=threads_per_worker,
        pin_workers=pin_workers,
        start_timeout_s=start_timeout_s,
        network_interfaces=network_interfaces,
        python=python,
    )
    with ExitStack() as watchers:
        for name, task in tasks.items():
            emit = partial(log.info, "train: %s: %s", name)
            done = _announce_checkpoint(task, name, num_workers)
            watchers.enter_context(show_progress(task.model_uri, task.phases, emit, done))
            files.delete(_results_uri(task))
        failed = _train_all(tasks, start, wait_for_room, may_fail, num_workers, max_restarts)
    results = {name: _read_results(task) for name, task in tasks.items() if name not in failed}
    for task in tasks.values():
        files.delete(f"{task.model_uri}/failures")
        files.delete(_results_uri(task))
    return results, failed


def _train_all(
    tasks: Mapping[str, TrainingTask],
    start: Callable[[Sequence[TrainingTask], int], None],
    wait_for_room: Callable[[], None],
    may_fail: Collection[str],
    num_workers: int,
    max_restarts: int,
) -> dict[str, str]:
    """Starts the workers until every model is trained or has failed; why models failed, by name.

    Args:
        start: runs the workers on the models that are left, at the attempt of this number.
    """
    failed: dict[str, str] = {}
    attempt = restarts = 0
    while left := {
        name: task
        for name, task in tasks.items()
        if name not in failed and not _is_trained(task, num_workers)
    }:
        for name, task in left.items() if attempt else ():
            _announce_checkpoint(task, name, num_workers)
        for task in left.values():
            files.delete(_failures(task, attempt).uri)
        try:
            start(list(left.values()), attempt)
            break
        except Exception as error:
            found = _check_failures(left, attempt, may_fail)
            reported = [one for task in left.values() for one in _failures(task, attempt).read()]
            reason = summary(reported, num_workers) or first_line(error)
            if not found and restarts == max_restarts:
                raise WorkerError(_gave_up(restarts, reason)) from error
        failed |= found
        restarts, attempt = restarts + (not found), attempt + 1
        for name, message in found.items():
            log.warning("train: %s failed and is skipped: %s", name, message)
        if not found:
            log.warning(
                "train: the workers failed (%s); restart %d of %d",
                *(reason, restarts, max_restarts),
            )
        wait_for_room()
    return failed


def _start_workers(
    tasks: Sequence[TrainingTask],
    attempt: int,
    *,
    num_workers: int,
    device: str,
    threads_per_worker: int | None,
    pin_workers: bool,
    start_timeout_s: int,
    network_interfaces: list[str],
    python: str,
) -> None:
    """Runs the workers; returns when all have finished, and raises when one is lost or fails."""
    horovod.spark.run(
        _run_worker,
        args=(tasks, device, threads_per_worker, pin_workers, attempt),
        num_proc=num_workers,
        use_gloo=True,
        start_timeout=start_timeout_s,
        nics=network_interfaces or None,
        stdout=LineLogger(log.info),
        stderr=LineLogger(log.warning),
        verbose=0,
        executable=python,
    )


def _check_failures(
    tasks: Mapping[str, TrainingTask], attempt: int, may_fail: Collection[str]
) -> dict[str, str]:
    """Why models failed permanently, by name; raises for a model that must not fail."""
    found = {}
    for name, task in tasks.items():
        try:
            _failures(task, attempt).check(name)
        except (ConfigError, DataError, SchemaError, WorkerError) as error:
            if name not in may_fail:
                raise
            found[name] = str(error)
    return found


def _failures(task: TrainingTask, attempt: int) -> Failures:
    return Failures(f"{task.model_uri}/failures/attempt-{attempt}")


def _results_uri(task: TrainingTask) -> str:
    """A folder with a file of each worker that finished the model: what `train_worker` returned."""
    return f"{task.model_uri}/results"


def _is_trained(task: TrainingTask, num_workers: int) -> bool:
    return len(files.list_names(_results_uri(task))) == num_workers


def _read_results(task: TrainingTask) -> list[dict[str, Any]]:
    uri = _results_uri(task)
    return [files.read_json(f"{uri}/{name}") for name in files.list_names(uri)]


def _gave_up(restarts: int, reason: str) -> str:
    return (
        f"train: the workers failed ({reason}), after {restarts} restarts. Fix the cause; "
        "jobs/train.py resumes from the last checkpoint. training.max_restarts allows more."
    )


def _announce_checkpoint(task: TrainingTask, name: str, num_workers: int) -> int:
    """Logs where training resumes, and which checkpoints are ignored.

    Returns:
        How many records of epochs there are already.
    """
    number, problems = last_checkpoint(task.checkpoints_uri, task.identity)
    for problem in problems:
        log.warning("train: %s: checkpoint %s", name, problem)
    if number is None:
        if problems:
            log.warning("train: %s: no other checkpoint; training starts from the beginning", name)
        return 0
    before = num_workers_of(task.checkpoints_uri, number)
    other = "" if before == num_workers else f" (num_workers was {before}, is {num_workers})"
    log.info("train: %s: resumes from checkpoint %06d%s", name, number, other)
    return number


class LineLogger:
    """A text stream that passes each line of the workers' output to a logger."""

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


def join_workers(threads: int | None, *, pin: bool) -> None:
    """Makes this process one of the workers that Horovod started.

    Args:
        threads: of torch; None: the machine's cores divided among its workers.
        pin: whether the worker stays on its part of the machine's cores.
    """
    os.environ.setdefault("HOROVOD_CYCLE_TIME", str(_CYCLE_TIME_MS))
    rank, size = (int(os.environ[f"HOROVOD_LOCAL_{name}"]) for name in ("RANK", "SIZE"))
    take_share(rank, size, threads, pin=pin)  # before Horovod starts its threads
    keep_freed_memory()
    hvd.init()


def _run_worker(
    tasks: Sequence[TrainingTask], device: str, threads: int | None, pin: bool, attempt: int
) -> None:
    join_workers(threads, pin=pin)
    try:
        for task in tasks:
            _train(task, device, attempt)
    finally:
        hvd.shutdown()


def _train(task: TrainingTask, device: str, attempt: int) -> None:
    """Trains this worker's part of a model, and writes its result for the driver."""
    workers = Horovod()
    with _failures(task, attempt).recorded(workers.worker_rank, HorovodInternalError):
        used = _device(device)
        if used.type == "cuda":
            check_gpu(task, workers.num_workers, torch.cuda.mem_get_info(used)[0])
        result = train_worker(task, workers, used)
        result["bytes_exchanged"] = workers.bytes_exchanged
        files.write_json(f"{_results_uri(task)}/worker-{workers.worker_rank:05d}.json", result)


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
