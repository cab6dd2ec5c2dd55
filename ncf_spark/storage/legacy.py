"""Files for petastorm, which uses the file systems that pyarrow had before `pyarrow.fs`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyarrow import filesystem, fs

from ncf_spark.storage import files


class ReadableFiles(filesystem.FileSystem):
    """A file system of `pyarrow.fs` with the methods by which petastorm reads Parquet files.

    Args:
        readable: gets paths without a leading slash, as S3 needs them.
    """

    def __init__(self, readable: fs.FileSystem) -> None:
        self._readable = readable

    def isfile(self, path: str) -> bool:
        """Whether the path is a file."""
        return self._type(path) == fs.FileType.File

    def isdir(self, path: str) -> bool:
        """Whether the path is a folder."""
        return self._type(path) == fs.FileType.Directory

    def exists(self, path: str) -> bool:
        """Whether a file or folder exists."""
        return self._type(path) != fs.FileType.NotFound

    def open(self, path: str, mode: str = "rb") -> Any:
        """The file, for random access."""
        return self._readable.open_input_file(path.lstrip("/"))

    def _type(self, path: str) -> fs.FileType:
        return self._readable.get_file_info(path.lstrip("/")).type


def for_petastorm(uris: Sequence[str]) -> tuple[list[str], ReadableFiles | None]:
    """URLs of the files for petastorm, and the file system to read them from.

    None: petastorm finds it itself. On S3 it would use s3fs, which fails with this pyarrow.
    """
    readable, _ = files.resolve(uris[0])
    if not isinstance(readable, fs.S3FileSystem):
        return list(uris), None
    # "file" only makes petastorm keep the path as it is; nothing is read from the local disk.
    return [f"file:///{files.resolve(uri)[1]}" for uri in uris], ReadableFiles(readable)
