"""Folders and files for their owner alone: what holds addresses is nobody else's.

On the local disk these are the modes 0700 and 0600. Elsewhere who may read is said by the bucket or
the cluster's defaults: give such exports a place of their own there.
"""

from __future__ import annotations

import os
from typing import Any

from pyarrow import fs

from ncf_spark.storage import files


def make_folder(uri: str) -> None:
    """Makes a folder with its parents; the parents are as any others."""
    filesystem, path = files.resolve(uri)
    if isinstance(filesystem, fs.LocalFileSystem):
        filesystem.create_dir(os.path.dirname(path), recursive=True)
        os.mkdir(path, mode=0o700)
    elif not isinstance(filesystem, fs.S3FileSystem):  # where folders are parts of names
        filesystem.create_dir(path, recursive=True)


def open_new(uri: str) -> Any:
    """A stream into a file that is not there yet, for bytes."""
    filesystem, path = files.resolve(uri)
    if isinstance(filesystem, fs.LocalFileSystem):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    return filesystem.open_output_stream(path)


def move(uri: str, to: str) -> None:
    """Gives a file, or a folder where there are such, another name on the same file system."""
    filesystem, path = files.resolve(uri)
    filesystem.move(path, files.resolve(to)[1])


def has_folders(uri: str) -> bool:
    """Whether a folder can be renamed there: not on S3, which knows objects only."""
    return not isinstance(files.resolve(uri)[0], fs.S3FileSystem)
