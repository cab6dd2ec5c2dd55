"""Small files by URI: on the local disk, HDFS or an object store."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pyarrow import fs

from ncf_spark.schemas import DataError


def to_uri(path: str) -> str:
    """An absolute URI without a final slash; a path without a scheme is on the local disk.

    `./warehouse` → `file:///home/ana/warehouse`; `s3a://bucket/shop/` → `s3a://bucket/shop`.
    """
    if urlsplit(path).scheme:
        return path.rstrip("/")
    return "file://" + os.path.abspath(Path(path).expanduser())


def resolve(uri: str) -> tuple[fs.FileSystem, str]:
    """The file system that holds `uri` and the path on it.

    `s3a:` is Hadoop's name for what pyarrow calls `s3:`. Local paths are taken as they stand, since
    a URI would want blanks and percent signs escaped.
    """
    scheme = urlsplit(uri).scheme
    if scheme in ("", "file"):
        return fs.LocalFileSystem(), uri.removeprefix("file:").replace("///", "/", 1)
    return fs.FileSystem.from_uri(uri.replace("s3a:", "s3:", 1))


def exists(uri: str) -> bool:
    """Whether a file or folder is there."""
    filesystem, path = resolve(uri)
    return filesystem.get_file_info(path).type != fs.FileType.NotFound


def list_names(uri: str) -> list[str]:
    """Names of the files and folders directly in the folder, sorted; none if it is not there."""
    filesystem, path = resolve(uri)
    found = filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True))
    return sorted(info.base_name for info in found)


def list_files(uri: str, suffix: str) -> list[str]:
    """URIs of the files below the folder whose name ends with `suffix`, sorted."""
    filesystem, path = resolve(uri)
    found = filesystem.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
    parts = urlsplit(uri)
    paths = sorted(i.path for i in found if i.is_file and i.base_name.endswith(suffix))
    # pyarrow counts a bucket as part of the path, but not a name node.
    host = "" if parts.scheme in ("s3", "s3a") else parts.netloc
    return [f"{parts.scheme or 'file'}://{host}{path}" for path in paths]


def sizes(uri: str, without: str | None = None) -> dict[str, int]:
    """Bytes of each file directly in the folder, by name; none if it is not there.

    Args:
        without: a name that is left out.
    """
    filesystem, path = resolve(uri)
    found = filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True))
    return {i.base_name: i.size for i in found if i.is_file and i.base_name != without}


def delete(uri: str) -> None:
    """Removes a file or a folder with all that is in it, if it is there."""
    filesystem, path = resolve(uri)
    kind = filesystem.get_file_info(path).type
    if kind == fs.FileType.Directory:
        filesystem.delete_dir(path)
    elif kind != fs.FileType.NotFound:
        filesystem.delete_file(path)


def write_bytes(uri: str, content: bytes) -> None:
    """Writes a file whole: a reader sees the old content or the new, never a part.

    Object stores show an object only when it is complete; elsewhere the file is written beside its
    place and renamed.
    """
    filesystem, path = resolve(uri)
    if isinstance(filesystem, (fs.LocalFileSystem, fs.HadoopFileSystem)):
        filesystem.create_dir(os.path.dirname(path), recursive=True)
        ending = f".{uuid.uuid4().hex}.tmp"
        try:
            with filesystem.open_output_stream(path + ending) as stream:
                stream.write(content)
            filesystem.move(path + ending, path)
        except BaseException:
            delete(uri + ending)
            raise
    else:
        with filesystem.open_output_stream(path) as stream:
            stream.write(content)


def read_bytes(uri: str) -> bytes:
    """The content of a file.

    Raises:
        FileNotFoundError: when it is not there.
    """
    filesystem, path = resolve(uri)
    with filesystem.open_input_stream(path) as stream:
        content: bytes = stream.read()
    return content


def write_json(uri: str, content: dict[str, Any] | list[Any]) -> None:
    """Writes a JSON file whole, readable by a person."""
    text = json.dumps(content, indent=2, default=str, ensure_ascii=False)
    write_bytes(uri, (text + "\n").encode())


def read_json(uri: str) -> Any:
    """The content of a JSON file.

    Raises:
        FileNotFoundError: when it is not there.
        DataError: when it is not JSON (a file that was cut short, for instance).
    """
    try:
        return json.loads(read_bytes(uri))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{uri}: is not valid JSON ({error}); the file may be cut short.") from None
