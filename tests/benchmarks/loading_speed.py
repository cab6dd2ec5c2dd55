"""Rows a second from `train` to tensors, beside a plain pyarrow read of the same files.

python -m tests.benchmarks.loading_speed

Ten million positives of a million users in 16 files, sorted and in row groups as build_interactions
writes them; one worker reads all. `resident` reads them into memory once, `streaming` gives an
epoch of shuffled batches of 1,024 through a buffer for a million. The peer neither shuffles nor
looks up table rows. They take turns.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.benchmarks.duel import Contender, median_of, record, take_turns

ROUNDS = 5
NUM_ROWS, NUM_USERS, NUM_ITEMS, NUM_SHARDS, BATCH = 10_000_000, 1_000_000, 50_000, 16, 1_024
# What a mebibyte holds of such rows, as Spark encodes them.
ROWS_PER_GROUP = 200_000


def write_train(folder: Path) -> None:
    """The table, laid out by user shard; items are as unequal as in a shop."""
    rng = np.random.default_rng(1)
    rows = NUM_ROWS // NUM_SHARDS
    for shard in range(NUM_SHARDS):
        users = rng.integers(NUM_USERS // NUM_SHARDS, size=rows) * NUM_SHARDS + shard
        items = (NUM_ITEMS * rng.random(rows) ** 3).astype(np.int32)
        order = np.lexsort((items, users))
        columns = {"user_index": users[order].astype(np.int32), "item_index": items[order]}
        place = folder / f"shard={shard}" / "part-00000.parquet"
        place.parent.mkdir()
        pq.write_table(pa.table(columns), place, row_group_size=ROWS_PER_GROUP)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_train(Path(folder))
        sizes = [str(number) for number in (NUM_ROWS, NUM_USERS, NUM_SHARDS, BATCH)]
        program = [sys.executable, "-m", "tests.benchmarks.contenders.load_positives"]
        contenders = {
            way: Contender([*program, way, f"file://{folder}", *sizes])
            for way in ("resident", "streaming", "pyarrow")
        }
        take_turns(contenders, "read", 1)  # the files come into the system's cache
        answers = take_turns(contenders, "read", ROUNDS)
        speed = {way: median_of(rounds, "rows_per_second") for way, rounds in answers.items()}
        for way in ("resident", "streaming"):
            title = f"loading train, {way}, rows/s, plain pyarrow read"
            ratio = speed[way] / speed["pyarrow"]
            record(title, ours=speed[way], peer=speed["pyarrow"], ratio=ratio, bar="none")
        for contender in contenders.values():
            contender.close()


if __name__ == "__main__":
    main()
