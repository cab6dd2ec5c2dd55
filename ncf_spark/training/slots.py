"""Whether there is room for the Horovod workers, before they are asked for."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from pyspark import SparkContext

from ncf_spark.errors import ConfigError
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.logs import log
from ncf_spark.training.hosts import check_hosts
from ncf_spark.training.models import may_fail

_EXECUTOR_START_S = 60


def check_workers(job: Job) -> None:
    """Raises ConfigError when there are more workers than task slots, or hosts cannot connect.

    All workers must run at once. Without this check Horovod would wait for the missing ones until
    its time-out, or abort.
    """
    context, training = job.spark.sparkContext, job.config.training
    wanted = training.num_workers
    if context.getConf().get("spark.dynamicAllocation.enabled", "false") == "true":
        log.info("train: dynamic allocation is on, so the slots for %d workers are unknown", wanted)
        return
    slots = _wait_for_slots(context, wanted)
    if wanted > slots:
        raise ConfigError(
            f"training.num_workers is {wanted}, but Spark has {slots} task slots "
            f"(master {context.master}). Lower training.num_workers, or give Spark more cores "
            "(local[N], spark.executor.instances, spark.executor.cores)."
        )
    check_hosts(context, slots, training.network_interfaces)


def start_settings(job: Job, models: Iterable[str]) -> dict[str, Any]:
    """How the workers are started: by the configuration, and by the executors' Python.

    Args:
        models: names of what they train.
    """
    return {
        **job.config.training.of_workers,
        "may_fail": [name for name in models if may_fail(job, name)],
        "python": job.spark.sparkContext.pythonExec,
    }


def _wait_for_slots(context: SparkContext, wanted: int) -> int:
    """The task slots there are, once there are enough or the executors had time to start."""
    # What Spark itself asks before a barrier stage; it counts cores, spark.task.cpus and GPUs.
    scala = context._jsc.sc()
    profile = scala.resourceProfileManager().defaultResourceProfile()
    patience_s = 0 if str(context.master).startswith("local[") else _EXECUTOR_START_S
    deadline = time.monotonic() + patience_s
    while (slots := int(scala.maxNumConcurrentTasks(profile))) < wanted:
        if time.monotonic() >= deadline:
            break
        time.sleep(0.5)
    return slots


def check_memory(job: Job, model: str, needed: dict[str, int]) -> None:
    """Raises ConfigError when a worker needs more memory than it may take.

    Args:
        model: its name.
        needed: what for → bytes, of the largest worker.
    """
    total, limit = sum(needed.values()), job.config.training.worker_memory_bytes
    job.note(f"{model}: bytes of the largest worker", needed)
    if limit is not None and total > limit:
        parts = "; ".join(f"{name} {size:,}" for name, size in needed.items())
        raise ConfigError(
            f"training.worker_memory_bytes is {limit:,}, but a worker of {model} needs {total:,} "
            f"bytes ({parts}). Raise training.num_workers or the limit, or lower model.factors and "
            "model.tower; for positives also training.resident_bytes, for step "
            "training.batch_size. The reserve is a quarter of the other parts."
        )
