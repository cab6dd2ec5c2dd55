"""Several nights by one command: each sees what it could have seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from ncf_spark.night import STEPS
from ncf_spark.pipeline.context import Job
from ncf_spark.storage import files
from ncf_spark.storage.warehouse import Warehouse
from tests.jobs.conftest import expect, write_config
from tests.jobs.in_process import run_job

SMALL = {
    "training": {"num_shards": 2, "num_workers": 1},
    "evaluation": {"num_negatives": 30},
    "recipients": {"path": None},
    "catalogue": {"path": None},
    "activity": {"features": {}},
}


def write_events(spark: SparkSession, folder: Path) -> None:
    """60 users and 50 items of September, a user and an item of October 1, and one of October 3."""
    at = datetime(2026, 9, 1, 12, tzinfo=timezone.utc)
    rows = [
        (f"u{u:02d}", f"i{(7 * u + 3 * n) % 50:02d}", at.replace(day=1 + n), "view")
        for u in range(60)
        for n in range(12)
    ]
    later = [("u00", "october 1", 1), ("october 1", "i01", 1), ("october 1", "i02", 1)]
    planted = [("u00", "future", 3), ("future", "i01", 3), ("future", "i02", 3)]
    rows += [(u, i, at.replace(month=10, day=day), "view") for u, i, day in [*later, *planted]]
    columns = "user_id string, item_id string, event_at timestamp, event_type string"
    spark.createDataFrame(rows, columns).coalesce(1).write.parquet(str(folder / "events"))


@pytest.fixture
def _prepared_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each night only the preparation is real: what follows reads its tables alone."""
    for name in list(STEPS)[2:]:
        monkeypatch.setitem(STEPS, name, replace(STEPS[name], run=lambda job: None))

    def publish(job: Job) -> None:
        job.run.complete({}, STEPS)
        job.warehouse.publish(job.run)

    monkeypatch.setattr("ncf_spark.pipeline.runner.publish", publish)
    monkeypatch.setattr("ncf_spark.night.print_first_rows", lambda *_, **__: None)


@pytest.mark.usefixtures("_prepared_alone")
def test_a_backfill_makes_each_night_without_a_trace_of_the_future(
    spark: SparkSession, tmp_path: Path
):
    write_events(spark, tmp_path)
    storage = {"warehouse": str(tmp_path / "w")}
    source = {"path": str(tmp_path / "events"), "min_user_items": 1}
    config = write_config(tmp_path / "conf", {**SMALL, "storage": storage, "input": source})
    nights = ["--from", "2026-10-01", "--to", "2026-10-03"]
    expect(run_job("nightly", "--config", config, *nights), 0)

    warehouse = Warehouse(str(tmp_path / "w"))
    runs = warehouse.runs()
    assert [run.name for run in runs] == ["2026-10-01.1", "2026-10-02.1", "2026-10-03.1"]
    assert [run.state for run in runs] == ["complete"] * 3
    published = warehouse.published_run()
    assert published is not None
    assert published.name == "2026-10-03.1"
    assert [run.based_on() for run in runs] == [None, "2026-10-01.1", "2026-10-02.1"]
    assert [len(read(run.uri, "user_index")) for run in runs] == [61, 61, 62]
    # The second night has no new event: the same ids, the same pairs.
    assert read(runs[0].uri, "train") == read(runs[1].uri, "train")

    # A night again after the future has come: indexes know it then, and nothing else does.
    again = ["--config", config, "--run-date", "2026-10-02", "--force"]
    output = expect(run_job("build_interactions", *again), 0)
    assert "2026-10-02.1 is complete; 2026-10-02.2 is started: build_interactions" in output
    expect(run_job("score_item_activity", *again), 0)
    second = f"{warehouse.uri}/runs/2026-10-02.2"
    assert len(read(second, "user_index")) == 62
    for table in ("train", "interactions", "item_activity"):
        assert read(runs[1].uri, table) == read(second, table), table


def read(run_uri: str, table: str) -> list[object]:
    found = pd.read_parquet(f"{run_uri}/{table}".removeprefix("file://"))
    assert len(found) > 0
    return sorted(found.itertuples(index=False, name=None), key=str)


def test_a_range_is_checked_before_anything_starts(tmp_path: Path):
    config = write_config(tmp_path / "conf", {"storage": {"warehouse": str(tmp_path / "w")}})
    for arguments, message in (
        (["--from", "2026-10-01"], "--from and --to go together, and without --run-date"),
        (["--from", "2026-10-02", "--to", "2026-10-01"], "--from 2026-10-02 is later than --to"),
    ):
        assert message in expect(run_job("nightly", "--config", config, *arguments), 2)
    assert files.list_names(str(tmp_path / "w")) == []
