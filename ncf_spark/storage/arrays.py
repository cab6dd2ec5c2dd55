"""NumPy arrays to Arrow and Parquet and back, without Spark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from ncf_spark.storage import files


def record_batch(columns: Mapping[str, np.ndarray]) -> pa.RecordBatch:
    """An Arrow batch; a matrix (rows, width) becomes a list column."""
    arrays = [_to_arrow(column) for column in columns.values()]
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))


def _to_arrow(column: np.ndarray) -> pa.Array:
    if column.ndim == 1:
        return pa.array(column)
    rows, width = column.shape
    offsets = np.arange(rows + 1, dtype=np.int32) * width
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(column.reshape(-1)))


def matrix(column: pa.ListArray) -> np.ndarray:
    """(rows, width) from a list column whose lists have one length; (0, 0) from an empty column.

    Raises:
        ValueError: when the lengths differ.
    """
    values = column.flatten().to_numpy(zero_copy_only=False)
    if len(column.value_lengths().unique()) > 1:
        raise ValueError("the lists have different lengths")
    return values.reshape(len(column), len(values) // max(len(column), 1))


def ragged(column: pa.ListArray) -> tuple[np.ndarray, np.ndarray]:
    """(values, offsets) of a list column: list r is values[offsets[r] : offsets[r + 1]].

    A null list is empty.
    """
    lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return column.flatten().to_numpy(zero_copy_only=False), offsets


def write_vectors(uri: str, index_name: str, indexes: np.ndarray, vectors: np.ndarray) -> None:
    """Writes one Parquet file of (index, vector) rows.

    Args:
        uri: the file.
        index_name: `user_index` or `item_index`.
        indexes: (rows,) int.
        vectors: (rows, width) float32.
    """
    batch = record_batch({index_name: indexes.astype(np.int32), "vector": vectors})
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_batches([batch]), sink, compression="zstd")
    files.write_bytes(uri, sink.getvalue().to_pybytes())


def read_vectors(uri: str, index_name: str) -> tuple[np.ndarray, np.ndarray]:
    """(indexes, vectors) of all the Parquet files in a folder, ordered by index."""
    table = _dataset(uri).to_table(columns=[index_name, "vector"]).combine_chunks()
    indexes = table.column(index_name).to_numpy()
    vectors = matrix(table.column("vector").chunk(0)) if len(table) else np.empty((0, 0))
    order = np.argsort(indexes, kind="stable")
    return indexes[order], vectors[order]


def read_columns(uri: str, columns: Sequence[str]) -> dict[str, np.ndarray]:
    """Scalar columns of a Parquet table as arrays."""
    table = _dataset(uri).to_table(columns=list(columns))
    return {name: table.column(name).to_numpy() for name in columns}


def read_rows(uri: str, columns: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a small Parquet table as Python values."""
    rows: list[dict[str, Any]] = _dataset(uri).to_table(columns=list(columns)).to_pylist()
    return rows


def read_lists(
    uris: Sequence[str], column: str, scalars: Sequence[str]
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Scalar columns and one list column (values, offsets) of some Parquet files."""
    if not uris:
        empty = np.empty(0, np.int32)
        return dict.fromkeys(scalars, empty), empty, np.zeros(1, np.int64)
    tables = [_dataset(uri).to_table(columns=[*scalars, column]) for uri in uris]
    table = pa.concat_tables(tables).combine_chunks()
    lists = table.column(column).combine_chunks()
    values, offsets = ragged(lists.chunk(0) if isinstance(lists, pa.ChunkedArray) else lists)
    return {name: table.column(name).to_numpy() for name in scalars}, values, offsets


def count_rows(uri: str) -> int:
    """Rows of a Parquet table by its files' footers; raises when a file is unreadable."""
    rows: int = _dataset(uri).count_rows()
    return rows


def count_values(uri: str, column: str) -> int:
    """Values in a list column of one Parquet file, by its footer; an empty list counts as 1."""
    filesystem, path = files.resolve(uri)
    footer = pq.read_metadata(path, filesystem=filesystem)
    names = [footer.schema.column(i).path.split(".")[0] for i in range(footer.num_columns)]
    index = names.index(column)
    groups = (footer.row_group(group) for group in range(footer.num_row_groups))
    return sum(group.column(index).num_values for group in groups)


def _dataset(uri: str) -> ds.Dataset:
    filesystem, path = files.resolve(uri)
    return ds.dataset(path, filesystem=filesystem, format="parquet", partitioning="hive")
