"""Files for petastorm, which asks for the file systems that pyarrow had before `pyarrow.fs`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyarrow import filesystem, fs

from ncf_spark.storage import files


class ReadableFiles(filesystem.FileSystem):
    """Any file system of `pyarrow.fs`, as far as petastorm reads Parquet files from it.

    Args:
        readable: paths are taken without the slash before them, as S3 wants them.
    """

    def __init__(self, readable: fs.FileSystem) -> None:
        self._readable = readable

    def isfile(self, path: str) -> bool:
        """Whether a file is there."""
        return self._type(path) == fs.FileType.File

    def isdir(self, path: str) -> bool:
        """Whether a folder is there."""
        return self._type(path) == fs.FileType.Directory

    def exists(self, path: str) -> bool:
        """Whether a file or folder is there."""
        return self._type(path) != fs.FileType.NotFound

    def open(self, path: str, mode: str = "rb") -> Any:
        """The file, for reading anywhere in it."""
        return self._readable.open_input_file(path.lstrip("/"))

    def _type(self, path: str) -> fs.FileType:
        return self._readable.get_file_info(path.lstrip("/")).type


def for_petastorm(uris: Sequence[str]) -> tuple[list[str], ReadableFiles | None]:
    """URLs of the files as petastorm takes them, and what it reads them through.

    None: petastorm knows the way itself. On S3 it does not: it would ask for s3fs, and with that
    fail on this pyarrow, so it is given what everything else here reads through.
    """
    readable, _ = files.resolve(uris[0])
    if not isinstance(readable, fs.S3FileSystem):
        return list(uris), None
    # With "file" petastorm takes the path as it stands; nothing is read from the local disk.
    return [f"file:///{files.resolve(uri)[1]}" for uri in uris], ReadableFiles(readable)
