"""One writer at a time, and what a killed one leaves behind."""

import json
import logging
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone

import pytest

from ncf_spark.schemas import DataError
from ncf_spark.storage import files, lock
from ncf_spark.storage.lock import Lock, LockedError, clear, read_claims

HOUR = timedelta(hours=1)


@pytest.fixture
def uri(tmp_path, monkeypatch) -> str:
    monkeypatch.setattr(lock, "_LONGEST_PAUSE_S", 0)  # in this process: nobody gives way here
    return files.to_uri(str(tmp_path / "ware house"))


def left_claim(uri: str, *, host: str, process: int, silent: timedelta) -> None:
    """A claim of somebody else, whose last sign of life was `silent` ago."""
    seen = (datetime.now(timezone.utc) - silent).isoformat(timespec="seconds")
    content = {"host": host, "process": process, "what": "nightly of 2026-11-01"}
    files.write_json(f"{uri}/locks/other.json", content | {"since": seen, "seen_at": seen})


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_second_of_two_is_refused_and_told_who_has_it(uri):
    with Lock(uri, "nightly of 2026-11-01", HOUR):
        with pytest.raises(LockedError, match="nightly of 2026-11-01") as raised:
            Lock(uri, "train of 2026-11-02", HOUR).__enter__()
        message = str(raised.value)
        assert f"process {os.getpid()} on {socket.gethostname()}, started 20" in message
        assert "jobs/runs.py --unlock" in message
        assert len(read_claims(f"{uri}/locks")) == 1
    with Lock(uri, "train of 2026-11-02", HOUR):
        pass
    assert read_claims(f"{uri}/locks") == {}


def test_a_failure_gives_the_lock_back(uri):
    with pytest.raises(ZeroDivisionError), Lock(uri, "train", HOUR):
        raise ZeroDivisionError
    assert read_claims(f"{uri}/locks") == {}


@pytest.mark.parametrize(
    ("host", "process", "silent", "left_behind"),
    [
        (None, "ended", timedelta(0), True),  # its process is gone
        (None, "own", timedelta(minutes=59), False),
        ("elsewhere", "ended", timedelta(minutes=59), False),  # nobody can tell
        ("elsewhere", "ended", timedelta(minutes=61), True),
    ],
)
def test_what_a_killed_run_left_is_taken_over(uri, caplog, host, process, silent, left_behind):
    number = ended_process() if process == "ended" else os.getpid()
    left_claim(uri, host=host or socket.gethostname(), process=number, silent=silent)
    caplog.set_level(logging.WARNING)
    mine = Lock(uri, "nightly of 2026-11-02", HOUR)
    if not left_behind:
        with pytest.raises(LockedError, match=r"nightly of 2026-11-01 .*last sign of life 5?\d"):
            mine.__enter__()
        return
    with mine:
        assert len(read_claims(f"{uri}/locks")) == 1
    [message] = caplog.messages
    assert message.startswith("a lock was left behind and is removed: nightly of 2026-11-01 (proc")


def test_a_silent_claim_stands_where_claims_never_expire(uri):
    left_claim(uri, host="elsewhere", process=1, silent=timedelta(days=9))
    with pytest.raises(LockedError, match=r"216 h 0 min ago"):
        Lock(uri, "train", None).__enter__()
    assert [claim.host for claim in clear(uri)] == ["elsewhere"]
    with Lock(uri, "train", None):
        pass


def test_who_lost_the_claim_notices_and_does_not_write_it_again(uri):
    with Lock(uri, "train", HOUR, seconds_between_signs=0.05) as mine:
        mine.check()
        clear(uri)
        time.sleep(0.2)  # so that it could have been written again
        with pytest.raises(LockedError, match="was removed while it ran"):
            mine.check()


def test_a_claim_shows_that_its_run_lives(uri):
    with Lock(uri, "train", HOUR, seconds_between_signs=0.05):
        [before] = read_claims(f"{uri}/locks").values()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            [now] = read_claims(f"{uri}/locks").values()
            if now.seen_at > before.seen_at:
                break
            time.sleep(0.1)
        assert now.seen_at > before.seen_at == now.since


def test_a_file_that_is_no_claim_is_named(uri):
    files.write_bytes(f"{uri}/locks/x.json", json.dumps({"host": "a"}).encode())
    with pytest.raises(DataError, match=r"locks/x\.json: is no lock of this program"):
        Lock(uri, "train", HOUR).__enter__()


def _hold(uri: str, begin, told, over) -> None:
    begin.wait()
    try:
        with Lock(uri, "night", HOUR):
            told.put("in")
            over.wait()
    except LockedError:
        told.put("refused")


def test_of_several_that_start_in_the_same_moment_one_gets_it(uri):
    context = multiprocessing.get_context("spawn")
    begin, told, over = context.Barrier(4), context.Queue(), context.Event()
    processes = [context.Process(target=_hold, args=(uri, begin, told, over)) for _ in range(4)]
    for process in processes:
        process.start()
    words = sorted(told.get(timeout=60) for _ in processes)
    over.set()
    for process in processes:
        process.join()
    assert words == ["in", "refused", "refused", "refused"]
