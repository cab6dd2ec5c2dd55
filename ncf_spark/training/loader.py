"""`train` → arrays; the only importer of petastorm."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from petastorm import make_batch_reader

from ncf_spark.storage import arrays, files
from ncf_spark.storage.legacy import for_petastorm

# Row groups that wait for whoever takes them; one more is being read meanwhile.
ROW_GROUPS_READ_AHEAD = 2


class PositiveFiles:
    """The files of some shards of `train`.

    Args:
        train_uri: the table, laid out in `shard=…` folders.
        shards: the shards to read; one without positives has no folder.
    """

    def __init__(self, train_uri: str, shards: Sequence[int]) -> None:
        self.uris = [
            part
            for shard in shards
            for part in files.list_files(f"{train_uri}/shard={shard}", ".parquet")
        ]

    def count(self) -> int:
        """The number of positives, by the files' footers."""
        return sum(arrays.count_rows(part) for part in self.uris)

    def read(self, seed: int | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(user_index, item_index), each (n,) int32, of one row group after the other.

        Args:
            seed: of the order of the row groups; None: in the order they were written.
        """
        if not self.uris:
            return
        # petastorm calls pyarrow by names that pyarrow 14 still has but warns of.
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"petastorm\.")
        # One thread reads ahead: several would finish in another order every time. (petastorm's
        # "dummy" pool, which reads in the caller's thread, sleeps between row groups: it was eight
        # times slower.)
        urls, filesystem = for_petastorm(self.uris)
        with make_batch_reader(
            urls,
            schema_fields=["user_index", "item_index"],
            reader_pool_type="thread",
            workers_count=1,
            results_queue_size=ROW_GROUPS_READ_AHEAD,
            shuffle_row_groups=seed is not None,
            seed=None if seed is None else seed % 2**32,  # NumPy takes 32 bits
            hdfs_driver="libhdfs",
            filesystem=filesystem,
        ) as reader:
            for rows in reader:
                yield rows.user_index, rows.item_index
