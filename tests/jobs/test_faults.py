"""What goes wrong in a night: nothing published is lost, nothing is half-published.

A process that dies is an exception at one of its writes here; tests/jobs/test_kills.py kills some.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from ncf_spark.campaign.lists import Campaign
from ncf_spark.config import load_config
from ncf_spark.errors import DataError
from ncf_spark.night import STEPS
from ncf_spark.pipeline import publishing
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.runner import run_step
from ncf_spark.storage import files, tables
from ncf_spark.storage.runs import Run
from ncf_spark.storage.warehouse import Warehouse
from tests.jobs.conftest import (
    RUN_DATE,
    Night,
    contents,
    copy_run,
    copy_warehouse,
    expect,
    files_of,
    reopen,
    sets_of,
)
from tests.jobs.in_process import run_as, run_job

NEXT_DATE = "2026-11-02"


@pytest.fixture
def warehouse(night: Night, tmp_path: Path) -> Warehouse:
    """A copy of a warehouse with a published night."""
    return copy_warehouse(night.warehouse, tmp_path / "w")


def options(
    night: Night, warehouse: Warehouse, run_date: str = NEXT_DATE, **settings: object
) -> list[str]:
    """Of a job that works in that warehouse."""
    sets = sets_of(warehouse, **settings)
    return ["--config", night.config, "--run-date", run_date, *sets]


def assert_published(warehouse: Warehouse, name: str = f"{RUN_DATE}.1") -> None:
    """Readers find this run, and find it whole."""
    published = warehouse.published_run()
    assert published is not None
    assert published.name == name
    assert set(published.check_whole(STEPS)) == set(STEPS)


def newest(warehouse: Warehouse) -> Run:
    run = warehouse.newest_run(date.fromisoformat(NEXT_DATE))
    assert run is not None
    return run


# --- a process that dies at one of its writes ----------------------------------------------------


class DiedError(BaseException):
    """Nothing of the job catches it, as nothing catches the end of a process."""


@contextmanager
def dies_at(number: int) -> Iterator[list[str]]:
    """Within the block, neither the write or deletion of this number nor a later one happens.

    Only locks are given back: they are of this process, which lives.

    Yields:
        What was written and deleted so far.
    """
    done: list[str] = []

    def watched(do: Callable[..., Any], what: Callable[..., str]) -> Callable[..., Any]:
        def wrapper(*given: Any, **named: Any) -> Any:
            told = what(*given)
            if "/locks/" not in told and ".probe" not in told:
                if len(done) + 1 >= number:
                    raise DiedError(told)
                done.append(told)
            return do(*given, **named)

        return wrapper

    with pytest.MonkeyPatch.context() as patch:
        write, delete, write_table = files.write_bytes, files.delete, tables.write_table
        patch.setattr(files, "write_bytes", watched(write, lambda uri, *_: f"write {uri}"))
        patch.setattr(files, "delete", watched(delete, lambda uri: f"delete {uri}"))
        patch.setattr(
            tables, "write_table", watched(write_table, lambda _, uri, *__: f"write {uri}")
        )
        yield done


@contextmanager
def spark_remembers(folder: Path) -> Iterator[None]:
    """Within the block, Spark chooses a campaign's lists and writes each table once.

    It answers the same every time: who asks again gets a copy of the first answer.
    """
    chosen: list[DataFrame] = []
    counts: dict[str, dict[str, int]] = {}
    lists, write_table = Campaign.lists, tables.write_table

    def choose(campaign: Campaign, *given: DataFrame) -> DataFrame:
        if not chosen:
            chosen.append(lists(campaign, *given).localCheckpoint())
        return chosen[0]

    def write(rows: DataFrame, uri: str, schema: StructType, name: str, *more: Any) -> Any:
        path = uri.removeprefix("file://")
        if name in counts:
            shutil.copytree(folder / name, path)
        else:
            counts[name] = write_table(rows, uri, schema, name, *more)
            shutil.copytree(path, folder / name)
        return counts[name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Campaign, "lists", choose)
        patch.setattr(tables, "write_table", write)
        yield


def test_publishing_that_ends_at_any_write_shows_readers_a_whole_night(
    night: Night, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Readers see the night before up to the write of the pointer, and from then on the new one."""
    base = copy_warehouse(night.warehouse, tmp_path / "base")
    for name in ("2026-10-30.1", "2026-10-31.1"):
        copy_run(base, name)
    base.publish(Run(f"{base.uri}/runs/2026-10-31.1"))
    reopen(Run(f"{base.uri}/runs/{RUN_DATE}.1"))

    def job(warehouse: Warehouse) -> Job:
        place = warehouse.uri.removeprefix("file://")
        own = (f"storage.warehouse={place}", f"monitoring.openmetrics_path={place}/ncf.prom")
        config = load_config(night.config, [*own, "storage.keep_runs=1"])
        day = date.fromisoformat(RUN_DATE)
        run = warehouse.newest_run(day)
        assert run is not None
        return Job(STEPS, "export_campaign", config, spark, day, warehouse, run)

    # Spark answers the same every time.
    known = publishing.find_figures(
        job(base), Run(f"{base.uri}/runs/{RUN_DATE}.1").check_whole(STEPS)
    )
    monkeypatch.setattr(publishing, "find_figures", lambda job, records: known)
    for number in range(1, 100):
        warehouse = copy_warehouse(base, tmp_path / str(number))
        try:
            with dies_at(number) as done:
                publishing.publish(job(warehouse))
            break
        except DiedError:
            moved = any("LATEST.json" in what for what in done)
            assert_published(warehouse, f"{RUN_DATE}.1" if moved else "2026-10-31.1")
        publishing.publish(job(warehouse))
        assert_published(warehouse)
    whats = [what.rsplit("/", 1)[-1] for what in done]
    assert whats.index("manifest.json") < whats.index("LATEST.json")
    assert whats.index("LATEST.json") < len(whats) - 3  # the collector, MLflow and the old runs


def test_a_step_that_ends_at_any_write_is_made_again_and_comes_out_the_same(
    night: Night, tmp_path: Path
):
    short = {"campaign.k": 1, "campaign.tiers": "[bestsellers]"}
    undisturbed, warehouse = (
        copy_warehouse(night.warehouse, tmp_path / name) for name in ("undisturbed", "w")
    )
    for place in (undisturbed, warehouse):
        copy_run(place, "2026-10-31.1")
        place.publish(Run(f"{place.uri}/runs/2026-10-31.1"))
        run = Run(f"{place.uri}/runs/{RUN_DATE}.1")
        reopen(run)
        files.delete(f"{run.uri}/steps/export_campaign.json")
    arguments = options(night, warehouse, RUN_DATE, **short)
    with spark_remembers(tmp_path / "answers"):
        for number in range(1, 100):
            with dies_at(number) as done, pytest.raises(DiedError):
                run_job("export_campaign", *arguments)
            assert_published(warehouse, "2026-10-31.1")
            if f"write {run.uri}/steps/export_campaign.json" in done:
                break
            assert run.step_record("export_campaign") is None
    assert number > 10
    expect(run_job("export_campaign", *arguments), 0)
    assert_published(warehouse)
    expect(run_job("export_campaign", *options(night, undisturbed, RUN_DATE, **short)), 0)
    other = Run(f"{undisturbed.uri}/runs/{RUN_DATE}.1")
    for name in ("campaign_long", "campaign", "campaign_recipients", "campaign_report"):
        assert contents(run, name) == contents(other, name), name
    sent = "campaign_files/generic_csv"
    assert files.sizes(run.table_uri(sent)) == files.sizes(other.table_uri(sent))


def test_a_finished_night_that_is_asked_for_again_does_nothing(night: Night, warehouse: Warehouse):
    before = files_of(warehouse.uri)
    arguments = options(night, warehouse, RUN_DATE)
    output = expect(run_job("nightly", *arguments), 0)
    for step in STEPS:
        assert f"{step}: done in {RUN_DATE}.1, nothing has changed: skipped" in output
    assert "is published already" in output
    assert files_of(warehouse.uri) == before


# --- two at once, and files that are not whole ----------------------------------------------------


def test_two_nights_at_once(night: Night, warehouse: Warehouse):
    with warehouse.locked("nightly of 2026-11-02", None):
        output = expect(run_job("nightly", *options(night, warehouse)), 1)
    assert "another run writes to this warehouse: nightly of 2026-11-02 (process " in output
    assert "Traceback" not in output
    assert warehouse.newest_run(date.fromisoformat(NEXT_DATE)) is None


def test_a_manifest_cut_in_half_is_said_before_spark_starts(night: Night, warehouse: Warehouse):
    manifest = f"{warehouse.uri}/runs/{RUN_DATE}.1/manifest.json"
    files.write_bytes(manifest, files.read_bytes(manifest)[:1000])
    output = expect(run_job("nightly", *options(night, warehouse)), 2)
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
    output = expect(run_job("nightly", *options(night, warehouse, **settings)), 2)
    assert f"{part.name}: cannot be read; it is damaged, cut short" in output
    assert_published(warehouse)
    part.write_bytes(content)
    expect(run_job("build_interactions", *options(night, warehouse, **settings)), 0)
    assert newest(warehouse).name == f"{NEXT_DATE}.1"


def preparation(night: Night, spark: SparkSession, warehouse: Warehouse, *overrides: str) -> Job:
    config = load_config(night.config, [f"storage.warehouse={warehouse.uri}", *overrides])
    night_date = date.fromisoformat(NEXT_DATE)
    run = warehouse.open_run(night_date)
    return Job(STEPS, "build_interactions", config, spark, night_date, warehouse, run)


def test_an_input_that_changes_while_it_is_read(
    night: Night, warehouse: Warehouse, spark: SparkSession, tmp_path: Path
):
    shutil.copytree(night.folder / "input" / "events", tmp_path / "events")
    job = preparation(night, spark, warehouse, f"input.path={tmp_path / 'events'}")

    def disturbed(job: Job) -> None:
        [part, *_] = sorted((tmp_path / "events").glob("*.parquet"))
        shutil.copy(part, tmp_path / "events" / "late.parquet")

    with pytest.raises(DataError, match="its files changed while they were read"):
        run_as(job, disturbed)
    assert job.run.step_record("build_interactions") is None
    assert_published(warehouse)


def test_ids_that_become_fractions_overnight_are_refused(
    night: Night, warehouse: Warehouse, spark: SparkSession, tmp_path: Path
):
    events = spark.read.parquet(str(night.folder / "input" / "events"))
    fractions = events.selectExpr(
        "* except (user_id)", "cast(substr(user_id, 2) AS DOUBLE) AS user_id"
    )
    fractions.write.parquet(str(tmp_path / "events"))
    job = preparation(night, spark, warehouse, f"input.path={tmp_path / 'events'}")
    with pytest.raises(DataError, match="column user_id was string in the last run, and is double"):
        run_step(job)
    assert_published(warehouse)


def test_files_of_two_types_are_told_apart(
    night: Night, warehouse: Warehouse, spark: SparkSession, tmp_path: Path
):
    events = spark.read.parquet(str(night.folder / "input" / "events"))
    folder = tmp_path / "events"
    events.limit(500).coalesce(1).write.parquet(str(folder))
    others = events.limit(500).selectExpr("* except (user_id)", "5 AS user_id").coalesce(1)
    others.write.mode("append").parquet(str(folder))
    settings = {"input.path": folder}
    output = expect(run_job("build_interactions", *options(night, warehouse, **settings)), 2)
    assert "Parquet column [user_id]. Expected Spark type" in output
    assert "its columns are of other types than in the other files" in output
