"""Positives of `train`: read into memory, or streamed from its files in every epoch.

Shapes as in `batches.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from ncf_spark.training.batches import (
    BYTES_PER_POSITIVE,
    Batch,
    Positives,
    Resident,
    Rows,
    drawn_order,
    is_resident,
)
from ncf_spark.training.loader import PositiveFiles
from ncf_spark.training.shards import UserShards

# Of a streamed epoch, cut into batches afterwards.
_ROWS_AT_ONCE = 2**16


def open_positives(
    train_uri: str, shards: UserShards, resident_bytes: int | None, device: torch.device
) -> Positives:
    """A worker's positives, resident where they fit, else streaming.

    Args:
        resident_bytes: memory for them, or for the buffer; None: no limit.
    """
    files = PositiveFiles(train_uri, [shard for shard, _ in shards.owned])
    num_positives = files.count()
    if resident_bytes is None or is_resident(num_positives, resident_bytes):
        return _read(files, shards, num_positives, device)
    capacity = max(1, resident_bytes // BYTES_PER_POSITIVE)
    return Streaming(files, shards, num_positives, capacity, device)


def _read(
    files: PositiveFiles, shards: UserShards, num_positives: int, device: torch.device
) -> Resident:
    """All positives of the files."""
    users, items = _allocate_rows(num_positives)
    filled = 0
    for new_users, new_items in _rows_of(files, shards):
        part = slice(filled, filled + len(new_users))
        users[part], items[part] = new_users, new_items
        filled = part.stop
    return Resident(users.to(device), items.to(device))


class Streaming:
    """Positives that are read again in every epoch, through a buffer of limited size.

    The row groups come in a new order each epoch and fill the buffer, which is given out in an
    order that is drawn over all it holds, and then filled again. Beside the buffer there are the
    row group that did not fit into it and those that the loader reads ahead.

    petastorm's own `BatchedRandomShufflingBuffer` moves all that it holds for every row group that
    comes in, and draws from torch's global generator. With room for one million rows it passed on
    3 M a second and this one 17 M, with room for four million 0.6 M and 15 M.

    Args:
        num_positives: M, in the files.
        capacity: rows of the buffer, at most.
        device: of the batches; the buffer is in the host's memory.
    """

    mode = "streaming"

    def __init__(
        self,
        files: PositiveFiles,
        shards: UserShards,
        num_positives: int,
        capacity: int,
        device: torch.device,
    ) -> None:
        self.num_positives = num_positives
        self._files = files
        self._shards = shards
        # As many rows each time, or few users would share the last buffer of an epoch.
        times = max(1, -(-num_positives // capacity))
        self._capacity = -(-num_positives // times)
        self._device = device

    def rows(self) -> Iterator[Rows]:
        """(users, items) of one row group after the other, int32, in the order of the files."""
        return _rows_of(self._files, self._shards)

    def batches(self, sizes: Iterable[int], seed: int) -> Iterator[Batch]:
        """An epoch's batches, shuffled by row group and buffer."""
        blocks = self._blocks(seed)
        users, items = torch.empty(2, 0, dtype=torch.int64, device=self._device)
        for size in sizes:
            while len(users) < size:
                more_users, more_items = next(blocks)
                users, items = torch.cat([users, more_users]), torch.cat([items, more_items])
            yield Batch(users[:size], items[:size], None)
            users, items = users[size:], items[size:]

    def _blocks(self, seed: int) -> Iterator[Rows]:
        """(users, items) of an epoch in its order, on the device: many at once take less time."""
        for (users, items), order in self._buffers(seed):
            for part in order.split(_ROWS_AT_ONCE):
                rows = users.index_select(0, part), items.index_select(0, part)
                yield rows[0].to(self._device).long(), rows[1].to(self._device).long()

    def _buffers(self, seed: int) -> Iterator[tuple[Rows, Tensor]]:
        """What the buffer holds whenever it is full or the last, and an order drawn over that.

        Each must be used up before the next is asked for.
        """
        generator = torch.Generator().manual_seed(seed)
        buffer, held = _allocate_rows(self._capacity), 0
        for rows in _rows_of(self._files, self._shards, seed):
            left = rows
            while len(left[0]):
                room = self._capacity - held
                for column, new in zip(buffer, left, strict=True):
                    column[held : held + room][: len(new)] = new[:room]
                held += min(room, len(left[0]))
                left = left[0][room:], left[1][room:]
                if held == self._capacity:
                    yield buffer, drawn_order(held, generator)
                    held = 0
        if held:
            yield buffer, drawn_order(held, generator)


def _rows_of(files: PositiveFiles, shards: UserShards, seed: int | None = None) -> Iterator[Rows]:
    for user_indexes, item_indexes in files.read(seed):
        rows = shards.rows_of(user_indexes).astype(np.int32)
        # A copy: torch warns of the loader's read-only arrays.
        yield torch.from_numpy(rows), torch.tensor(item_indexes)


def _allocate_rows(num_rows: int) -> Rows:
    return torch.empty(num_rows, dtype=torch.int32), torch.empty(num_rows, dtype=torch.int32)
