"""The files of the customer's tables: found, measured, and compared with those of before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import astuple
from datetime import datetime, timezone
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from ncf_spark.config import Source
from ncf_spark.errors import DataError
from ncf_spark.storage import hadoop
from ncf_spark.storage.hadoop import Listing
from ncf_spark.storage.read_failures import cannot_read


def find_files(spark: SparkSession, source: Source, name: str) -> Listing:
    """The files of a table.

    Raises:
        DataError: when there is none, or their names cannot be read.
    """
    assert source.path is not None
    listing = hadoop.list_files(spark, source.path)
    if listing is None:
        raise DataError(f"{name}.path: {source.path} does not exist.")
    odd = [file.name for file in listing.files if ":" in file.name]
    if odd:
        raise DataError(
            f"{name}.path: {_some(odd)}: Hadoop, by which Spark reads files, does not take a colon "
            "in a name. Rename them."
        )
    if not listing.files and listing.hidden:
        raise DataError(
            f"{name}.path: {source.path} holds no file that Spark reads: names that begin with _ "
            f"or . are passed over ({_some(listing.hidden)}). Rename them."
        )
    if not listing.files:
        raise DataError(f"{name}.path: {source.path} holds no file.")
    if not sum(file.num_bytes for file in listing.files):
        raise DataError(f"{name}.path: {source.path} is empty: 0 bytes.")
    return listing


def fingerprint(spark: SparkSession, source: Source, name: str) -> dict[str, Any]:
    """What tells whether the files of a source are others than before; nothing is read of them.

    Args:
        name: the section of the configuration, for messages.

    Returns:
        `files`, `bytes`, `newest` (ISO 8601, UTC) and a `hash` of all names, sizes and times; of a
        catalog table its name alone.

    Raises:
        DataError: when there is no file.
    """
    if source.table is not None:
        return {"table": source.table}
    try:
        files = find_files(spark, source, name).files
    except (PySparkException, Py4JJavaError) as error:
        raise DataError(cannot_read(f"{name}.path", str(source.path), error)) from None
    newest = datetime.fromtimestamp(max(file.changed_at_ms for file in files) / 1000, timezone.utc)
    return {
        "files": len(files),
        "bytes": sum(file.num_bytes for file in files),
        "newest": newest.isoformat(timespec="seconds"),
        "hash": hashlib.sha256(json.dumps([astuple(file) for file in files]).encode()).hexdigest()[
            :16
        ],
    }


def total_bytes(spark: SparkSession, source: Source) -> int:
    """Bytes of the files of a source; 0 where there is none, which the step that reads it says."""
    listing = hadoop.list_files(spark, str(source.path))
    return sum(file.num_bytes for file in listing.files) if listing else 0


def _some(names: Iterable[str]) -> str:
    """The first names of several."""
    listed = list(names)
    more = f" and {len(listed) - 3:,} more" if len(listed) > 3 else ""
    return ", ".join(listed[:3]) + more
