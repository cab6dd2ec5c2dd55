"""The end of a night on real tables: gates, manifest, pointer, old runs; and its reruns."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from ncf_spark.config import load_config
from ncf_spark.errors import DataError, LockedError, RefusedError
from ncf_spark.night import STEPS
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.history import clear_locks, describe_runs, publish_again
from ncf_spark.pipeline.publishing import publish
from ncf_spark.pipeline.runner import why_to_run
from ncf_spark.storage import files
from ncf_spark.storage.runs import Run
from ncf_spark.storage.warehouse import Warehouse
from tests.jobs.conftest import (
    RUN_DATE,
    Night,
    contents,
    copy_run,
    copy_warehouse,
    expect,
    reopen,
    table,
)
from tests.jobs.in_process import run_as, run_job

MakeJob = Callable[..., Job]


@pytest.fixture
def warehouse(night: Night, tmp_path: Path) -> Warehouse:
    """A copy of the night's."""
    return copy_warehouse(night.warehouse, tmp_path / "w")


@pytest.fixture
def job(night: Night, spark: SparkSession, warehouse: Warehouse) -> MakeJob:
    """Makes a job of the night in the copy."""

    def make(*overrides: str, name: str = "export_campaign", force: bool = False) -> Job:
        own = {
            "storage.warehouse": warehouse.uri,
            "monitoring.openmetrics_path": f"{warehouse.uri}/ncf.prom",
            "monitoring.mlflow_tracking_uri": "null",
        }
        settings = [f"{name}={value}" for name, value in own.items()]
        config = load_config(night.config, [*settings, *overrides])
        run = warehouse.newest_run(date.fromisoformat(RUN_DATE))
        assert run is not None
        return Job(STEPS, name, config, spark, date.fromisoformat(RUN_DATE), warehouse, run, force)

    return make


def test_the_manifest_says_what_the_run_was_made_of(warehouse: Warehouse):
    manifest = Run(f"{warehouse.uri}/runs/{RUN_DATE}.1").manifest()
    assert manifest is not None
    assert manifest["run"] == f"{RUN_DATE}.1"
    assert manifest["based_on"] is None
    assert set(manifest["inputs"]) == {"input", "catalogue", "recipients"}
    for facts in manifest["inputs"].values():
        assert facts["files"] >= 1
        assert facts["bytes"] > 1000
    assert manifest["config"]["model"]["kind"] == "neumf"
    assert manifest["seed"] == manifest["config"]["run"]["seed"]
    assert manifest["versions"]["spark"]
    assert set(manifest["seconds"]) == set(STEPS)
    assert manifest["tables"]["user_topk"]["num_rows"] > 0
    assert manifest["tables"]["user_topk"]["schema"]["fields"]
    figures = {(m["model"], m["protocol"], m["metric"]) for m in manifest["metrics"]}
    assert ("neumf", "full", "ndcg") in figures
    gates = {gate["gate"]: gate["passed"] for gate in manifest["gates"]}
    assert gates["max_rejected"] is True
    assert gates["of_last_night"] is None  # the first night ever


def test_a_refused_run_leaves_what_is_published_and_passes_when_the_gate_is_loosened(
    job: MakeJob, warehouse: Warehouse
):
    copy_run(warehouse, "2026-10-31.1")
    made = job("gates.of_popularity=100", "gates.min_coverage=1.0")
    warehouse.publish(Run(f"{warehouse.uri}/runs/2026-10-31.1"))
    reopen(made.run)
    with pytest.raises(RefusedError) as raised:
        publish(made)
    assert "is below 100 times popularity's" in str(raised.value)
    assert "items that are recommended" in str(raised.value)
    assert made.run.state == "refused"
    published = warehouse.published_run()
    assert published is not None
    assert published.name == "2026-10-31.1"
    verdicts = files.read_json(f"{made.run.uri}/refused.json")["gates"]
    assert [v["gate"] for v in verdicts if v["passed"] is False] == [
        "of_popularity",
        "min_coverage",
    ]
    page = files.read_bytes(f"{made.run.uri}/summary.txt").decode()
    assert "Published\n  No: gates.of_popularity: the model's " in page
    assert "2026-10-31.1 stays published." in page
    collected = files.read_bytes(f"{warehouse.uri}/ncf.prom").decode()
    assert "ncf_run_published 0.0" in collected
    publish(job("gates.of_popularity=null"))
    published = warehouse.published_run()
    assert published is not None
    assert published.name == made.run.name
    assert made.run.state == "complete"
    assert not files.exists(f"{made.run.uri}/refused.json")


def test_a_run_that_was_taken_back_is_not_published_again(job: MakeJob, warehouse: Warehouse):
    before = copy_run(warehouse, "2026-10-31.1")
    assert publish_again(warehouse, before.name, None).endswith(f"before: {RUN_DATE}.1")
    publish(job())
    published = warehouse.published_run()
    assert published is not None
    assert published.name == before.name
    publish_again(warehouse, f"{RUN_DATE}.1", None)
    published = warehouse.published_run()
    assert published is not None
    assert published.name == f"{RUN_DATE}.1"


@pytest.mark.parametrize(
    ("step", "change", "why"),
    [
        ("train", "scoring.k=20", None),
        ("train", "training.num_workers=1", None),
        ("train", "training.max_restarts=0", None),
        ("train", "model.factors=4", "it was done before, but model.factors was 8, is 4"),
        ("score_users", "scoring.k=19", "it was done before, but scoring.k was 20, is 19"),
        ("build_interactions", "training.epochs=9", None),
        (
            "build_interactions",
            "input.min_user_items=3",
            "it was done before, but input.min_user_items was 2, is 3",
        ),
    ],
)
def test_a_finished_step_runs_again_only_when_its_own_settings_changed(
    job: MakeJob, step: str, change: str, why: str | None
):
    assert why_to_run(job(change, name=step), step) == why


def test_another_campaign_of_a_published_night_trains_nothing_again(
    night: Night, warehouse: Warehouse
):
    changes = (f"storage.warehouse={warehouse.uri}", "campaign.k=2")
    changes += ("monitoring.openmetrics_path=null", "monitoring.mlflow_tracking_uri=null")
    settings = [part for change in changes for part in ("--set", change)]
    output = expect(run_job("nightly", "--config", night.config, *settings), 0)
    first, second = Run(f"{warehouse.uri}/runs/{RUN_DATE}.1"), warehouse.published_run()
    assert second is not None
    assert second.name == f"{RUN_DATE}.2"
    manifest = second.manifest()
    assert manifest is not None
    assert {step: record.get("copied_from") for step, record in manifest["steps"].items()} == {
        step: None if step == "export_campaign" else first.name for step in STEPS
    }
    assert f"{second.name}: unchanged, copied from {first.name}: build_interactions, " in output
    assert "export_campaign: done in" in output
    assert "train: starts in" not in output
    for name in ("user_topk", "ranks", "model/user_vectors"):
        assert contents(second, name) == contents(first, name)
    assert table(second, "campaign_long")["rank"].max() == 2


def test_force_runs_a_finished_step_again(job: MakeJob):
    assert why_to_run(job(force=True), "train") == "it was done before, but --force was given"


def test_new_files_of_the_input_are_noticed(
    night: Night, job: MakeJob, tmp_path: Path, spark: SparkSession
):
    shutil.copytree(night.folder / "input", tmp_path / "input")
    made = job(f"recipients.path={tmp_path / 'input' / 'recipients'}")
    why = why_to_run(made, "export_campaign")
    assert why is not None
    assert "recipients.path was" in why
    assert "the files of recipients have changed" in why


def test_ids_that_would_go_on_from_another_run_are_numbered_anew(
    job: MakeJob, warehouse: Warehouse
):
    made = job(name="build_interactions")
    other = copy_run(warehouse, "2026-10-31.1")
    files.delete(f"{warehouse.uri}/LATEST.json")
    reopen(made.run)
    reopen(other)
    assert why_to_run(made, "build_interactions") is None
    other.complete({}, STEPS)  # now its indexes are the last ones
    assert why_to_run(made, "build_interactions") == (
        "it was done before, but the run that ids go on from was None, is 2026-10-31.1; "
        "the night before was None, is 2026-10-31.1"
    )
    # What was published the night before is judged, and may be the incumbent.
    assert why_to_run(made, "evaluate") == (
        "it was done before, but the night before was None, is 2026-10-31.1"
    )


def test_a_skipped_last_step_still_publishes(job: MakeJob, warehouse: Warehouse):
    made = job()
    reopen(made.run)
    files.delete(f"{warehouse.uri}/LATEST.json")
    run_as(made, lambda job: pytest.fail("it is done already"))
    published = warehouse.published_run()
    assert published is not None
    assert published.name == made.run.name


def test_old_runs_go_but_never_those_in_use(job: MakeJob, warehouse: Warehouse):
    names = [f"2026-10-{day}.1" for day in range(20, 26)]
    for name in names:
        copy_run(warehouse, name)
    record = files.read_json(f"{warehouse.uri}/runs/{RUN_DATE}.1/steps/build_interactions.json")
    files.write_json(
        f"{warehouse.uri}/runs/{RUN_DATE}.1/steps/build_interactions.json",
        record | {"based_on": names[1]},
    )
    publish(job("storage.keep_runs=3"))
    assert [run.name for run in warehouse.runs()] == [names[1], *names[4:], f"{RUN_DATE}.1"]


def test_the_list_of_runs_shows_state_size_and_metrics(warehouse: Warehouse):
    open_run = copy_run(warehouse, "2026-11-02.1")
    reopen(open_run)
    files.delete(f"{open_run.uri}/steps/export_campaign.json")
    damaged = copy_run(warehouse, "2026-11-03.1")
    files.write_bytes(f"{damaged.uri}/manifest.json", b'{"run": "2026')
    head, titles, *lines = describe_runs(warehouse, list(STEPS)).splitlines()
    assert head == warehouse.uri
    assert titles.split()[:4] == ["run", "state", "steps", "size"]
    cells = [line.split()[:3] for line in lines]
    assert cells == [
        [f"{RUN_DATE}.1", "published", "7/7"],
        ["2026-11-02.1", "open", "6/7"],
        ["2026-11-03.1", "damaged", "7/7"],
    ]
    assert "ndcg@10 0." in lines[0]


def test_only_a_complete_run_can_be_published_by_hand(warehouse: Warehouse):
    with pytest.raises(DataError, match=r"there is no run 2026-01-01\.1\. There are: 2026"):
        publish_again(warehouse, "2026-01-01.1", None)
    reopen(copy_run(warehouse, "2026-11-02.1"))
    with pytest.raises(DataError, match="is open; only a complete run can be published"):
        publish_again(warehouse, "2026-11-02.1", None)
    with (
        warehouse.locked("nightly of 2026-11-02", None),
        pytest.raises(LockedError, match="nightly of 2026-11-02"),
    ):
        publish_again(Warehouse(warehouse.uri), f"{RUN_DATE}.1", None)
    assert clear_locks(warehouse).endswith("is not locked")


def test_the_command_lists_publishes_and_unlocks(night: Night, warehouse: Warehouse):
    def runs(*arguments: str) -> subprocess.CompletedProcess[str]:
        chosen = f"storage.warehouse={warehouse.uri}"
        return run_job("runs", "--config", night.config, "--set", chosen, *arguments)

    copy_run(warehouse, "2026-10-31.1")
    files.write_bytes(f"{warehouse.uri}/LATEST.json", b'{"run": "2026-')
    assert "2026-10-31.1  complete" in runs().stdout
    restored = runs("--publish", "2026-10-31.1")
    assert restored.returncode == 0, restored.stderr
    assert "2026-10-31.1  published" in runs().stdout
    assert "is not locked" in runs("--unlock").stdout
    wrong = runs("--publish", "yesterday")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: ")


def test_a_tracking_server_that_fails_loses_no_night(
    job: MakeJob, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, caplog
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    made = job("monitoring.mlflow_tracking_uri=http://127.0.0.1:9")
    files.delete(f"{warehouse.uri}/LATEST.json")
    reopen(made.run)
    publish(made)
    published = warehouse.published_run()
    assert published is not None
    assert published.name == made.run.name
    assert "127.0.0.1" in files.read_json(f"{made.run.uri}/mlflow.json")["error"]
    assert "MLflow could not record the night. The night itself is not affected" in caplog.text
