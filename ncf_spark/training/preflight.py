"""How much memory a worker will need, before executors are asked for it.

An estimate of what the tensors take, times a safety factor. The interpreter and its libraries come
on top: about 0.4 GB.
"""

from __future__ import annotations

from collections.abc import Sequence

from ncf_spark.errors import ConfigError
from ncf_spark.model.deferred import describe, parameter_bytes
from ncf_spark.model.recommender import Recommender
from ncf_spark.storage import arrays
from ncf_spark.training.batches import BYTES_PER_POSITIVE, is_resident
from ncf_spark.training.loader import PositiveFiles
from ncf_spark.training.positives import rejection_bytes
from ncf_spark.training.shards import UserShards
from ncf_spark.training.task import TrainingTask

# For all that is not counted, such as copies while tables are read and the model is written.
# tests/training/measured_memory.py compares the estimate with real peaks.
SAFETY_FACTOR = 1.25

# Row groups that are read ahead.
_BYTES_OF_ROW_GROUPS = 2**25

# A negative that is kept (sampling.redraw: false): int64, a mark, and a copy while they are drawn.
_BYTES_PER_KEPT_NEGATIVE = 17
# Threshold and alias of an item, and its numbers as Python floats while the table is built.
_BYTES_PER_ALIAS = 146
# An item to rank a validation item against, int64, and how it was read.
_BYTES_PER_NEGATIVE_TO_RANK = 36
# A drawn item of a step: int64 items and their users, random numbers, keys.
_BYTES_PER_DRAW = 40


def positives_of_workers(task: TrainingTask, num_workers: int) -> list[int]:
    """The number of positives of each worker, by the footers of the files of `train`."""
    shards = [PositiveFiles(task.train_uri, [s]).count() for s in range(task.num_shards)]
    return [sum(shards[rank::num_workers]) for rank in range(num_workers)]


def worker_bytes(
    task: TrainingTask, num_workers: int, num_positives: int, *, on_gpu: bool = False
) -> dict[str, int]:
    """Part → bytes, of the largest worker; they add up to the estimate.

    Args:
        num_positives: of the worker with the most.
        on_gpu: in the GPU's memory, rather than in the host's where there is no GPU.
    """
    architecture, loop = task.architecture, task.loop
    rows = UserShards(task.num_users, task.num_shards, 0, num_workers).num_rows
    model = describe(lambda: Recommender(architecture, rows))
    parameters = parameter_bytes(model)
    vector = 4 * model.head.width
    # Adam's moments, and the copy of the best epoch; with them, the gradients.
    kept = 0 if loop.optimiser == "sgd" and not task.pretraining else 2
    kept += task.validation_uri is not None
    is_lazy = loop.optimiser == "lazy_adam"
    gradients = parameters - vector * rows if is_lazy else parameters
    # The largest file of a checkpoint, as it is put together and as it is written.
    has_checkpoints = task.checkpoint_epochs is not None or task.checkpoint_minutes is not None
    shard = vector * -(-task.num_users // task.num_shards)
    largest = max(shard, parameters - vector * rows) if has_checkpoints and not on_gpu else 0
    positives = BYTES_PER_POSITIVE * num_positives
    if not is_resident(num_positives, task.resident_bytes):
        positives = 0 if on_gpu else task.resident_bytes or 0
    sampler = _BYTES_PER_ALIAS * architecture.num_items
    if task.max_retries is not None:
        sampler += rejection_bytes(num_positives, rows, architecture.num_items)
    if not task.redraw:
        sampler += _BYTES_PER_KEPT_NEGATIVE * loop.num_negatives * num_positives
    drawn = min(loop.batch_size, num_positives) * (1 + loop.num_negatives)
    per_draw = _BYTES_PER_DRAW
    if on_gpu:  # a pair in all layers, forward, its gradient and one more on the way
        tower = architecture.tower[1:] if architecture.kind in ("mlp", "neumf") else ()
        per_draw += 3 * (vector + 4 * sum(tower))
    elif is_lazy:  # rows of all workers
        per_draw += num_workers * vector
    parts = {
        "parameters": parameters,
        "optimiser": gradients + kept * parameters,
        "checkpoint": 2 * (1 + kept) * largest,
        "positives": positives + (0 if on_gpu else _BYTES_OF_ROW_GROUPS),
        "sampler": sampler,
        "validation items": _BYTES_PER_NEGATIVE_TO_RANK * _negatives_to_rank(task, num_workers),
        # What is drawn; the vectors of items, and their gradients.
        "step": per_draw * drawn + 2 * vector * min(drawn, architecture.num_items),
    }
    return {**parts, "reserve": round((SAFETY_FACTOR - 1) * sum(parts.values()))}


def check_gpu(task: TrainingTask, num_workers: int, free: int) -> None:
    """Raises ConfigError when a worker needs more memory than its GPU has left.

    The driver cannot see the executors' GPUs, so each worker looks before it allocates anything.

    Args:
        free: bytes.
    """
    positives = max(positives_of_workers(task, num_workers))
    needed = worker_bytes(task, num_workers, positives, on_gpu=True)
    if sum(needed.values()) > free:
        parts = "; ".join(f"{name} {size:,}" for name, size in needed.items())
        raise ConfigError(
            f"a worker needs {sum(needed.values()):,} bytes of its GPU ({parts}), which has "
            f"{free:,} left. Raise training.num_workers, lower training.batch_size, model.factors "
            "and model.tower, set training.optimiser: sgd, or training.device: cpu."
        )


def _negatives_to_rank(task: TrainingTask, num_workers: int) -> int:
    """Those of the worker with the most, by the footers of the files of `validation`."""
    if task.validation_uri is None:
        return 0
    shards = [
        sum(
            arrays.count_values(part, "negatives")
            for part in PositiveFiles(task.validation_uri, [shard]).uris
        )
        for shard in range(task.num_shards)
    ]
    return max(sum(shards[rank::num_workers]) for rank in range(num_workers))


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
