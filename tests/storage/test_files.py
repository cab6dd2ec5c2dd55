import threading

import pytest
from pyarrow import fs

from ncf_spark.errors import DataError
from ncf_spark.storage import files


@pytest.fixture
def folder(tmp_path) -> str:
    """The URI of a folder that does not exist yet, with blanks and other characters."""
    return files.to_uri(str(tmp_path / "Läden 100%/nächte #1 a=b"))


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("/srv/warehouse/", "file:///srv/warehouse"),
        ("/srv/my shop/é", "file:///srv/my shop/é"),
        ("./warehouse", "file:///home/ana/warehouse"),
        ("../ben", "file:///home/ben"),
        ("~/warehouse", "file:///home/ana/warehouse"),
        ("s3a://bucket/shop/", "s3a://bucket/shop"),
        ("hdfs://name-node:8020/shop", "hdfs://name-node:8020/shop"),
        ("file:///srv/warehouse", "file:///srv/warehouse"),
    ],
)
def test_a_path_becomes_an_absolute_uri(path, uri, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ana")
    monkeypatch.setattr("os.getcwd", lambda: "/home/ana")
    assert files.to_uri(path) == uri


@pytest.mark.parametrize("uri", ["file:///srv/a b%20c", "file:/srv/a b%20c", "/srv/a b%20c"])
def test_a_local_path_is_taken_as_it_stands(uri):
    assert files.resolve(uri)[1] == "/srv/a b%20c"


@pytest.mark.parametrize(
    ("environment", "server", "region"),
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "http://127.0.0.1:1", "us-east-1"),
        (
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_S3": "minio.example"},
            "https://minio.example",
            "us-east-1",
        ),
        ({"AWS_ENDPOINT_URL": "http://a:1", "AWS_DEFAULT_REGION": "x"}, "http://a:1", "x"),
        ({"AWS_REGION": "eu-west-3", "AWS_DEFAULT_REGION": "eu-west-1"}, None, "eu-west-3"),
    ],
)
@pytest.mark.parametrize("scheme", ["s3", "s3a"])
def test_the_environment_names_the_s3_server(scheme, environment, server, region, monkeypatch):
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    kind, _, address = (server or "https://").partition("://")
    expected = fs.S3FileSystem(region=region, scheme=kind, endpoint_override=address or None)
    assert files.resolve(f"{scheme}://shop/a b%20c#1") == (expected, "shop/a b%20c#1")


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("s3:///folder", r"s3:///folder: has no bucket; write s3://bucket/folder"),
        ("s3a:folder", r"s3a:folder: has no bucket; write s3a://bucket/folder"),
        ("gs://shop/x", r"gs://shop/x: gs: is not supported; use one of file:, hdfs:, .*s3:, s3a:"),
    ],
)
def test_a_uri_that_leads_nowhere_is_named(uri, message):
    with pytest.raises(DataError, match=message):
        files.exists(uri)


def test_a_reader_never_sees_a_part(folder):
    old, new = b"o" * 3_000_000, b"n" * 3_000_000
    files.write_bytes(f"{folder}/file", old)
    seen, done = set(), threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(files.read_bytes(f"{folder}/file"))

    reader = threading.Thread(target=read)
    reader.start()
    for content in [new, old] * 10:
        files.write_bytes(f"{folder}/file", content)
    done.set()
    reader.join()
    assert seen <= {old, new}


def test_a_write_that_fails_leaves_the_old_content_and_no_scraps(folder):
    files.write_bytes(f"{folder}/taken/file", b"old")
    with pytest.raises(OSError, match="taken"):
        files.write_bytes(f"{folder}/taken", b"new")
    assert files.read_bytes(f"{folder}/taken/file") == b"old"
    assert files.list_names(folder) == ["taken"]


def test_files_are_written_read_listed_and_deleted(folder):
    for name in ("b/2.parquet", "b/2.parquet", "a/deep/1.parquet", "a/_SUCCESS"):
        files.write_bytes(f"{folder}/{name}", name.encode())
    assert files.read_bytes(f"{folder}/b/2.parquet") == b"b/2.parquet"
    assert files.list_names(folder) == ["a", "b"]
    below = [f"{folder}/a/deep/1.parquet", f"{folder}/b/2.parquet"]
    assert files.list_files(folder, ".parquet") == below
    files.delete(f"{folder}/a")
    files.delete(f"{folder}/b/2.parquet")
    files.delete(f"{folder}/none")
    assert not files.exists(f"{folder}/a")
    assert files.exists(f"{folder}/b")
    assert files.list_files(folder, ".parquet") == []
    assert (files.list_names(f"{folder}/none"), files.list_files(f"{folder}/none", "")) == ([], [])
    with pytest.raises(FileNotFoundError, match="none"):
        files.read_bytes(f"{folder}/none")


def test_json_is_readable_by_a_person(folder):
    files.write_json(f"{folder}/record.json", {"shop": "Läden", "rows": 3})
    assert files.read_bytes(f"{folder}/record.json").decode() == (
        '{\n  "shop": "Läden",\n  "rows": 3\n}\n'
    )
    assert files.read_json(f"{folder}/record.json") == {"shop": "Läden", "rows": 3}


@pytest.mark.parametrize("content", [b'{"run": "2026-11-23', b"", b'{"run": "\xc3'])
def test_json_that_was_cut_short_says_so(folder, content):
    files.write_bytes(f"{folder}/manifest.json", content)
    with pytest.raises(DataError, match=r"manifest\.json: is not valid JSON .*may be cut short"):
        files.read_json(f"{folder}/manifest.json")
