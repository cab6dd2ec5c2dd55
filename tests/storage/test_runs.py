"""The life of a run, from its first step to the pointer that publishes it."""

from datetime import date

import numpy as np
import pytest

from ncf_spark.errors import DataError
from ncf_spark.night import STEPS
from ncf_spark.storage import arrays, files
from ncf_spark.storage.runs import Run
from ncf_spark.storage.warehouse import Warehouse

NIGHT = date(2026, 11, 23)


@pytest.fixture
def warehouse(tmp_path) -> Warehouse:
    return Warehouse(str(tmp_path / "Läden 100%"))


def start(run: Run, step: str) -> list[str]:
    """Starts a step."""
    return run.start_step(list(STEPS)[list(STEPS).index(step) :], STEPS[step].writes)


def write_step(run: Run, step: str, num_rows: int = 2) -> None:
    """Does a step's work: each of its tables with `num_rows` rows, then its record."""
    start(run, step)
    tables = [table for table in STEPS[step].writes if not table.endswith(".json")]
    for table in tables:
        rows, vectors = np.arange(num_rows), np.zeros((num_rows, 1), np.float32)
        arrays.write_vectors(f"{run.table_uri(table)}/0.parquet", "row", rows, vectors)
    run.finish_step(step, {"step": step, "tables": {t: {"num_rows": num_rows} for t in tables}})


@pytest.fixture
def whole_run(warehouse) -> Run:
    run = warehouse.open_run(NIGHT)
    for step in STEPS:
        write_step(run, step)
    return run


# --- names --------------------------------------------------------------------------------------


def test_runs_of_a_date_are_numbered_from_1_and_beyond_9(warehouse):
    for name in ("2026-11-22.5", "2026-11-23.x", "2026-11-23", "2026-11-231.7"):
        files.write_bytes(f"{warehouse.uri}/runs/{name}/x", b"")
    assert warehouse.newest_run(NIGHT) is None
    for number in range(1, 12):
        run = warehouse.open_run(NIGHT)
        assert run.uri == f"{warehouse.uri}/runs/2026-11-23.{number}"
        files.write_bytes(f"{run.uri}/x", b"")
    assert warehouse.newest_run(NIGHT).name == "2026-11-23.11"


# --- steps --------------------------------------------------------------------------------------


def test_a_table_counts_only_when_its_step_has_recorded_it(warehouse):
    run = warehouse.open_run(NIGHT)
    files.write_bytes(f"{run.table_uri('item_activity')}/0.parquet", b"half a table")
    with pytest.raises(DataError, match=r"item_activity is not finished"):
        run.finished_table_uri("item_activity")
    write_step(run, "score_item_activity", num_rows=3)
    assert run.finished_table_uri("item_activity") == f"{run.uri}/item_activity"
    assert run.recorded_rows("item_activity") == 3


def test_starting_a_step_again_undoes_it_and_the_later_ones(warehouse):
    run = warehouse.open_run(NIGHT)
    for step in ("build_interactions", "score_item_activity", "train", "score_users"):
        write_step(run, step)
    assert start(run, "score_item_activity") == ["score_item_activity", "train", "score_users"]
    assert not files.exists(run.table_uri("item_activity"))
    assert run.recorded_rows("interactions") == 2
    for table in ("item_activity", "model/user_vectors", "user_topk"):
        with pytest.raises(DataError, match=f"table {table} is not finished"):
            run.finished_table_uri(table)


def test_a_record_cut_in_half_is_a_clear_error(warehouse):
    run = warehouse.open_run(NIGHT)
    write_step(run, "train")
    uri = f"{run.uri}/steps/train.json"
    record = files.read_bytes(uri)
    files.write_bytes(uri, record[: len(record) // 2])
    with pytest.raises(DataError, match=r"steps/train\.json: is not valid JSON .*cut short"):
        run.recorded_rows("model/user_vectors")


# --- completion ---------------------------------------------------------------------------------


def test_a_complete_run_has_a_manifest_of_all_steps(whole_run):
    manifest = whole_run.complete({}, STEPS)
    assert manifest["run"] == "2026-11-23.1"
    assert list(manifest["steps"]) == list(STEPS)
    assert files.read_json(f"{whole_run.uri}/manifest.json") == manifest


def test_a_complete_run_refuses_changes(whole_run):
    whole_run.complete({}, STEPS)
    for step in STEPS:
        with pytest.raises(DataError, match="is complete, and a complete run never changes"):
            start(whole_run, step)
    assert whole_run.recorded_rows("metrics") == 2


def test_changed_missing_and_damaged_tables_and_missing_steps_are_named_together(whole_run):
    extra = f"{whole_run.table_uri('metrics')}/1.parquet"
    arrays.write_vectors(extra, "row", np.arange(3), np.zeros((3, 1), np.float32))
    files.delete(whole_run.table_uri("ranks"))
    files.write_bytes(f"{whole_run.table_uri('item_topk')}/0.parquet", b"PAR1 and no more")
    files.delete(f"{whole_run.uri}/steps/score_users.json")
    with pytest.raises(DataError, match="step score_users has not finished") as raised:
        whole_run.complete({}, STEPS)
    lines = str(raised.value).splitlines()
    assert len(lines) == 4
    assert "table ranks cannot be read" in lines[1]
    assert "table metrics has 5 rows, but 2 were written" in lines[2]
    assert "table item_topk cannot be read" in lines[3]
    assert not whole_run.is_complete


# --- publishing ---------------------------------------------------------------------------------


def test_the_pointer_names_the_run_that_was_published_last(warehouse, whole_run):
    assert warehouse.published_run() is None
    whole_run.complete({}, STEPS)
    warehouse.publish(whole_run)
    second = warehouse.open_run(NIGHT)
    for step in STEPS:
        write_step(second, step)
    assert warehouse.published_run().uri == whole_run.uri
    second.complete({}, STEPS)
    warehouse.publish(second)
    assert warehouse.published_run().uri == second.uri
    assert files.read_json(f"{warehouse.uri}/LATEST.json")["path"] == "runs/2026-11-23.2"


def test_an_incomplete_run_is_not_published(warehouse, whole_run):
    with pytest.raises(DataError, match="is open; only a complete run can be published"):
        warehouse.publish(whole_run)
    assert warehouse.published_run() is None


@pytest.mark.parametrize("content", [b'{"run": "2026-1', b"{}", b"[]"])
def test_a_damaged_pointer_is_a_clear_error(warehouse, content):
    files.write_bytes(f"{warehouse.uri}/LATEST.json", content)
    with pytest.raises(DataError, match=r"LATEST\.json: (is not valid JSON|has no run)"):
        warehouse.published_run()
