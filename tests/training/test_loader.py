import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ncf_spark.training.loader import read_positives

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


def pairs_of(positives: tuple[np.ndarray, np.ndarray]) -> list[tuple[int, int]]:
    return list(zip(*(column.tolist() for column in positives), strict=True))


def test_each_row_of_the_shards_is_read_once(train_uri):
    assert sorted(pairs_of(read_positives(train_uri, [0, 1]))) == sorted(PAIRS[0] + PAIRS[1])
    assert pairs_of(read_positives(train_uri, [3])) == [(3, 0)]


def test_rows_come_in_the_order_they_were_written_every_time(train_uri):
    assert pairs_of(read_positives(train_uri, [0])) == PAIRS[0]
    first, again = (pairs_of(read_positives(train_uri, [0, 1, 3])) for _ in range(2))
    assert first == again


def test_indexes_are_of_32_bits(train_uri):
    users, items = read_positives(train_uri, [0, 3])
    assert (users.dtype, items.dtype) == (np.int32, np.int32)


@pytest.mark.parametrize("shards", [[2], []])
def test_a_shard_without_a_folder_gives_nothing(train_uri, shards):
    users, items = read_positives(train_uri, shards)
    assert (users.shape, users.dtype) == ((0,), np.int32)
    assert (items.shape, items.dtype) == ((0,), np.int32)


def test_what_spark_writes_is_read(spark, tmp_path):
    pairs = [(user, item) for user in range(30) for item in range(user % 5, 9, 2)]
    positives = spark.createDataFrame(pairs, "user_index int, item_index int").repartition(3)
    positives.selectExpr("*", "user_index % 12 as shard").write.partitionBy("shard").parquet(
        f"file://{tmp_path}/train"
    )
    # Twelve shards, so that shard=10 stands before shard=2 by name.
    found = [pairs_of(read_positives(f"file://{tmp_path}/train", [s])) for s in range(12)]
    assert [{user % 12 for user, _ in shard} for shard in found] == [{s} for s in range(12)]
    assert sorted(pair for shard in found for pair in shard) == pairs
    at_once = pairs_of(read_positives(f"file://{tmp_path}/train", range(12)))
    assert sorted(at_once) == pairs
