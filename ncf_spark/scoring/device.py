"""Where a task computes its scores."""

from __future__ import annotations

import logging

import torch
from pyspark import TaskContext

log = logging.getLogger("ncf_spark")


def task_device() -> torch.device:
    """The GPU that Spark gave to this task, else the CPU, of which torch then uses one core.

    Spark runs as many Python workers as there are cores.
    """
    context = TaskContext.get()
    gpus = context.resources().get("gpu") if context else None
    if gpus and torch.cuda.is_available():
        return torch.device("cuda", int(gpus.addresses[0]))
    if gpus:
        log.warning("Spark gave this task a GPU that torch cannot use: the CPU scores")
    torch.set_num_threads(1)
    return torch.device("cpu")
