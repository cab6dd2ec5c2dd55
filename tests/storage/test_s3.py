"""The warehouse on an object store: a real S3 server, which knows no rename."""

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import date

import pytest

from ncf_spark.errors import DataError
from ncf_spark.night import STEPS
from ncf_spark.storage import files
from ncf_spark.storage.runs import Run
from ncf_spark.storage.warehouse import Warehouse
from tests.s3 import Relay
from tests.storage.test_runs import write_step

NIGHT = date(2026, 11, 23)
LARGE = 12_000_000  # bytes: an upload of several parts


def written(relay: Relay, key: str) -> list[str]:
    """The methods of the requests that changed an object."""
    changing = ("PUT", "POST", "DELETE")
    return [m for m, path, _ in relay.requests if path.split("?")[0] == key and m in changing]


@pytest.fixture(params=["s3", "s3a"])
def folder(request, s3) -> str:
    return f"{request.param}://shop/Läden 100%/nächte #1 a=b"


# --- files --------------------------------------------------------------------------------------


def test_files_are_written_read_listed_and_deleted(folder):
    files.write_bytes(f"{folder}/a/deep/file", b"one")
    files.write_bytes(f"{folder}/a/deep/file", b"two")
    files.write_bytes(f"{folder}/b", b"")
    assert files.read_bytes(f"{folder}/a/deep/file") == b"two"
    assert files.read_bytes(f"{folder}/b") == b""
    assert files.list_names(folder) == ["a", "b"]
    assert files.list_files(folder, "") == [f"{folder}/a/deep/file", f"{folder}/b"]
    assert files.sizes(f"{folder}/a/deep") == {"file": 3}
    files.delete(f"{folder}/a")
    files.delete(f"{folder}/none")
    assert not files.exists(f"{folder}/a")
    assert files.exists(f"{folder}/b")
    assert files.list_names(f"{folder}/none") == []
    with pytest.raises(FileNotFoundError, match="none"):
        files.read_bytes(f"{folder}/none")


def test_a_reader_never_sees_a_part(s3):
    old, new, uri = b"o" * LARGE, b"n" * LARGE, "s3a://shop/file"
    files.write_bytes(uri, old)
    seen, done = set(), threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(files.read_bytes(uri))

    reader = threading.Thread(target=read)
    reader.start()
    for content in [new, old] * 2:
        files.write_bytes(uri, content)
    done.set()
    reader.join()
    assert seen <= {old, new}


def second_part(method: str, path: str) -> bool:
    return method == "PUT" and "partNumber=2" in path


def test_an_upload_that_fails_half_way_leaves_the_old_content(s3):
    files.write_bytes("s3://shop/file", b"old")
    s3.refuse = second_part
    with pytest.raises(OSError, match="file"):
        files.write_bytes("s3://shop/file", b"n" * LARGE)
    assert files.read_bytes("s3://shop/file") == b"old"
    assert files.list_files("s3://shop", "") == ["s3://shop/file"]


def test_a_writer_killed_half_way_leaves_the_old_content(s3):
    files.write_bytes("s3://shop/file", b"old")
    reached = threading.Event()

    def hold(method: str, path: str) -> bool:
        if second_part(method, path):
            reached.set()
            time.sleep(3)
        return False

    s3.refuse = hold
    code = (
        f"from ncf_spark.storage import files; files.write_bytes('s3://shop/file', b'n' * {LARGE})"
    )
    writer = subprocess.Popen([sys.executable, "-c", code], env=os.environ)
    assert reached.wait(60)
    writer.send_signal(signal.SIGKILL)
    assert writer.wait() == -signal.SIGKILL
    assert any("partNumber=1" in path for _, path, _ in s3.requests)
    time.sleep(3.5)  # until the held part has arrived
    assert files.read_bytes("s3://shop/file") == b"old"


# --- the environment ----------------------------------------------------------------------------


def test_the_keys_are_the_environments(s3, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATHENIGHT")
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    files.write_bytes("s3://shop/file", b"x")
    [signed] = {headers["authorization"].split(",")[0] for _, _, headers in s3.requests}
    assert "Credential=AKIATHENIGHT/" in signed
    assert "/eu-west-3/s3/" in signed


def test_a_bucket_that_is_not_there_is_named_before_anything_else(s3):
    with pytest.raises(DataError, match=r"warehouse: cannot write to s3a://nobody/w .*bucket"):
        Warehouse("s3a://nobody/w").check_writable()


# --- runs and the pointer -----------------------------------------------------------------------


def whole_run(warehouse: Warehouse) -> Run:
    run = warehouse.open_run(NIGHT)
    for step in STEPS:
        write_step(run, step)
    return run


def test_a_run_lives_from_its_first_step_to_the_pointer_without_a_rename(s3):
    warehouse = Warehouse("s3a://shop/ware house/")
    warehouse.check_writable()
    assert files.list_files(warehouse.uri, "") == []
    first = whole_run(warehouse)
    assert warehouse.published_run() is None
    first.complete({}, STEPS)
    warehouse.publish(first)
    second = whole_run(warehouse)
    assert second.name == "2026-11-23.2"
    assert warehouse.published_run().uri == first.uri == "s3a://shop/ware house/runs/2026-11-23.1"
    second.complete({}, STEPS)
    warehouse.publish(second)
    assert warehouse.published_run().name == second.name
    assert second.recorded_rows("model") == 2
    with pytest.raises(DataError, match="a complete run never changes"):
        first.start_step(["train"], [])
    copied = [path for _, path, headers in s3.requests if "x-amz-copy-source" in headers]
    assert copied == []
    # Started and completed, twice; never deleted.
    assert "DELETE" not in written(s3, "/shop/ware%20house/LATEST.json")


def test_the_pointer_stays_when_its_upload_fails(s3):
    warehouse = Warehouse("s3://shop/w")
    first, second = whole_run(warehouse), whole_run(warehouse)
    for run in (first, second):
        run.complete({}, STEPS)
    warehouse.publish(first)
    s3.refuse = lambda method, path: "LATEST.json?partNumber=1" in path
    with pytest.raises(OSError, match=r"LATEST\.json"):
        warehouse.publish(second)
    assert warehouse.published_run().name == first.name
