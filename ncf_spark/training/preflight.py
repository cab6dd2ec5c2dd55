"""What a worker will need, before executors are asked for it (decision D5)."""

from __future__ import annotations

from ncf_spark.model.deferred import describe, parameter_bytes
from ncf_spark.model.recommender import Recommender
from ncf_spark.training.positives import mark_bits
from ncf_spark.training.shards import UserShards
from ncf_spark.training.task import TrainingTask

# A parameter, its gradient, Adam's two moments, and the copy of the best epoch.
_COPIES_OF_PARAMETERS = 5
# A positive's user row, item and rejection key, each int64.
_BYTES_PER_POSITIVE = 24
# A negative that is kept (sampling.redraw: false): int64 and a mark.
_BYTES_PER_KEPT_NEGATIVE = 9


def worker_bytes(task: TrainingTask, num_workers: int, num_positives: int) -> dict[str, int]:
    """Bytes that the largest worker holds for the whole training: parameters and positives.

    The model is described, not allocated. What a step needs for a moment comes on top.

    Args:
        num_positives: of all workers; shards are taken to be of equal size.
    """
    rows = UserShards(task.num_users, task.num_shards, 0, num_workers).num_rows
    model = describe(lambda: Recommender(task.architecture, rows))
    share = -(-num_positives * rows // max(1, task.num_users))
    # GMF and MLP together are as large as the model that they are joined to.
    copies = _COPIES_OF_PARAMETERS + bool(task.pretraining)
    kept = 0 if task.redraw else task.loop.num_negatives
    return {
        "parameters, gradients and optimiser": copies * parameter_bytes(model),
        "positives": (_BYTES_PER_POSITIVE + _BYTES_PER_KEPT_NEGATIVE * kept) * share
        + 2 ** mark_bits(share),
    }
