import threading
import warnings
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ncf_spark.training.loader import PositiveFiles

# Shard 0 is written in two files, the first in two row groups.
PAIRS = {0: [(0, 7), (4, 1), (0, 2)], 1: [(1, 7), (5, 3)], 3: [(3, 0)]}


def table(pairs: list[tuple[int, int]]) -> pa.Table:
    users, items = zip(*pairs, strict=True)
    return pa.table(
        {"user_index": pa.array(users, "int32"), "item_index": pa.array(items, "int32")}
    )


@pytest.fixture(params=["train", "my shop/train"])
def train_uri(request, tmp_path):
    folder = tmp_path / request.param
    for shard, pairs in PAIRS.items():
        (folder / f"shard={shard}").mkdir(parents=True)
        for part, low in enumerate(range(0, len(pairs), 2)):
            place = folder / f"shard={shard}" / f"part-{part:05d}.parquet"
            pq.write_table(table(pairs[low : low + 2]), place, row_group_size=1)
    (folder / "_SUCCESS").touch()
    return f"file://{folder}"


def read_pairs(uri: str, shards: Sequence[int], seed: int | None = None) -> list[tuple[int, int]]:
    chunks = PositiveFiles(uri, shards).read(seed)
    return [pair for users, items in chunks for pair in zip(users, items, strict=True)]


def test_each_row_of_the_shards_is_read_once(train_uri):
    assert sorted(read_pairs(train_uri, [0, 1])) == sorted(PAIRS[0] + PAIRS[1])
    assert read_pairs(train_uri, [3]) == [(3, 0)]


def test_rows_come_in_the_order_they_were_written_every_time(train_uri):
    assert read_pairs(train_uri, [0]) == PAIRS[0]
    first, again = (read_pairs(train_uri, [0, 1, 3]) for _ in range(2))
    assert first == again


def test_a_seed_decides_the_order_of_the_row_groups(train_uri):
    orders = [tuple(read_pairs(train_uri, [0, 1, 3], seed)) for seed in range(20)]
    again = [tuple(read_pairs(train_uri, [0, 1, 3], seed)) for seed in range(20)]
    assert orders == again
    assert len(set(orders)) > 10
    assert {tuple(sorted(order)) for order in orders} == {
        tuple(sorted(pair for pairs in PAIRS.values() for pair in pairs))
    }


@pytest.mark.parametrize("seed", [0, 2**32, 2**63 - 1])
def test_any_seed_will_do(train_uri, seed):
    assert sorted(read_pairs(train_uri, [1], seed)) == sorted(PAIRS[1])


def test_indexes_are_of_32_bits(train_uri):
    types = {column.dtype for rows in PositiveFiles(train_uri, [0, 3]).read() for column in rows}
    assert types == {np.dtype(np.int32)}


@pytest.mark.parametrize(("shards", "expected"), [([0], 3), ([0, 1, 2, 3], 6), ([2], 0), ([], 0)])
def test_positives_are_counted_without_being_read(train_uri, shards, expected, monkeypatch):
    monkeypatch.delattr("ncf_spark.training.loader.make_batch_reader")
    assert PositiveFiles(train_uri, shards).count() == expected


@pytest.mark.parametrize("shards", [[2], []])
@pytest.mark.parametrize("seed", [None, 1])
def test_a_shard_without_a_folder_gives_nothing(train_uri, shards, seed):
    assert read_pairs(train_uri, shards, seed) == []


def test_libraries_that_will_not_change_do_not_fill_the_log(train_uri):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_pairs(train_uri, [0, 1])
    assert [w.message for w in caught if issubclass(w.category, FutureWarning)] == []


def test_no_thread_goes_on_reading_once_nobody_takes_rows(train_uri):
    before = threading.active_count()
    rows = PositiveFiles(train_uri, [0, 1]).read()
    next(rows)
    assert threading.active_count() > before
    rows.close()
    assert threading.active_count() == before


def test_what_spark_writes_is_read(spark, tmp_path):
    pairs = [(user, item) for user in range(30) for item in range(user % 5, 9, 2)]
    positives = spark.createDataFrame(pairs, "user_index int, item_index int").repartition(3)
    positives.selectExpr("*", "user_index % 12 as shard").write.partitionBy("shard").parquet(
        f"file://{tmp_path}/train"
    )
    # Twelve shards, so that shard=10 stands before shard=2 by name.
    found = [read_pairs(f"file://{tmp_path}/train", [s]) for s in range(12)]
    assert [{user % 12 for user, _ in shard} for shard in found] == [{s} for s in range(12)]
    assert sorted(pair for shard in found for pair in shard) == pairs
    at_once = read_pairs(f"file://{tmp_path}/train", range(12))
    assert sorted(at_once) == pairs
