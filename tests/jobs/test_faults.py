"""What goes wrong in a night: nothing published is lost, nothing is half-published."""

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
from datetime import date
from pathlib import Path

import psutil
import pytest
from pyspark.sql import SparkSession

from ncf_spark.config import load_config
from ncf_spark.job import Job, run_step
from ncf_spark.schemas import DataError
from ncf_spark.storage import files
from ncf_spark.storage.runs import STEP_TABLES, Run
from ncf_spark.storage.warehouse import Warehouse
from tests.conftest import rows
from tests.jobs.conftest import (
    NO_REPLANNING,
    RUN_DATE,
    Night,
    copy_warehouse,
    expect,
    start,
    submit,
)

pytestmark = pytest.mark.slow

NEXT_DATE = "2026-11-02"
QUICK = {
    "training.epochs": 1,
    "training.num_workers": 1,
    "evaluation.baselines": "[popularity]",
    "evaluation.compared": "{}",
    "evaluation.bootstrap_samples": 0,
    "gates.of_popularity": "null",
    "gates.of_last_night": 0.0,
    "gates.max_churn": 1.0,
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


@pytest.fixture
def warehouse(night: Night, tmp_path: Path) -> Warehouse:
    """A copy of a warehouse with a published night."""
    return copy_warehouse(night, tmp_path / "w")


def options(night: Night, warehouse: Warehouse, **settings: object) -> list[str]:
    changes = {**QUICK, "storage.warehouse": warehouse.uri, **settings}
    sets = [part for name, value in changes.items() for part in ("--set", f"{name}={value}")]
    return ["--config", night.config, "--run-date", NEXT_DATE, *sets]


def assert_still_published(warehouse: Warehouse) -> None:
    published = warehouse.published_run()
    assert published is not None
    assert published.name == f"{RUN_DATE}.1"


def newest(warehouse: Warehouse) -> Run:
    run = warehouse.newest_run(date.fromisoformat(NEXT_DATE))
    assert run is not None
    return run


def test_a_driver_that_is_killed_in_each_step_goes_on_where_it_was(
    night: Night, warehouse: Warehouse, tmp_path: Path, spark: SparkSession
):
    arguments = ("jobs/nightly.py", *options(night, warehouse))
    for number, step in enumerate(STEP_TABLES):
        job = Watched(start(*arguments, options=NO_REPLANNING))
        job.wait_for(f" {step}: begins in {NEXT_DATE}.1")
        time.sleep(0.5)  # in the middle of it
        job.kill()
        assert_still_published(warehouse)
        # The step before was killed the last time, and is done now.
        skipped = job.output.count(f": done in {NEXT_DATE}.1, nothing has changed: skipped")
        assert skipped == max(0, number - 1)
        assert ("a lock was left behind and is removed: nightly of" in job.output) is (number > 0)
    expect(submit(*arguments, options=NO_REPLANNING), 0)
    run = warehouse.published_run()
    assert run is not None
    assert run.name == f"{NEXT_DATE}.1"
    gates = {gate["gate"]: gate for gate in (run.manifest() or {})["gates"]}
    assert gates["of_last_night"]["passed"] is True
    assert gates["of_last_night"]["figures"]["other"] > 0
    assert gates["max_churn"]["passed"] is True
    undisturbed = copy_warehouse(night, tmp_path / "undisturbed")
    expect(submit("jobs/nightly.py", *options(night, undisturbed), options=NO_REPLANNING), 0)
    for table in ("train", "holdout", "item_activity", "ranks", "user_topk", "campaign_long"):
        assert rows(spark.read.parquet(run.table_uri(table))) == rows(
            spark.read.parquet(newest(undisturbed).table_uri(table))
        ), table


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


def test_executors_that_are_killed_are_replaced(night: Night, warehouse: Warehouse):
    arguments = options(night, warehouse, **{"training.num_workers": 1})
    job = Watched(start("jobs/nightly.py", *arguments, conf="local-cluster"))
    for step in ("build_interactions", "evaluate", "score_users"):
        job.wait_for(f" {step}: begins in")
        an_executor(job).send_signal(signal.SIGKILL)
    job.end(0)
    run = warehouse.published_run()
    assert run is not None
    assert run.name == f"{NEXT_DATE}.1"


def test_two_nights_at_once(night: Night, warehouse: Warehouse):
    arguments = ("jobs/nightly.py", *options(night, warehouse))
    first = Watched(start(*arguments, options=NO_REPLANNING))
    first.wait_for("build_interactions: begins in")
    second = expect(submit(*arguments), 1)
    assert "another run writes to this warehouse: nightly of 2026-11-02 (process " in second
    assert "Traceback" not in second
    first.end(0)


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
    arguments = ("jobs/nightly.py", *options(night, warehouse))
    output = expect(submit(*arguments, options=NO_REPLANNING), 1)
    assert "error: there is no space left where tables are written" in output
    assert "make room, and run the night again" in output
    assert files.read_bytes(f"{warehouse.uri}/LATEST.json") == before
    assert_still_published(warehouse)
    subprocess.run(["mount", "-o", "remount,size=500m", str(place.parent)], check=True)
    expect(submit(*arguments, options=NO_REPLANNING), 0)
    run = warehouse.published_run()
    assert run is not None
    assert run.name == f"{NEXT_DATE}.1"


def test_a_manifest_cut_in_half_is_said_before_spark_starts(night: Night, warehouse: Warehouse):
    manifest = f"{warehouse.uri}/runs/{RUN_DATE}.1/manifest.json"
    files.write_bytes(manifest, files.read_bytes(manifest)[:1000])
    output = expect(submit("jobs/nightly.py", *options(night, warehouse)), 2)
    assert "LATEST.json: names 2026-11-01.1, whose manifest.json is missing or damaged" in output
    assert "jobs/runs.py --publish RUN" in output
    assert warehouse.newest_run(date.fromisoformat(NEXT_DATE)) is None


def test_a_truncated_file_among_the_inputs(night: Night, warehouse: Warehouse, tmp_path: Path):
    shutil.copytree(night.folder / "input" / "events", tmp_path / "events")
    [part, *_] = sorted((tmp_path / "events").glob("*.parquet"))
    content = part.read_bytes()
    part.write_bytes(content[: len(content) // 2])
    for hidden in (tmp_path / "events").glob(".*.crc"):
        hidden.unlink()
    settings = {"input.path": tmp_path / "events"}
    output = expect(submit("jobs/nightly.py", *options(night, warehouse, **settings)), 2)
    assert f"{part.name}: cannot be read; it is damaged, cut short" in output
    assert_still_published(warehouse)
    part.write_bytes(content)
    expect(submit("jobs/build_interactions.py", *options(night, warehouse, **settings)), 0)
    assert newest(warehouse).name == f"{NEXT_DATE}.1"


def test_a_clock_of_another_zone_changes_nothing(
    night: Night, warehouse: Warehouse, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    settings = options(night, warehouse)
    settings[settings.index(NEXT_DATE)] = RUN_DATE
    for step in ("build_interactions", "score_item_activity"):
        # What is there was made with another number of workers, which is no reason to run again.
        expect(submit(f"jobs/{step}.py", *settings, "--force", options=NO_REPLANNING), 0)
    run = Run(f"{warehouse.uri}/runs/{RUN_DATE}.2")
    for table in ("interactions", "split", "train", "validation", "holdout", "item_activity"):
        assert rows(spark.read.parquet(run.table_uri(table))) == rows(
            spark.read.parquet(night.run.table_uri(table))
        ), table


def preparation(night: Night, spark: SparkSession, warehouse: Warehouse, *overrides: str) -> Job:
    settings = [f"{key}={value}" for key, value in QUICK.items()]
    config = load_config(
        night.config, [*settings, f"storage.warehouse={warehouse.uri}", *overrides]
    )
    night_date = date.fromisoformat(NEXT_DATE)
    run = warehouse.open_run(night_date)
    return Job("build_interactions", config, spark, night_date, warehouse, run)


def test_an_input_that_changes_while_it_is_read(
    night: Night, warehouse: Warehouse, spark: SparkSession, tmp_path: Path
):
    shutil.copytree(night.folder / "input" / "events", tmp_path / "events")
    job = preparation(night, spark, warehouse, f"input.path={tmp_path / 'events'}")

    def disturbed(job: Job) -> None:
        job.note("events", {})
        [part, *_] = sorted((tmp_path / "events").glob("*.parquet"))
        shutil.copy(part, tmp_path / "events" / "late.parquet")

    with pytest.raises(DataError, match="its files changed while they were read"):
        run_step(job, disturbed)
    assert job.run.step_record("build_interactions") is None
    assert_still_published(warehouse)


def test_ids_that_become_fractions_overnight_are_refused(
    night: Night, warehouse: Warehouse, spark: SparkSession, tmp_path: Path
):
    import build_interactions

    events = spark.read.parquet(str(night.folder / "input" / "events"))
    fractions = events.selectExpr(
        "* except (user_id)", "cast(substr(user_id, 2) AS DOUBLE) AS user_id"
    )
    fractions.write.parquet(str(tmp_path / "events"))
    job = preparation(night, spark, warehouse, f"input.path={tmp_path / 'events'}")
    with pytest.raises(DataError, match="column user_id was string in the last run, and is double"):
        run_step(job, build_interactions.run)
    assert_still_published(warehouse)


def test_files_of_two_types_are_told_apart(
    night: Night, warehouse: Warehouse, spark: SparkSession, tmp_path: Path
):
    events = spark.read.parquet(str(night.folder / "input" / "events"))
    folder = tmp_path / "events"
    events.limit(500).coalesce(1).write.parquet(str(folder))
    others = events.limit(500).selectExpr("* except (user_id)", "5 AS user_id").coalesce(1)
    others.write.mode("append").parquet(str(folder))
    output = expect(
        submit("jobs/build_interactions.py", *options(night, warehouse, **{"input.path": folder})),
        2,
    )
    assert "Parquet column [user_id]. Expected Spark type" in output
    assert "its columns are of other types than in the other files" in output
