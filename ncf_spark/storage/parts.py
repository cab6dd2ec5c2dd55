"""Numbered files of limited size, written by the executors.

campaign_files/
  campaign-0001.csv     with its own header; rows are ordered by key within a file
  campaign-0002.csv
  removed-0001.csv      another group of files
  manifest.json         written last; without it the files do not count

The hash of its key decides the file of a row, so the same rows give the same bytes.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncf_spark.errors import DataError
from ncf_spark.storage import files, private
from ncf_spark.storage.fragments import FRAGMENTS, Cut, write_lines, write_parquet

MANIFEST = "manifest.json"
# Share of a file's bytes that is planned for, so that a fuller hash bucket still fits in one file.
_FILL = 0.97


class Part(NamedTuple):
    """One file."""

    name: str
    rows: int
    bytes: int
    sha256: str


class PartsFolder:
    """A folder of files that appears as a whole, at the end of the `with` block, or not at all.

    On a file system a temporary folder is renamed. On S3, which has no rename, the old files are
    deleted first, and the new ones count when the manifest exists.

    Args:
        uri: of the folder; its old content is replaced.
        facts: what else the manifest says; nothing about a person.
    """

    def __init__(self, uri: str, facts: Mapping[str, Any]) -> None:
        self.uri = uri
        self.facts = dict(facts)
        self.groups: dict[str, list[Part]] = {}
        self._folder = f"{uri}.{uuid.uuid4().hex}.tmp" if private.can_rename_folders(uri) else uri
        self._fragments = f"{self._folder}/.fragments"

    def __enter__(self) -> PartsFolder:
        if self._folder == self.uri:
            self._delete_old()
        private.make_folder(self._folder)
        private.make_folder(self._fragments)
        return self

    def __exit__(self, error: object, *_: object) -> None:
        try:
            if error is None:
                self._publish()
        finally:
            if error is not None or self._folder != self.uri:
                files.delete(self._folder)

    def write_lines(
        self,
        lines: DataFrame,
        *,
        group: str,
        suffix: str,
        line_end: str,
        header: str | None = None,
        max_bytes: int | None = None,
        profile: str,
    ) -> list[Part]:
        """Writes `campaign-0001.csv` and so on; one file if all lines fit, none without lines.

        Args:
            lines: (key, line, …).
            group: the start of the files' names.
            header: the first line of each file.
            max_bytes: of a file, with its header and line ends; None: no limit.
            profile: the files' profile, for the error.

        Raises:
            DataError: when a single line is too long for a file.
        """
        head = (header + line_end).encode() if header is not None else b""
        ended = lines.select("key", F.concat("line", F.lit(line_end)).alias("line"))
        if max_bytes is None:
            return self._write(ended, 1, Cut(self._fragments, head, None), group, suffix)
        # Measured first, then written; kept on the executors' disks in between.
        ended = ended.persist(StorageLevel.DISK_ONLY)
        try:
            total, longest = _measure(ended)
            _check_longest(longest, len(head), max_bytes, profile)
            num_files = _num_files(total, len(head), max_bytes)
            cut = Cut(self._fragments, head, max_bytes)
            return self._write(ended, num_files, cut, group, suffix)
        finally:
            ended.unpersist()

    def _write(
        self, lines: DataFrame, num_files: int, cut: Cut, group: str, suffix: str
    ) -> list[Part]:
        ordered = lines.repartition(num_files, "key").sortWithinPartitions("key", "line")
        written = ordered.select("line").mapInArrow(partial(write_lines, cut=cut), FRAGMENTS)
        return self._number(written, group, suffix)

    def write_parquet(self, rows: DataFrame, *, group: str) -> list[Part]:
        """Writes `campaign-0001.parquet`; no file without rows.

        Args:
            rows: (key, row, …); the file holds the columns of the struct `row`.
        """
        ordered = rows.repartition(1, "key").sortWithinPartitions("key")
        write = partial(write_parquet, folder=self._fragments)
        return self._number(ordered.select("row.*").mapInArrow(write, FRAGMENTS), group, "parquet")

    def _number(self, written: DataFrame, group: str, suffix: str) -> list[Part]:
        """Names the files of the successful tasks, in the order of the tasks."""
        found = sorted(written.collect(), key=lambda row: (row.task, row.number))
        parts = []
        for number, row in enumerate(found, 1):
            part = Part(f"{group}-{number:04d}.{suffix}", row.rows, row.bytes, row.sha256)
            private.move(f"{self._fragments}/{row.file}", f"{self._folder}/{part.name}")
            parts.append(part)
        self.groups[group] = parts
        return parts

    def _publish(self) -> None:
        files.delete(self._fragments)
        manifest = {
            **self.facts,
            "parts": [part._asdict() for parts in self.groups.values() for part in parts],
            "totals": {group: _totals(parts) for group, parts in self.groups.items()},
        }
        with private.open_new(f"{self._folder}/{MANIFEST}") as stream:
            stream.write((json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode())
        if self._folder != self.uri:
            self._delete_old()
            private.move(self._folder, self.uri)

    def _delete_old(self) -> None:
        # The manifest first: a reader must not find one of files that are gone.
        files.delete(f"{self.uri}/{MANIFEST}")
        files.delete(self.uri)


def _measure(lines: DataFrame) -> tuple[int, int]:
    """Bytes of all lines, and of the longest line."""
    size = F.octet_length("line")
    row = lines.agg(F.coalesce(F.sum(size), F.lit(0)), F.coalesce(F.max(size), F.lit(0))).first()
    assert row is not None
    return int(row[0]), int(row[1])


def _check_longest(longest: int, head: int, max_bytes: int, profile: str) -> None:
    if head + longest > max_bytes:
        raise DataError(
            f"campaign files: the longest row of profile {profile} takes {longest:,} bytes and the "
            f"header {head:,}, but a file may have {max_bytes:,}. Lower campaign.k, or exclude "
            "the items with the longest texts."
        )


def _num_files(total: int, head: int, max_bytes: int) -> int:
    """The number of files: 1 if all lines fit; otherwise enough that each is filled to `_FILL`."""
    if head + total <= max_bytes:
        return 1
    return math.ceil(total / (_FILL * (max_bytes - head)))


def _totals(parts: list[Part]) -> dict[str, int]:
    return {
        "parts": len(parts),
        "rows": sum(part.rows for part in parts),
        "bytes": sum(part.bytes for part in parts),
    }
