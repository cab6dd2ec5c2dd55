"""What a worker will need, before executors are asked for it (decision D5)."""

from __future__ import annotations

from ncf_spark.model.deferred import describe, parameter_bytes
from ncf_spark.model.recommender import Recommender
from ncf_spark.training.shards import UserShards
from ncf_spark.training.worker import TrainingTask

# A parameter, its gradient and Adam's two moments.
_COPIES_OF_PARAMETERS = 4
# A positive's user row, item and rejection key, each int64.
_BYTES_PER_POSITIVE = 24


def worker_bytes(task: TrainingTask, num_workers: int, num_positives: int) -> dict[str, int]:
    """Bytes that the largest worker holds for the whole training: parameters and positives.

    The model is described, not allocated. What a step needs for a moment comes on top.

    Args:
        num_positives: of all workers; shards are taken to be of equal size.
    """
    rows = UserShards(task.num_users, task.num_shards, 0, num_workers).num_rows
    model = describe(lambda: Recommender(task.architecture, rows))
    share = -(-num_positives * rows // max(1, task.num_users))
    return {
        "parameters, gradients and optimiser": _COPIES_OF_PARAMETERS * parameter_bytes(model),
        "positives": _BYTES_PER_POSITIVE * share,
    }
