"""Positives in memory and streamed: each once an epoch, whatever the sizes of buffer and step."""

import itertools
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from petastorm.arrow_reader_worker import ArrowReaderWorker

from ncf_spark.model.store import load_model
from ncf_spark.training.batches import (
    BYTES_PER_POSITIVE,
    Batch,
    Resident,
)
from ncf_spark.training.communicator import SingleWorker
from ncf_spark.training.loader import ROW_GROUPS_READ_AHEAD
from ncf_spark.training.loop import Trainer
from ncf_spark.training.shards import UserShards
from ncf_spark.training.streaming import Streaming, open_positives
from ncf_spark.training.worker import Worker, save_manifest
from tests.model.architectures import build_architecture
from tests.training.simulated import run_workers
from tests.training.tasks import CPU, on_workers
from tests.training.trainers import build_settings

NUM_USERS, NUM_SHARDS, ROWS_PER_GROUP = 40, 4, 10
# Users of shard 0 have 20 positives each, of shard 1 ten, of shard 2 five; shard 3 has none.
PAIRS = [
    (user, item)
    for user in range(NUM_USERS)
    for item in range(0, 60, 3 * 2 ** (user % NUM_SHARDS))
    if user % NUM_SHARDS < 3
]


@pytest.fixture(scope="module")
def train_uri(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("batches") / "train"
    for shard in range(3):
        users, items = zip(*[p for p in PAIRS if p[0] % NUM_SHARDS == shard], strict=True)
        columns = {"user_index": pa.array(users, "int32"), "item_index": pa.array(items, "int32")}
        place = folder / f"shard={shard}" / "part-00000.parquet"
        place.parent.mkdir(parents=True)
        pq.write_table(pa.table(columns), place, row_group_size=ROWS_PER_GROUP)
    return f"file://{folder}"


def shards_of(worker_rank: int = 0, num_workers: int = 1) -> UserShards:
    return UserShards(NUM_USERS, NUM_SHARDS, worker_rank, num_workers)


def opened(uri: str, buffer_rows: int | None, shards: UserShards | None = None):
    limit = None if buffer_rows is None else BYTES_PER_POSITIVE * buffer_rows
    return open_positives(uri, shards or shards_of(), limit, CPU)


def sizes_of(total: int, size: int) -> list[int]:
    return [min(size, total - low) for low in range(0, total, size)]


def pairs_of(batches: Iterator[Batch], shards: UserShards | None = None) -> list[tuple[int, int]]:
    shards = shards or shards_of()
    owned = np.concatenate([shards.users_of(shard) for shard, _ in shards.owned])
    return [
        (int(owned[user]), item)
        for batch in batches
        for user, item in zip(batch.users.tolist(), batch.items.tolist(), strict=True)
    ]


# --- which of the two ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resident_bytes", "expected"),
    [(None, Resident), (350 * 12, Resident), (350 * 12 - 1, Streaming), (1, Streaming)],
)
def test_positives_are_streamed_when_they_do_not_fit(train_uri, resident_bytes, expected):
    assert len(PAIRS) == 350
    positives = open_positives(train_uri, shards_of(), resident_bytes, CPU)
    assert isinstance(positives, expected)
    assert positives.num_positives == 350


# --- each positive once -------------------------------------------------------------------------


@pytest.mark.parametrize("buffer_rows", [None, 349, 64, 7, 1])
@pytest.mark.parametrize("batch_size", [1, 13, 350])
def test_every_positive_is_taken_once_an_epoch(train_uri, buffer_rows, batch_size):
    positives = opened(train_uri, buffer_rows)
    sizes = sizes_of(350, batch_size)
    for seed in (1, 2):
        batches = list(positives.batches(sizes, seed))
        assert [len(batch.users) for batch in batches] == sizes
        assert sorted(pairs_of(batches)) == PAIRS


@settings(max_examples=25)
@given(buffer_rows=st.integers(1, 400), sizes=st.lists(st.integers(0, 60)), seed=st.integers(0))
def test_batches_may_be_of_any_sizes(train_uri, buffer_rows, sizes, seed):
    kept = list(itertools.takewhile(lambda total: total < 350, itertools.accumulate(sizes)))
    sizes = [*sizes[: len(kept)], 350 - (kept[-1] if kept else 0)]
    for rows in (None, buffer_rows):
        batches = list(opened(train_uri, rows).batches(sizes, seed % 2**40))
        assert [len(batch.items) for batch in batches] == sizes
        assert sorted(pairs_of(batches)) == PAIRS


@pytest.mark.parametrize("buffer_rows", [None, 64])
def test_the_order_is_the_seeds(train_uri, buffer_rows):
    positives = opened(train_uri, buffer_rows)
    first, again, other = (pairs_of(positives.batches([350], seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    unmoved = sum(a == b for a, b in zip(first, other, strict=True))
    assert unmoved < 20


def test_the_buffer_holds_other_row_groups_in_every_epoch(train_uri):
    """Not only another order of the same rows."""
    epochs = [opened(train_uri, 64).batches([50, 300], seed) for seed in range(5)]
    users = {frozenset(user for user, _ in pairs_of([next(batches)])) for batches in epochs}
    assert len(users) == 5


@pytest.mark.parametrize("buffer_rows", [None, 64])
def test_rows_are_shuffled_among_each_other(train_uri, buffer_rows):
    """In the order of the files ten in a row are of one user or two, in that of row groups too."""
    batches = opened(train_uri, buffer_rows).batches([10] * 35, seed=3)
    users = [batch.users.unique().numel() for batch in batches]
    assert min(users) > 2
    assert np.mean(users) > 4


def test_a_streamed_batch_has_no_positions_and_a_resident_one_has(train_uri):
    [streamed] = opened(train_uri, 64).batches([350], 1)
    assert streamed.positions is None
    resident = opened(train_uri, None)
    for batch in resident.batches([100, 250], 1):
        assert torch.equal(resident.users[batch.positions].long(), batch.users)
        assert torch.equal(resident.items[batch.positions].long(), batch.items)


@pytest.mark.parametrize("buffer_rows", [None, 64])
def test_indexes_of_a_batch_are_of_64_bits(train_uri, buffer_rows):
    """Or the key of a user and an item would not fit."""
    for batch in opened(train_uri, buffer_rows).batches([0, 350], 1):
        assert (batch.users.dtype, batch.items.dtype) == (torch.int64, torch.int64)


@pytest.mark.parametrize("buffer_rows", [None, 64])
def test_all_rows_can_be_looked_through(train_uri, buffer_rows):
    rows = list(opened(train_uri, buffer_rows).rows())
    assert {column.dtype for part in rows for column in part} == {torch.int32}
    found = pairs_of(Batch(users, items, None) for users, items in rows)
    assert sorted(found) == PAIRS


@pytest.mark.parametrize("buffer_rows", [None, 64])
def test_a_worker_without_positives_has_empty_batches(train_uri, buffer_rows):
    positives = opened(train_uri, buffer_rows, shards_of(3, 4))
    assert positives.num_positives == 0
    assert [len(b.users) for b in positives.batches([0, 0], 1)] == [0, 0]


# --- memory -------------------------------------------------------------------------------------


@pytest.fixture
def rows_read(monkeypatch) -> Counter:
    """How many rows were read from files so far."""
    count: Counter = Counter()
    original = ArrowReaderWorker._load_rows

    def counted(self: ArrowReaderWorker, *args: object) -> pa.Table:
        table = original(self, *args)
        count["rows"] += len(table)
        return table

    monkeypatch.setattr(ArrowReaderWorker, "_load_rows", counted)
    return count


@pytest.mark.parametrize("buffer_rows", [100, 40, 10, 3])
@pytest.mark.parametrize("batch_size", [7, 50])
def test_no_more_rows_are_held_than_the_buffer_and_few_row_groups(
    train_uri, rows_read, buffer_rows, batch_size
):
    """One row group that did not fit, those that wait, the one that is being read, and a step."""
    held, taken = [], 0
    for batch in opened(train_uri, buffer_rows).batches(sizes_of(350, batch_size), seed=4):
        time.sleep(0.01)  # who reads ahead may do so
        held.append(rows_read["rows"] - taken)
        taken += len(batch.users)
    assert rows_read["rows"] == taken == 350
    row_groups = ROW_GROUPS_READ_AHEAD + 2
    assert max(held) <= buffer_rows + row_groups * ROWS_PER_GROUP + batch_size
    assert max(held) >= min(buffer_rows, 88)


def test_the_buffer_is_filled_evenly(train_uri):
    """350 positives through room for 300 are 175 and 175: the last buffer is no small rest."""
    streaming = opened(train_uri, 300)
    filled = [len(order) for _, order in streaming._buffers(seed=1)]
    assert filled == [175, 175]


# --- in training --------------------------------------------------------------------------------


def streamed(task, positives: int = 5):
    return replace(task, resident_bytes=BYTES_PER_POSITIVE * positives)


@pytest.mark.parametrize("num_workers", [1, 2, 3])
def test_workers_of_unequal_shares_take_the_same_steps(learnable, num_workers):
    """Worker 0 streams its 350, 250 or 200 positives; the others' 100, or 100 and 50, fit."""
    task = streamed(learnable, 110)
    taken: list[list[tuple[int, int]]] = []

    def epochs(communicator) -> tuple[list[int], str]:
        worker = Worker(task, communicator, CPU)
        model = worker.build(task.architecture)
        trainer = Trainer(model, worker.sampler, worker.positives, task.loop, communicator)
        steps = []
        for epoch in (1, 2):
            samples = [samples for samples, _ in trainer.steps(epoch)]
            steps.append(len(samples))
            batches = (Batch(s.users, s.items[0], None) for s in samples)
            taken.append(pairs_of(batches, worker.shards))
        return steps, worker.positives.mode

    results = run_workers(num_workers, epochs)
    assert {tuple(steps) for steps, _ in results} == {tuple(results[0][0])}
    both = Counter(pair for pairs in taken for pair in pairs)
    assert both == Counter(dict.fromkeys(PAIRS, 2))
    assert [mode for _, mode in results] == ["streaming", "resident", "resident"][:num_workers]


@pytest.fixture
def learnable(task, train_uri, tmp_path):
    """A task on the pairs above, whose users like every third, sixth or twelfth item."""
    (tmp_path / "all_items").mkdir()
    columns = {"item_index": pa.array(range(60), "int32"), "uniform": [1 / 60] * 60}
    pq.write_table(pa.table(columns), tmp_path / "all_items" / "part-00000.parquet")
    return replace(
        task,
        train_uri=train_uri,
        validation_uri=None,
        activity_uri=f"file://{tmp_path}/all_items",
        num_users=NUM_USERS,
        architecture=build_architecture("gmf", 60, factors=4),
        loop=build_settings(epochs=20, batch_size=25, learning_rate=0.05),
    )


@pytest.mark.parametrize("num_workers", [1, 2])
@pytest.mark.parametrize("user_balance", [0.0, 0.5])
def test_streaming_trains_as_well_as_memory_does(learnable, num_workers, user_balance):
    task = replace(learnable, loop=replace(learnable.loop, user_balance=user_balance))
    losses = {}
    for name, of_mode in {"resident": task, "streaming": streamed(task, 60)}.items():
        results = on_workers(of_mode, num_workers)
        assert {worker["positives"]["mode"] for worker in results} == {name}
        assert {record["samples"] for record in results[0]["history"]} == {350 * 4}
        losses[name] = [record["loss"] for record in results[0]["history"]]
    first, last = losses["resident"][0], losses["resident"][-1]
    assert last < 0.7 * first
    assert losses["streaming"][-1] == pytest.approx(last, abs=0.1 * (first - last))
    assert losses["streaming"] != losses["resident"]


def test_the_weights_of_users_are_the_same_in_both_modes(learnable):
    weights = []
    for resident_bytes in (None, 12):
        loop = replace(learnable.loop, user_balance=0.5)
        worker = Worker(replace(learnable, resident_bytes=resident_bytes), SingleWorker(), CPU)
        model = worker.build(learnable.architecture)
        trainer = Trainer(model, worker.sampler, worker.positives, loop, SingleWorker())
        weights.append(trainer.user_weights.tolist())
    assert weights[0] == weights[1]
    assert len(set(weights[0])) == 4  # of 20, 10, 5 or no positives


def test_the_manifest_tells_how_each_worker_held_its_positives(task):
    # Of 18 positives worker 0 of 2 has 10, of the users 0, 2, 4, 6 and 8.
    task = streamed(task, 9)
    save_manifest(task, on_workers(task, 2))
    assert load_model(task.model_uri).manifest["positives"] == [
        {"mode": "streaming", "num_positives": 10},
        {"mode": "resident", "num_positives": 8},
    ]
