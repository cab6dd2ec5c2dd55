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

from ncf_spark.errors import DataError, LockedError
from ncf_spark.storage import files, lock
from ncf_spark.storage.lock import Lock, clear, read_claims

HOUR = timedelta(hours=1)


@pytest.fixture
def uri(tmp_path, monkeypatch) -> str:
    monkeypatch.setattr(lock, "_MAX_PAUSE_S", 0)  # nobody else tries here
    return files.to_uri(str(tmp_path / "ware house"))


def left_claim(uri: str, *, host: str, process: int, silent: timedelta) -> None:
    """A claim of somebody else, whose last heartbeat was `silent` ago."""
    seen = (datetime.now(timezone.utc) - silent).isoformat(timespec="seconds")
    content = {"host": host, "process": process, "what": "nightly of 2026-11-01"}
    files.write_json(f"{uri}/locks/other.json", content | {"since": seen, "seen_at": seen})


def wait_for(what) -> None:
    """Until it is true, at most 10 s."""
    deadline = time.monotonic() + 10
    while not what() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert what()


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
    # A failure gives the lock back too.
    with pytest.raises(ZeroDivisionError), Lock(uri, "train of 2026-11-02", HOUR):
        raise ZeroDivisionError
    assert read_claims(f"{uri}/locks") == {}


@pytest.mark.parametrize(
    ("host", "process", "silent", "is_stale"),
    [
        (None, "ended", timedelta(0), True),  # its process is gone
        (None, "own", timedelta(minutes=59), False),
        ("elsewhere", "ended", timedelta(minutes=59), False),  # nobody can tell
        ("elsewhere", "ended", timedelta(minutes=61), True),
    ],
)
def test_what_a_killed_run_left_is_taken_over(uri, caplog, host, process, silent, is_stale):
    number = ended_process() if process == "ended" else os.getpid()
    left_claim(uri, host=host or socket.gethostname(), process=number, silent=silent)
    caplog.set_level(logging.WARNING)
    mine = Lock(uri, "nightly of 2026-11-02", HOUR)
    if not is_stale:
        with pytest.raises(LockedError, match=r"nightly of 2026-11-01 .*last heartbeat 5?\d"):
            mine.__enter__()
        return
    with mine:
        assert len(read_claims(f"{uri}/locks")) == 1
    [message] = caplog.messages
    assert message.startswith("a stale lock is removed: nightly of 2026-11-01 (proc")


def test_a_silent_claim_stands_where_claims_never_expire(uri):
    left_claim(uri, host="elsewhere", process=1, silent=timedelta(days=9))
    with pytest.raises(LockedError, match=r"216 h 0 min ago"):
        Lock(uri, "train", None).__enter__()
    assert [claim.host for claim in clear(uri)] == ["elsewhere"]
    with Lock(uri, "train", None):
        pass


def test_who_lost_the_claim_notices_and_does_not_write_it_again(uri):
    with Lock(uri, "train", HOUR, heartbeat_s=0.05) as mine:
        mine.check()
        clear(uri)
        time.sleep(0.2)  # so that it could have been written again
        with pytest.raises(LockedError, match="was removed while it ran"):
            mine.check()


def test_a_claim_shows_that_its_run_lives(uri):
    with Lock(uri, "train", HOUR, heartbeat_s=0.05):
        [before] = read_claims(f"{uri}/locks").values()
        assert before.seen_at == before.since
        wait_for(
            lambda: max(c.seen_at for c in read_claims(f"{uri}/locks").values()) > before.seen_at
        )


@pytest.mark.parametrize("expires_after", [timedelta(seconds=0.2), None])
def test_who_cannot_renew_the_claim_says_so_and_loses_it_when_it_expires(
    uri, caplog, monkeypatch, expires_after
):
    with Lock(uri, "train of 2026-11-01", expires_after, heartbeat_s=0.1) as lock:
        lock.check()

        def broken(*_):
            raise OSError("the store does not answer")

        monkeypatch.setattr(files, "write_json", broken)
        wait_for(lambda: "for 0 s" in caplog.text if expires_after else len(caplog.messages) > 3)
        assert "could not be renewed: the store does not answer" in caplog.messages[0]
        if expires_after is None:
            lock.check()
        else:
            with pytest.raises(LockedError, match=r"not be renewed for .*lock_expires_minutes"):
                lock.check()


def test_a_store_that_is_back_in_time_loses_nothing(uri, caplog, monkeypatch):
    write, failed = files.write_json, []

    def broken_once(*given):
        if not failed:
            failed.append(given)
            raise OSError("the store does not answer")
        write(*given)

    with Lock(uri, "train", timedelta(seconds=30), heartbeat_s=0.05) as lock:
        started_at = read_claims(f"{uri}/locks")
        monkeypatch.setattr(files, "write_json", broken_once)
        wait_for(lambda: failed)
        time.sleep(0.3)
        lock.check()
        assert len(caplog.messages) == 1
        assert read_claims(f"{uri}/locks").keys() == started_at.keys()


def test_a_file_that_is_no_claim_is_named(uri):
    files.write_bytes(f"{uri}/locks/x.json", json.dumps({"host": "a"}).encode())
    with pytest.raises(DataError, match=r"locks/x\.json: is not a lock of this program"):
        Lock(uri, "train", HOUR).__enter__()


def _hold(uri: str, begin, results, over) -> None:
    begin.wait()
    try:
        with Lock(uri, "night", HOUR):
            results.put("in")
            over.wait()
    except LockedError:
        results.put("refused")


def test_of_several_that_start_in_the_same_moment_one_gets_it(uri):
    context = multiprocessing.get_context("spawn")
    begin, results, over = context.Barrier(4), context.Queue(), context.Event()
    processes = [context.Process(target=_hold, args=(uri, begin, results, over)) for _ in range(4)]
    for process in processes:
        process.start()
    found = sorted(results.get(timeout=60) for _ in processes)
    over.set()
    for process in processes:
        process.join()
    assert found == ["in", "refused", "refused", "refused"]
