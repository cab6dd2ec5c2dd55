"""Processes killed in the middle of a night, and a disk that is full."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from ncf_spark.night import STEPS
from ncf_spark.storage import files
from ncf_spark.storage.warehouse import Warehouse
from tests.jobs.conftest import RUN_DATE, Night, contents, copy_warehouse, expect, sets_of
from tests.jobs.in_process import run_job
from tests.jobs.processes import NO_REPLANNING, start, submit

pytestmark = pytest.mark.slow

NEXT_DATE = "2026-11-02"
QUICK = {
    "training.epochs": 1,
    "training.num_workers": 1,
    "evaluation.baselines": "[popularity]",
    "evaluation.compared": "{}",
    "evaluation.bootstrap_samples": 0,
    "model.candidates": "[]",
    "gates.of_popularity": "null",
    "gates.of_last_night": "null",
}


class Watched:
    """A job whose output is read while it runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._threads = [
            threading.Thread(target=self._read, args=(stream,), daemon=True)
            for stream in (process.stdout, process.stderr)
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, stream: Iterator[str]) -> None:
        for line in stream:
            self.lines.append(line)

    def wait_for(self, pattern: str) -> None:
        """Returns when a line has the pattern; fails when the job ends before."""
        deadline = time.monotonic() + 600
        while not any(re.search(pattern, line) for line in list(self.lines)):
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"no {pattern}:\n{self.output[-4000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """As when the machine goes down: the driver and all that it started."""
        family = [*psutil.Process(self.process.pid).children(recursive=True)]
        for member in [psutil.Process(self.process.pid), *family]:
            if member.is_running():
                member.send_signal(signal.SIGKILL)
        self.process.wait()

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def end(self, status: int) -> str:
        """What was printed in all, after checking how it ended."""
        found = self.process.wait(timeout=900)
        for thread in self._threads:
            thread.join()
        assert found == status, self.output[-6000:]
        return self.output


def test_a_driver_that_is_killed_goes_on_where_it_was(night: Night, tmp_path: Path):
    """In two steps; in the end it has the rows of the shared night, which nothing disturbed."""
    warehouse = Warehouse(str(tmp_path / "w"))
    arguments = ["--config", night.config, "--run-date", RUN_DATE, *sets_of(warehouse)]
    for step in ("train", "evaluate"):
        job = Watched(start("jobs/nightly.py", *arguments, options=NO_REPLANNING))
        job.wait_for(f" {step}: starts in {RUN_DATE}.1")
        time.sleep(0.5)  # in the middle of it
        job.kill()
        assert warehouse.published_run() is None
    output = expect(submit("jobs/nightly.py", *arguments, options=NO_REPLANNING), 0)
    assert "a stale lock is removed: nightly of" in output
    done = [f"{step}: done in {RUN_DATE}.1, nothing has changed: skipped" for step in STEPS]
    assert [line in output for line in done] == [True] * 3 + [False] * 4
    run = warehouse.published_run()
    assert run is not None
    for name in ("train", "holdout", "item_activity", "ranks", "user_topk", "campaign_long"):
        assert contents(run, name) == contents(night.run, name), name


def an_executor(job: Watched) -> psutil.Process:
    """One of the job's executors, as soon as one is up."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for child in psutil.Process(job.process.pid).children(recursive=True):
            # Children come and go while they are listed.
            with contextlib.suppress(psutil.NoSuchProcess):
                if "org.apache.spark.executor.CoarseGrainedExecutorBackend" in child.cmdline():
                    return child
        time.sleep(0.1)
    return pytest.fail(f"no executor:\n{job.output[-4000:]}")


@pytest.fixture
def warehouse(night: Night, tmp_path: Path) -> Warehouse:
    """A copy of a warehouse with a published night."""
    return copy_warehouse(night.warehouse, tmp_path / "w")


def quick(night: Night, warehouse: Warehouse) -> list[str]:
    """The arguments of the night after, as short as it can be."""
    return ["--config", night.config, "--run-date", NEXT_DATE, *sets_of(warehouse, **QUICK)]


def assert_published(warehouse: Warehouse, name: str) -> None:
    published = warehouse.published_run()
    assert published is not None
    assert published.name == name


def test_executors_that_are_killed_are_replaced(night: Night, warehouse: Warehouse):
    job = Watched(start("jobs/nightly.py", *quick(night, warehouse), conf="local-cluster"))
    for step in ("build_interactions", "evaluate", "score_users"):
        job.wait_for(f" {step}: starts in")
        an_executor(job).send_signal(signal.SIGKILL)
    job.end(0)
    assert_published(warehouse, f"{NEXT_DATE}.1")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A file system of a given size; skips where there is no right to mount one."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(size: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("mounting a small file system needs more rights than this user has")
        return place

    yield mount
    if os.path.ismount(place):
        subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk(night: Night, small_disk: Callable[[str], Path]):
    source = night.folder / "ware house"
    used = sum(part.stat().st_size for part in source.rglob("*") if part.is_file())
    place = small_disk(f"{used * 12 // 10 // 1024 + 1024}k") / "w"
    shutil.copytree(source, place)
    warehouse = Warehouse(str(place))
    before = files.read_bytes(f"{warehouse.uri}/LATEST.json")
    output = expect(run_job("nightly", *quick(night, warehouse)), 1)
    assert "error: there is no space left where tables are written" in output
    assert "make room, and run the night again" in output
    assert files.read_bytes(f"{warehouse.uri}/LATEST.json") == before
    assert_published(warehouse, f"{RUN_DATE}.1")
    subprocess.run(["mount", "-o", "remount,size=500m", str(place.parent)], check=True)
    expect(run_job("nightly", *quick(night, warehouse)), 0)
    assert_published(warehouse, f"{NEXT_DATE}.1")
