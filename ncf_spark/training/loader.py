"""`train` → arrays; the only importer of petastorm."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from petastorm import make_batch_reader
from petastorm.reader import Reader

from ncf_spark.storage import files


def read_positives(train_uri: str, shards: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """(user_index, item_index), each (M,) int32, of some shards in the order they were written.

    Read in one thread, so that the order is the same every time.

    Args:
        train_uri: the table, laid out in `shard=…` folders.
        shards: the shards to read; one without positives has no folder.
    """
    parts = [
        part
        for shard in shards
        for part in files.list_files(f"{train_uri}/shard={shard}", ".parquet")
    ]
    users, items = [np.empty(0, np.int32)], [np.empty(0, np.int32)]
    if parts:
        with warnings.catch_warnings():
            # petastorm calls pyarrow by names that pyarrow 14 still has but warns of.
            warnings.simplefilter("ignore", FutureWarning)
            with _reader(parts) as reader:
                for batch in reader:
                    users.append(batch.user_index)
                    items.append(batch.item_index)
    return np.concatenate(users), np.concatenate(items)


def _reader(parts: list[str]) -> Reader:
    return make_batch_reader(
        parts,
        schema_fields=["user_index", "item_index"],
        reader_pool_type="dummy",
        shuffle_row_groups=False,
        hdfs_driver="libhdfs",
    )
