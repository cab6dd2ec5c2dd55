"""Small files by URI, on the local disk, HDFS or S3; only this module knows the difference.

S3 is configured by the environment, as for Amazon's own tools: AWS_ACCESS_KEY_ID and so on (or the
machine's role), AWS_REGION, and AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL for another server.
"""

from __future__ import annotations

import json
import os
import uuid
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pyarrow import fs

from ncf_spark.errors import DataError


def to_uri(path: str) -> str:
    """An absolute URI without a final slash; a path without a scheme is on the local disk.

    `./warehouse` → `file:///home/ana/warehouse`; `s3a://bucket/shop/` → `s3a://bucket/shop`.
    """
    if _scheme(path):
        return path.rstrip("/")
    return "file://" + os.path.abspath(Path(path).expanduser())


def resolve(uri: str) -> tuple[fs.FileSystem, str]:
    """The file system that holds `uri` and the path on it.

    `s3a:` is Hadoop's name of `s3:`. Local paths and keys of objects are taken as they are: a blank
    or a percent sign is part of the name.

    Raises:
        DataError: when the URI has no bucket, or an unknown scheme.
    """
    scheme = _scheme(uri)
    if scheme in ("", "file"):
        return fs.LocalFileSystem(), uri.removeprefix("file:").replace("///", "/", 1)
    if scheme in _S3:
        path = uri.removeprefix(f"{scheme}://")
        bucket = path.split("/", 1)[0]
        if not bucket or path == uri:
            raise DataError(f"{uri}: has no bucket; write {scheme}://bucket/folder.")
        return _s3(bucket), path
    if scheme not in _HADOOP:
        known = ", ".join(f"{name}:" for name in ("file", *_HADOOP, *_S3))
        raise DataError(f"{uri}: {scheme}: is not supported; use one of {known}.")
    return fs.FileSystem.from_uri(uri)


_S3 = ("s3", "s3a")
_HADOOP = ("hdfs", "viewfs")


def _scheme(uri: str) -> str:
    # Not urlsplit, which cuts at a number sign.
    return uri.split(":", 1)[0] if ":" in uri.split("/", 1)[0] else ""


def _s3(bucket: str) -> fs.FileSystem:
    """S3 as the environment says; nothing is looked up that it sets."""
    named = (os.environ.get(name) for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"))
    endpoint = next(filter(None, named), None)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if endpoint is None:
        return fs.S3FileSystem(region=region or _region_of(bucket))
    url = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
    # Another server ignores the region, but signatures need one.
    return fs.S3FileSystem(
        region=region or "us-east-1", scheme=url.scheme, endpoint_override=url.netloc
    )


@lru_cache
def _region_of(bucket: str) -> str:
    region: str = fs.resolve_s3_region(bucket)
    return region


def exists(uri: str) -> bool:
    """Whether a file or folder exists."""
    filesystem, path = resolve(uri)
    return filesystem.get_file_info(path).type != fs.FileType.NotFound


def list_names(uri: str) -> list[str]:
    """Names of the files and folders directly in the folder, sorted; none if it does not exist."""
    filesystem, path = resolve(uri)
    found = filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True))
    return sorted(info.base_name for info in found)


def list_files(uri: str, suffix: str) -> list[str]:
    """URIs of the files below the folder whose name ends with `suffix`, sorted."""
    filesystem, path = resolve(uri)
    found = filesystem.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
    scheme = _scheme(uri) or "file"
    paths = sorted(i.path for i in found if i.is_file and i.base_name.endswith(suffix))
    # For pyarrow a bucket is part of the path, but a name node is not.
    host = urlsplit(uri).netloc if scheme in _HADOOP else ""
    return [f"{scheme}://{host}{path}" for path in paths]


def sizes(uri: str, without: str | None = None) -> dict[str, int]:
    """Bytes of each file directly in the folder, by name; none if it does not exist.

    Args:
        without: a name to leave out.
    """
    filesystem, path = resolve(uri)
    found = filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True))
    return {i.base_name: i.size for i in found if i.is_file and i.base_name != without}


def total_bytes(uri: str) -> int:
    """Bytes of all files below the folder; 0 if it does not exist."""
    filesystem, path = resolve(uri)
    found = filesystem.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
    return sum(info.size for info in found if info.is_file)


def delete(uri: str) -> None:
    """Removes a file, or a folder with its content, if it exists."""
    filesystem, path = resolve(uri)
    kind = filesystem.get_file_info(path).type
    if kind == fs.FileType.Directory:
        filesystem.delete_dir(path)
    elif kind != fs.FileType.NotFound:
        filesystem.delete_file(path)


def copy(source: str, target: str) -> None:
    """Copies a folder with its content within one file system, if it exists."""
    filesystem, path = resolve(source)
    if exists(source):
        target_path = resolve(target)[1]
        filesystem.create_dir(target_path, recursive=True)
        fs.copy_files(path, target_path, filesystem, filesystem)


def write_bytes(uri: str, content: bytes) -> None:
    """Writes a file as a whole: a reader sees the old content or the new, never a part.

    On S3 an object appears when its upload is completed, which closing the stream does. Elsewhere a
    temporary file beside it is renamed. (HDFS does not rename onto a file: pyarrow removes the old
    one first, and for that moment there is neither.)
    """
    filesystem, path = resolve(uri)
    if not isinstance(filesystem, fs.S3FileSystem):
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
        # In one write: closing the stream would not complete an upload of which a part failed.
        with filesystem.open_output_stream(path) as stream:
            stream.write(content)


def read_bytes(uri: str) -> bytes:
    """The content of a file: the old or the new one if it is replaced meanwhile, never a mixture.

    Raises:
        FileNotFoundError: when it does not exist.
    """
    filesystem, path = resolve(uri)
    if isinstance(filesystem, fs.S3FileSystem):
        return _read_object(filesystem, path)
    with filesystem.open_input_stream(path) as stream:
        content: bytes = stream.read()
    return content


_READS = 10


def _read_object(filesystem: fs.FileSystem, path: str) -> bytes:
    """The content of an object, read again until its entity tag was the same before and after.

    No handle keeps the old content: the size and each part are requests of their own.
    """
    for _ in range(_READS):
        with filesystem.open_input_file(path) as stream:
            tag = stream.metadata()
            content: bytes = stream.readall()
        with filesystem.open_input_file(path) as stream:
            if stream.metadata() == tag:
                return content
    raise OSError(f"{path}: was replaced during each of {_READS} attempts to read it")


def write_json(uri: str, content: dict[str, Any] | list[Any]) -> None:
    """Writes an indented JSON file as a whole."""
    text = json.dumps(content, indent=2, default=str, ensure_ascii=False)
    write_bytes(uri, (text + "\n").encode())


def read_json(uri: str) -> Any:
    """The content of a JSON file.

    Raises:
        FileNotFoundError: when it does not exist.
        DataError: when it is not JSON, for example because the file was cut short.
    """
    try:
        return json.loads(read_bytes(uri))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{uri}: is not valid JSON ({error}); the file may be cut short.") from None
