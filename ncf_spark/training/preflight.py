"""What a worker will need, before executors are asked for it (decision D5).

Counted is what a worker holds beyond the interpreter with its libraries, which take about 0.4 GB:
tensors, and what is copied of them in passing. The model is described, not allocated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ncf_spark.errors import ConfigError
from ncf_spark.model.deferred import describe, parameter_bytes
from ncf_spark.model.recommender import Recommender
from ncf_spark.storage import arrays
from ncf_spark.training.batches import BYTES_PER_POSITIVE, is_resident
from ncf_spark.training.gradients import are_few
from ncf_spark.training.loader import PositiveFiles
from ncf_spark.training.loop import SLICE_BYTES, LoopSettings
from ncf_spark.training.positives import rejection_bytes
from ncf_spark.training.shards import UserShards
from ncf_spark.training.task import TrainingTask

# A negative that is kept (sampling.redraw: false): int64 and a mark.
_BYTES_PER_KEPT_NEGATIVE = 9
# Of an item: its threshold and alias; and the lists of Python numbers that these are made of.
_BYTES_PER_ALIAS, _BYTES_PER_ALIAS_IN_PASSING = 16, 130
# Of a rival of a validation item, int64; and how it was read.
_BYTES_PER_RIVAL, _BYTES_PER_RIVAL_IN_PASSING = 8, 28
# Of a drawn item of a step: int64 items and their owners, the places they were drawn from, keys.
_BYTES_PER_DRAW = 40
# Row groups on their way through petastorm, and what its pool of memory keeps of them.
_BYTES_OF_ROW_GROUPS = 2**25
# How often a table of vectors is there while it is written as Parquet, or put into a checkpoint.
_COPIES_IN_PARQUET, _COPIES_IN_CHECKPOINT = 5, 2


@dataclass(frozen=True)
class _Phase:
    """A model while it is trained: one of the pretraining's halves, or the one that is stored.

    Args:
        users, shared: bytes of the users' vectors, and of all other parameters.
        shard: bytes of the largest shard's users' vectors.
        vector: bytes of one vector.
        pair: bytes of a pair in all layers.
        widest: bytes of a pair in the widest layer.
        held: bytes of the pretraining's halves that are trained already.
    """

    loop: LoopSettings
    users: int
    shared: int
    shard: int
    vector: int
    pair: int
    widest: int
    held: int

    @property
    def parameters(self) -> int:
        return self.users + self.shared

    @property
    def moments(self) -> int:
        """Of the optimiser, for each parameter."""
        return 0 if self.loop.optimiser == "sgd" else 2


def positives_of_workers(task: TrainingTask, num_workers: int) -> list[int]:
    """The number of positives of each worker, by the footers of the files of `train`."""
    shards = [PositiveFiles(task.train_uri, [s]).count() for s in range(task.num_shards)]
    return [sum(shards[rank::num_workers]) for rank in range(num_workers)]


def worker_bytes(
    task: TrainingTask, num_workers: int, num_positives: int, *, on_gpu: bool = False
) -> dict[str, int]:
    """What for → bytes, of the largest worker when it holds most.

    Args:
        num_positives: of the worker with the most.
        on_gpu: in the GPU's memory, rather than in the host's where there is no GPU.
    """
    judged = _rivals(task, num_workers)
    data = _data(task, num_workers, num_positives, judged, on_gpu)
    moments = [] if on_gpu else [data | _while_loading(task, num_positives, judged)]
    if not on_gpu and task.start is not None:
        moments.append(data | _while_starting(task, num_workers))
    held = 0
    for kind, loop in {**task.pretraining, task.architecture.kind: task.loop}.items():
        phase = _phase(task, kind, loop, num_workers, held if kind in task.pretraining else 0)
        moments.append(data | _while_training(task, phase, num_workers, num_positives, on_gpu))
        held += 2 * phase.parameters  # with their gradients
    if not on_gpu:
        moments.append(data | _while_saving(phase))
    return max(moments, key=lambda parts: sum(parts.values()))


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


def _phase(
    task: TrainingTask, kind: str, loop: LoopSettings, num_workers: int, held: int
) -> _Phase:
    rows = UserShards(task.num_users, task.num_shards, 0, num_workers).num_rows
    model = describe(lambda: Recommender(replace(task.architecture, kind=kind), rows))
    tower = task.architecture.tower[1:] if kind in ("mlp", "neumf") else ()
    vector = 4 * model.head.width
    return _Phase(
        loop=loop,
        users=vector * rows,
        shared=parameter_bytes(model) - vector * rows,
        shard=vector * -(-task.num_users // task.num_shards),
        vector=vector,
        pair=vector + 4 * sum(tower),
        widest=4 * model.head.widest,
        held=held,
    )


def _data(
    task: TrainingTask, num_workers: int, positives: int, judged: int, on_gpu: bool
) -> dict[str, int]:
    """What stays for the whole training."""
    rows = UserShards(task.num_users, task.num_shards, 0, num_workers).num_rows
    held = BYTES_PER_POSITIVE * positives
    if not is_resident(positives, task.resident_bytes):
        held = 0 if on_gpu else task.resident_bytes or 0
    sampler = _BYTES_PER_ALIAS * task.architecture.num_items
    if task.max_retries is not None:
        sampler += rejection_bytes(positives, rows, task.architecture.num_items)
    if not task.redraw:
        sampler += _BYTES_PER_KEPT_NEGATIVE * task.loop.num_negatives * positives
    return {
        "positives": held,
        "sampler": sampler,
        "validation items": _BYTES_PER_RIVAL * judged,
        "row groups": 0 if on_gpu else _BYTES_OF_ROW_GROUPS,
    }


def _while_loading(task: TrainingTask, positives: int, judged: int) -> dict[str, int]:
    """What is made of the tables in passing, before the model is there."""
    copies = [
        _BYTES_PER_ALIAS_IN_PASSING * task.architecture.num_items,
        _BYTES_PER_RIVAL_IN_PASSING * judged,
    ]
    if not task.redraw:
        copies.append((8 * task.loop.num_negatives - 4) * positives)
    return {"copies": max(copies)}


def _while_starting(task: TrainingTask, num_workers: int) -> dict[str, int]:
    """The model, and a table of the one it begins with as it is read: as it was when written."""
    assert task.start is not None
    phase = _phase(task, task.architecture.kind, task.loop, num_workers, 0)
    shard = phase.vector * -(-task.start.num_users // task.start.num_shards)
    return {
        "parameters": phase.parameters,
        "copies": _COPIES_IN_PARQUET * max(shard, phase.shared),
    }


def _while_training(
    task: TrainingTask, phase: _Phase, num_workers: int, positives: int, on_gpu: bool
) -> dict[str, int]:
    """What a phase holds beside the data."""
    batch = min(phase.loop.batch_size, positives)
    drawn = batch * (1 + phase.loop.num_negatives)
    lazy = phase.loop.optimiser == "lazy_adam"
    few = are_few(drawn * num_workers, task.architecture.num_items)
    gradients = phase.parameters
    if lazy:  # of the users of a step alone: as they came in, and joined
        gradients += 2 * (phase.vector + 8) * batch - phase.users
    if lazy and few:
        gradients += (1 + num_workers) * (phase.vector + 8) * drawn
        gradients -= phase.vector * task.architecture.num_items
    best = 0 if task.validation_uri is None else phase.parameters
    step = activation_bytes(phase, task.architecture.num_items, batch, on_gpu)
    if lazy:
        step += 5 * phase.vector * (min(drawn * num_workers, task.architecture.num_items) + batch)
    return {
        "parameters": phase.parameters,
        "gradients": gradients,
        "optimiser": phase.moments * phase.parameters,
        "best epoch": best,
        "pretrained halves": phase.held,
        # These come one after the other: a step, the copy of a better epoch, a checkpoint.
        "copies": max(step, best, 0 if on_gpu else _checkpoint_bytes(task, phase, bool(best))),
    }


def activation_bytes(phase: _Phase, num_items: int, batch: int, on_gpu: bool) -> int:
    """What a step holds for a moment: what it draws, and a slice of pairs in all layers.

    Args:
        batch: positives of the step.
    """
    width = 1 + phase.loop.num_negatives
    drawn = pairs = batch * width
    if not on_gpu:  # as Trainer._slices cuts a step: the widest layer fits the cache of a core
        pairs = min(pairs, max(width, SLICE_BYTES // phase.widest))
    # Forward, its gradient, and one more on the way; all items are encoded where they are fewer.
    items = 4 * phase.vector * num_items if drawn >= num_items else 0
    return _BYTES_PER_DRAW * drawn + 3 * phase.pair * pairs + items


def _checkpoint_bytes(task: TrainingTask, phase: _Phase, best: bool) -> int:
    """The largest file of a checkpoint, as it is put together and as it is written."""
    if task.checkpoint_epochs is None and task.checkpoint_minutes is None:
        return 0
    slots = 1 + phase.moments + best
    largest = slots * max(phase.shard, phase.shared) + phase.held // 2
    return _COPIES_IN_CHECKPOINT * largest


def _while_saving(phase: _Phase) -> dict[str, int]:
    """The model at its end; the optimiser and the best epoch's copy are gone."""
    return {
        "parameters": phase.parameters,
        "gradients": phase.parameters,
        "copies": _COPIES_IN_PARQUET * max(phase.shard, phase.shared),
    }


def _rivals(task: TrainingTask, num_workers: int) -> int:
    """Items to rank against, of the worker with the most, by the footers of the files."""
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
