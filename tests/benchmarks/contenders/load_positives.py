"""Reads `train` into tensors, for each line `read`; the way to do so is an argument.

`resident`: all positives into memory, as a worker does once. `streaming`: an epoch of shuffled
batches through a buffer a tenth as large. `pyarrow`: all columns by a plain pyarrow dataset, in the
order of the files, without a worker's table rows.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import pyarrow.dataset as ds
import torch

from ncf_spark.training.batches import BYTES_PER_POSITIVE, Resident
from ncf_spark.training.shards import UserShards
from ncf_spark.training.streaming import Streaming, open_positives

CPU = torch.device("cpu")


def resident(uri: str, shards: UserShards, num_rows: int, batch_size: int) -> int:
    """The rows that were read."""
    positives = open_positives(uri, shards, None, CPU)
    assert isinstance(positives, Resident)
    return len(positives.users)


def streaming(uri: str, shards: UserShards, num_rows: int, batch_size: int) -> int:
    """The rows of the epoch's batches."""
    positives = open_positives(uri, shards, BYTES_PER_POSITIVE * num_rows // 10, CPU)
    assert isinstance(positives, Streaming)
    sizes = [min(batch_size, num_rows - low) for low in range(0, num_rows, batch_size)]
    return sum(len(batch.users) for batch in positives.batches(sizes, time.monotonic_ns()))


def pyarrow(uri: str, shards: UserShards, num_rows: int, batch_size: int) -> int:
    """The rows that were read."""
    table = ds.dataset(uri.removeprefix("file://"), format="parquet", partitioning="hive").to_table(
        columns=["user_index", "item_index"]
    )
    users, items = (torch.tensor(table.column(name).to_numpy()) for name in table.column_names)
    assert len(users) == len(items)
    return len(users)


WAYS: dict[str, Callable[[str, UserShards, int, int], int]] = {
    "resident": resident,
    "streaming": streaming,
    "pyarrow": pyarrow,
}


def main(way: str, uri: str, num_rows: int, num_users: int, num_shards: int, batch: int) -> None:
    """Answers the requests on standard input."""
    torch.set_num_threads(1)
    shards = UserShards(num_users, num_shards, 0, 1)
    for _ in sys.stdin:
        started = time.perf_counter()
        taken = WAYS[way](uri, shards, num_rows, batch)
        seconds = time.perf_counter() - started
        assert taken == num_rows
        print(json.dumps({"rows_per_second": taken / seconds}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
