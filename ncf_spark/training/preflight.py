"""What a worker will need, before executors are asked for it (decision D5)."""

from __future__ import annotations

from collections.abc import Sequence

from ncf_spark.config import ConfigError
from ncf_spark.model.deferred import describe, parameter_bytes
from ncf_spark.model.recommender import Recommender
from ncf_spark.training.batches import BYTES_PER_POSITIVE, is_resident
from ncf_spark.training.loader import PositiveFiles
from ncf_spark.training.positives import rejection_bytes
from ncf_spark.training.shards import UserShards
from ncf_spark.training.task import TrainingTask

# A parameter, its gradient, Adam's two moments, and the copy of the best epoch.
_COPIES_OF_PARAMETERS = 5
# A negative that is kept (sampling.redraw: false): int64 and a mark.
_BYTES_PER_KEPT_NEGATIVE = 9


def positives_of_workers(task: TrainingTask, num_workers: int) -> list[int]:
    """The number of positives of each worker, by the footers of the files of `train`."""
    shards = [PositiveFiles(task.train_uri, [s]).count() for s in range(task.num_shards)]
    return [sum(shards[rank::num_workers]) for rank in range(num_workers)]


def worker_bytes(task: TrainingTask, num_workers: int, num_positives: int) -> dict[str, int]:
    """Bytes that the largest worker holds for the whole training: parameters and positives.

    The model is described, not allocated. What a step needs for a moment comes on top.

    Args:
        num_positives: of the worker with the most.
    """
    rows = UserShards(task.num_users, task.num_shards, 0, num_workers).num_rows
    model = describe(lambda: Recommender(task.architecture, rows))
    # GMF and MLP together are as large as the model that they are joined to.
    copies = _COPIES_OF_PARAMETERS + bool(task.pretraining)
    held = BYTES_PER_POSITIVE * num_positives
    if not is_resident(num_positives, task.resident_bytes):
        held = task.resident_bytes or 0
    if task.max_retries is not None:
        held += rejection_bytes(num_positives, rows, task.architecture.num_items)
    kept = 0 if task.redraw else task.loop.num_negatives
    return {
        "parameters, gradients and optimiser": copies * parameter_bytes(model),
        "positives": held + _BYTES_PER_KEPT_NEGATIVE * kept * num_positives,
    }


def modes_of_workers(task: TrainingTask, positives: Sequence[int]) -> dict[str, int]:
    """How many workers hold their positives in memory, and how many will stream them.

    Args:
        positives: of each worker.

    Raises:
        ConfigError: when positives would be streamed whose negatives are to be kept.
    """
    resident = sum(is_resident(own, task.resident_bytes) for own in positives)
    streaming = len(positives) - resident
    if streaming and not task.redraw:
        needed = BYTES_PER_POSITIVE * max(positives)
        raise ConfigError(
            "sampling.redraw is false, which keeps the negatives of every positive in memory, but "
            f"training.resident_bytes is {task.resident_bytes:,}, and a worker has "
            f"{max(positives):,} positives of {BYTES_PER_POSITIVE} bytes. Set sampling.redraw: "
            f"true, or training.resident_bytes: {needed} or more."
        )
    return {"resident": resident, "streaming": streaming}
