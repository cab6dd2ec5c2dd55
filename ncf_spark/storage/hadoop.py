"""Files of any store that Spark reads: listed and opened by Hadoop, as Spark's own readers do."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pyspark.sql import SparkSession

from ncf_spark.storage.files import to_uri


@dataclass(frozen=True, order=True)
class File:
    """A file as its store lists it."""

    path: str
    num_bytes: int
    changed_at_ms: int

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Listing:
    """The files at a configured path."""

    # What Spark's readers take for this path; wildcards in a literal name are escaped.
    pattern: str
    # The folder that the path names; None where it names a file or a pattern.
    folder: str | None
    files: tuple[File, ...]
    # Names that Spark's readers pass over, since a part begins with `_` or a dot.
    hidden: tuple[str, ...]


def list_files(spark: SparkSession, path: str) -> Listing | None:
    """The files of a path, sorted; None where nothing has this name and nothing matches.

    A path names a file, a folder or a pattern; a name that exists as it stands is no pattern.
    """
    assert spark._jvm is not None
    uri = to_uri(path)
    root = spark._jvm.org.apache.hadoop.fs.Path(uri)
    filesystem = root.getFileSystem(spark._jsc.hadoopConfiguration())
    is_literal = filesystem.exists(root)
    matches = [filesystem.getFileStatus(root)] if is_literal else filesystem.globStatus(root)
    if not matches:
        return None
    files, hidden = list[File](), list[str]()
    for match in matches:
        root_path = match.getPath()
        # Of a folder that the path names itself, the name does not count.
        above = (root_path if match.isDirectory() else root_path.getParent()).toString()
        found = filesystem.listFiles(root_path, True)
        while found.hasNext():
            status = found.next()
            name = status.getPath().toString()
            below = name.removeprefix(above).strip("/")
            if any(_is_hidden(part) for part in below.split("/")):
                hidden.append(below)
            else:
                files.append(File(name, status.getLen(), status.getModificationTime()))
    is_folder = is_literal and matches[0].isDirectory()
    return Listing(
        pattern=escape(uri) if is_literal else uri,
        folder=uri if is_folder else None,
        files=tuple(sorted(files)),
        hidden=tuple(sorted(hidden)),
    )


def read_head(spark: SparkSession, file: File, num_bytes: int) -> bytes:
    """The first bytes of a file, as they are stored."""
    assert spark._jvm is not None
    path = spark._jvm.org.apache.hadoop.fs.Path(file.path)
    stream = path.getFileSystem(spark._jsc.hadoopConfiguration()).open(path)
    try:
        return bytes(stream.readNBytes(min(num_bytes, file.num_bytes)))
    finally:
        stream.close()


def escape(uri: str) -> str:
    """A URI that Spark's readers take by its letters, not as a pattern."""
    return re.sub(r"([{}\[\]*?\\])", r"\\\1", uri)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or (name.startswith("_") and "=" not in name)
