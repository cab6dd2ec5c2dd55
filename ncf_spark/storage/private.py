"""Folders and files that only their owner may read, for addresses.

On the local disk they have the modes 0700 and 0600. Elsewhere the bucket or the cluster's defaults
decide who may read: give such exports a bucket or folder of their own there.
"""

from __future__ import annotations

import os
from typing import Any

from pyarrow import fs

from ncf_spark.storage import files


def make_folder(uri: str) -> None:
    """Makes a folder with its parents; the parents have the usual modes."""
    filesystem, path = files.resolve(uri)
    if isinstance(filesystem, fs.LocalFileSystem):
        filesystem.create_dir(os.path.dirname(path), recursive=True)
        os.mkdir(path, mode=0o700)
    elif not isinstance(filesystem, fs.S3FileSystem):  # which has no folders
        filesystem.create_dir(path, recursive=True)


def open_new(uri: str) -> Any:
    """A stream of bytes into a new file."""
    filesystem, path = files.resolve(uri)
    if isinstance(filesystem, fs.LocalFileSystem):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    return filesystem.open_output_stream(path)


def move(uri: str, to: str) -> None:
    """Renames a file or a folder within a file system."""
    filesystem, path = files.resolve(uri)
    filesystem.move(path, files.resolve(to)[1])


def can_rename_folders(uri: str) -> bool:
    """Whether folders can be renamed there: not on S3, which has none."""
    return not isinstance(files.resolve(uri)[0], fs.S3FileSystem)
