"""Where the pointer stands after a run that is complete already; no Spark is needed to move it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from ncf_spark.config import load_config
from ncf_spark.night import STEPS
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.publishing import publish
from ncf_spark.storage import files
from ncf_spark.storage.warehouse import Warehouse


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(str(tmp_path))


def complete_night(warehouse: Warehouse, day: int) -> Job:
    """A night whose run is complete, and not published."""
    night = date(2026, 11, day)
    run = warehouse.open_run(night)
    files.write_json(f"{run.uri}/manifest.json", {"completed_at": "1"})
    config = load_config("conf/base.yaml", ["input.path=events"])
    return Job(STEPS, "export_campaign", config, None, night, warehouse, run)


def published(warehouse: Warehouse) -> str:
    run = warehouse.published_run()
    assert run is not None
    return run.name


def test_a_complete_run_is_published(warehouse: Warehouse):
    for day in (1, 2):
        publish(complete_night(warehouse, day))
        assert published(warehouse) == f"2026-11-0{day}.1"
    publish(complete_night(warehouse, 2))  # the same night once more
    assert published(warehouse) == "2026-11-02.2"


def test_the_pointer_never_goes_back_to_an_earlier_night(warehouse: Warehouse, caplog):
    publish(complete_night(warehouse, 2))
    publish(complete_night(warehouse, 1))
    assert published(warehouse) == "2026-11-02.1"
    assert "2026-11-02.1, of a later night, stays so" in caplog.text


def test_a_run_that_was_taken_back_is_not_published_again(warehouse: Warehouse, caplog):
    first, second = complete_night(warehouse, 1), complete_night(warehouse, 2)
    publish(second)
    warehouse.publish(first.run, withdrawn=second.run.name)
    publish(second)
    assert published(warehouse) == "2026-11-01.1"
    assert "was withdrawn by jobs/runs.py" in caplog.text
