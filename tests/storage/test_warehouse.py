"""Which of a warehouse's runs counts for what; its own life is in test_runs.py."""

from pathlib import Path

import pytest

from ncf_spark.errors import DataError, LockedError
from ncf_spark.storage import files
from ncf_spark.storage.runs import Run
from ncf_spark.storage.warehouse import Warehouse


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(str(tmp_path))


def completed(warehouse: Warehouse, name: str, at: str = "1", based_on: str | None = None) -> Run:
    """A run that was completed `at` some moment."""
    run = Run(f"{warehouse.uri}/runs/{name}")
    run.finish_step("build_interactions", {"based_on": based_on})
    files.write_json(f"{run.uri}/manifest.json", {"completed_at": at})
    return run


def names(runs: list[Run]) -> list[str]:
    return [run.name for run in runs]


def test_ids_go_on_from_the_run_that_was_completed_last_whatever_its_date(warehouse):
    assert warehouse.last_complete_run() is None
    completed(warehouse, "2026-11-02.1", at="2026-11-03T02:00:00+00:00")
    # A backfill; two runs that were completed within one second.
    completed(warehouse, "2026-11-01.2", at="2026-11-05T02:00:00+00:00")
    completed(warehouse, "2026-11-01.10", at="2026-11-05T02:00:00+00:00")
    files.write_bytes(f"{warehouse.uri}/runs/2026-11-09.1/manifest.json", b'{"comp')
    assert warehouse.last_complete_run().name == "2026-11-01.10"


def test_a_night_is_compared_with_what_was_published_before_it(warehouse):
    first = completed(warehouse, "2026-11-01.1")
    again = completed(warehouse, "2026-11-01.2")
    second = completed(warehouse, "2026-11-02.1")
    assert warehouse.night_before(first) is None
    warehouse.publish(first)
    assert warehouse.night_before(second).name == first.name
    assert warehouse.night_before(again) is None
    # Of a later night, or of the same: then it is the newest complete one of an earlier date.
    warehouse.publish(second)
    third = Run(f"{warehouse.uri}/runs/2026-11-02.2")
    assert warehouse.night_before(third).name == again.name
    assert names(warehouse.complete_runs_before(third)) == [again.name]


def test_of_old_runs_those_stay_that_something_rests_on(warehouse):
    # 01 and 02 are old; 03 is what 04 was made from, 04 is published; 06 was completed last.
    for day in (1, 2, 3, 5, 7, 8):
        completed(warehouse, f"2026-11-0{day}.1")
    published = completed(warehouse, "2026-11-04.1", based_on="2026-11-03.1")
    completed(warehouse, "2026-11-06.1", at="2")
    in_use = Run(f"{warehouse.uri}/runs/2026-11-05.1")
    warehouse.publish(published)
    assert warehouse.delete_old_runs(2, in_use) == ["2026-11-01.1", "2026-11-02.1"]
    assert names(warehouse.runs()) == [f"2026-11-0{day}.1" for day in range(3, 9)]


def test_who_lost_the_lock_publishes_nothing(warehouse):
    run = completed(warehouse, "2026-11-01.1")
    with warehouse.locked("nightly of 2026-11-01", None):
        files.delete(f"{warehouse.uri}/locks")
        with pytest.raises(LockedError, match="claim on the warehouse was removed"):
            warehouse.publish(run)
    assert warehouse.published_run() is None


def test_a_pointer_to_a_run_that_is_not_whole_is_a_clear_error(warehouse):
    run = completed(warehouse, "2026-11-01.1")
    warehouse.publish(run)
    files.write_bytes(f"{run.uri}/manifest.json", b'{"comp')
    with pytest.raises(DataError, match=r"names 2026-11-01\.1, whose manifest\.json is missing or"):
        warehouse.published_run()


def test_a_warehouse_that_cannot_be_written_is_refused(tmp_path, warehouse):
    warehouse.check_writable()
    assert files.list_files(warehouse.uri, "") == []
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"storage\.warehouse: cannot write to file://.*/file/w "):
        Warehouse(str(tmp_path / "file" / "w")).check_writable()
