"""How an executor writes the rows of its task into files.

Each attempt of a task names its files anew; only the files that a successful one returns count.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark import TaskContext

from ncf_spark.storage import private

# A row for each file, as a schema of Spark and of Arrow.
FRAGMENTS = "task int, number int, file string, rows long, bytes long, sha256 string"
_SCHEMA = pa.schema(
    [
        ("task", pa.int32()),
        ("number", pa.int32()),
        ("file", pa.string()),
        ("rows", pa.int64()),
        ("bytes", pa.int64()),
        ("sha256", pa.string()),
    ]
)


class Cut(NamedTuple):
    """How lines become files.

    Args:
        folder: of the files.
        head: the first bytes of each.
        max_bytes: of a file; None: one file.
    """

    folder: str
    head: bytes
    max_bytes: int | None


class _Fragment:
    """A file that is being written, with its bytes, rows and hash."""

    def __init__(self, folder: str) -> None:
        self.file = uuid.uuid4().hex
        self.bytes = self.rows = 0
        self.closed = False  # pyarrow needs it
        self._sha256 = hashlib.sha256()
        self._stream = private.open_new(f"{folder}/{self.file}")

    def write(self, content: Any) -> int:
        self._stream.write(content)
        self._sha256.update(content)
        self.bytes += len(content)
        return len(content)

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        self.closed = True
        self._stream.close()

    def record(self, number: int) -> pa.RecordBatch:
        """The row of the file, once it is closed."""
        context = TaskContext.get()
        row = (context.partitionId() if context else 0, number, self.file, self.rows, self.bytes)
        columns = [[value] for value in (*row, self._sha256.hexdigest())]
        return pa.RecordBatch.from_arrays(
            [pa.array(c, field.type) for c, field in zip(columns, _SCHEMA, strict=True)],
            schema=_SCHEMA,
        )


def write_lines(batches: Iterator[pa.RecordBatch], cut: Cut) -> Iterator[pa.RecordBatch]:
    """Writes lines, which have their ends, and starts another file before one becomes too large."""
    fragment: _Fragment | None = None
    number = 0
    for batch in batches:
        content, ends = _contiguous(batch.column(0))
        row = 0
        while row < len(ends) - 1:
            if fragment is None:
                fragment = _Fragment(cut.folder)
                fragment.write(cut.head)
            last = _last_row(ends, row, fragment.bytes, cut.max_bytes)
            if last > row:
                fragment.write(content[ends[row] : ends[last]])
                fragment.rows += last - row
                row = last
            else:
                # Otherwise the task would make empty files for ever.
                assert fragment.rows, "a line is longer than a file may be"
                fragment.close()
                yield fragment.record(number)
                fragment, number = None, number + 1
    if fragment is not None:
        fragment.close()
        yield fragment.record(number)


def _contiguous(lines: pa.Array) -> tuple[memoryview, np.ndarray]:
    """The bytes of all lines; the start of each line and the end of the last."""
    lines = lines.cast(pa.large_string())
    _, offsets, content = lines.buffers()
    ends = np.frombuffer(offsets, np.int64, len(lines) + 1, lines.offset * 8)
    return memoryview(content or b""), ends


def _last_row(ends: np.ndarray, row: int, written: int, max_bytes: int | None) -> int:
    """The row after the last one that fits into the file."""
    if max_bytes is None:
        return len(ends) - 1
    return int(np.searchsorted(ends, ends[row] + max_bytes - written, side="right")) - 1


def write_parquet(batches: Iterator[pa.RecordBatch], folder: str) -> Iterator[pa.RecordBatch]:
    """Writes each batch as a row group."""
    fragment = _Fragment(folder)
    writer: pq.ParquetWriter | None = None
    for batch in batches:
        writer = writer or pq.ParquetWriter(
            pa.PythonFile(fragment, "w"), batch.schema, compression="zstd"
        )
        writer.write_batch(batch)
        fragment.rows += batch.num_rows
    if writer is not None:
        writer.close()
        fragment.close()
        yield fragment.record(0)
