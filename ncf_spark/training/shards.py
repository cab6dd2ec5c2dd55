"""Which users a worker owns, and their rows in its table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class UserShards:
    """The shards of one worker: those with `shard % num_workers == worker_rank`.

    User u belongs to shard `u % num_shards`. A worker's table holds its shards one after the
    other, each in the order of the user index.
    """

    num_users: int
    num_shards: int
    worker_rank: int
    num_workers: int

    @property
    def owned(self) -> list[tuple[int, int]]:
        """(shard, number of its users) in the order of the table's rows."""
        shards = range(self.worker_rank, self.num_shards, self.num_workers)
        return [(shard, len(range(shard, self.num_users, self.num_shards))) for shard in shards]

    @property
    def num_rows(self) -> int:
        """Users of this worker."""
        return sum(rows for _, rows in self.owned)

    def rows_of(self, user_indexes: np.ndarray) -> np.ndarray:
        """(n,) table rows of users that this worker owns, as int64.

        Raises:
            ValueError: when a user belongs to another worker.
        """
        starts = np.full(self.num_shards, -1, dtype=np.int64)
        next_start = 0
        for shard, rows in self.owned:
            starts[shard] = next_start
            next_start += rows
        users = user_indexes.astype(np.int64)
        start = starts[users % self.num_shards]
        foreign = (start < 0) | (users >= self.num_users)
        if foreign.any():
            raise ValueError(f"user {users[foreign][0]} is not worker {self.worker_rank}'s")
        return start + users // self.num_shards

    def users_of(self, shard: int) -> np.ndarray:
        """(rows,) user indexes of a shard, in the order of the table."""
        return np.arange(shard, self.num_users, self.num_shards)
