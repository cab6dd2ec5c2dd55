"""The shared night again as processes: spark-submit, two executors and two Horovod workers.

Their clock is of another zone, they write one application's log, and must make the same rows.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ncf_spark.night import STEPS
from ncf_spark.storage import files
from ncf_spark.storage.warehouse import Warehouse
from tests.jobs.conftest import RUN_DATE, Night, contents, expect, figures, reopen, sets_of
from tests.jobs.in_process import run_job
from tests.jobs.processes import submit


@pytest.fixture(scope="module")
def smoke(night: Night, tmp_path_factory: pytest.TempPathFactory) -> Night:
    folder = tmp_path_factory.mktemp("smoke")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Pacific/Auckland")
        result = submit("jobs/nightly.py", *arguments(night, folder), conf="local-cluster")
    return Night(night.config, folder, expect(result, 0))


def arguments(night: Night, folder: Path, **settings: object) -> list[str]:
    """Of a job of the shared night, in a warehouse below `folder`."""
    sets = sets_of(Warehouse(str(folder / "ware house")), **settings)
    return ["--config", night.config, "--run-date", RUN_DATE, *sets]


def test_the_rows_are_those_of_the_steps_alone_in_one_process(smoke: Night, night: Night):
    records = files.read_json(f"{night.run.uri}/manifest.json")["steps"].values()
    tables = [name for record in records for name in record["tables"]]
    assert {"compared/als/user_vectors", "compared/mf/item_vectors", "ranks"} <= set(tables)
    for name in tables:
        one, other = contents(smoke.run, name), contents(night.run, name)
        assert one == other, name
        assert one[1], name
    assert figures(smoke.run) == figures(night.run)


def test_two_horovod_workers_shared_the_positives_and_exchanged_no_user_rows(smoke: Night):
    manifest = files.read_json(f"{smoke.run.uri}/model/manifest.json")
    assert manifest["num_workers"] == len(manifest["hosts"]) == 2
    assert [positives["mode"] for positives in manifest["positives"]] == ["resident", "resident"]
    assert all(positives["num_positives"] > 1000 for positives in manifest["positives"])
    assert set(manifest["bytes_exchanged"]) == {"shared_gradients", "totals", "rank_counts"}


def test_it_ends_with_tables_metrics_and_first_rows(smoke: Night):
    assert f"Published: {smoke.run.uri}" in smoke.output
    assert "popularity" in smoke.output
    assert "Article" in smoke.output
    assert "neumf epoch 2/2, loss 0." in smoke.output


def test_the_night_on_one_page_ends_the_log_and_stands_in_the_run(smoke: Night):
    page = files.read_bytes(f"{smoke.run.uri}/summary.txt").decode()
    assert page in smoke.output
    raw = smoke.run.step_record("build_interactions")["result"]["events"]["raw"]
    assert f"{raw:,}  raw events" in page
    assert "another event is equal to it (" in page
    assert f"{figures(smoke.run)['item_item', 'full', 'ndcg', 10]:.4f}" in page
    assert "popularity 0." in page
    assert f"Yes: {smoke.run.uri}, which LATEST.json names." in page


def test_the_log_has_a_line_for_each_step_with_counts_and_seconds(smoke: Night):
    lines = [line for line in smoke.output.splitlines() if re.search(r" INFO \w+: done in ", line)]
    assert [line.split()[2] for line in lines] == [f"{step}:" for step in STEPS]
    counts = smoke.run.step_record("score_users")["tables"]["user_topk"]["num_rows"]
    assert f"user_topk {counts:,} rows" in lines[4]
    assert "dropped duplicates" in lines[0]
    assert not re.search(r"^\d\d:\d\d:\d\d INFO spark", smoke.output, re.MULTILINE)


def test_spark_itself_says_little(smoke: Night):
    noise = re.findall(r"^\d\d:\d\d:\d\d [A-Z]+ spark .*", smoke.output, re.MULTILINE)
    assert len(noise) <= 3, noise


def test_neither_addresses_nor_users_are_printed(smoke: Night):
    assert "@mail.example" not in smoke.output
    assert "u000" not in smoke.output


# --- exit statuses -------------------------------------------------------------------------------


def test_a_night_that_a_gate_refuses_ends_with_3_and_stays_unpublished(smoke: Night):
    run = smoke.run
    pointer = smoke.folder / "ware house" / "LATEST.json"
    pointer.unlink()
    reopen(run)
    refusing = arguments(smoke, smoke.folder, **{"gates.of_popularity": 100})
    output = expect(run_job("export_campaign", *refusing), 3)
    assert f"refused: {run.uri}: is not published: gates.of_popularity: the model's" in output
    assert "export_campaign: done in 2026-11-01.1, nothing has changed: skipped" in output
    assert not pointer.exists()


def test_all_wrong_settings_are_named_before_spark_starts(night: Night):
    wrong = ("--set", "training.epochs=0", "--set", "model.kind=svd", "--set", "inptu.path=x")
    output = expect(submit("jobs/train.py", "--config", night.config, *wrong), 2)
    for place in ("training.epochs is 0", "model.kind is 'svd'", "inptu: unknown setting"):
        assert place in output
    assert "Traceback" not in output
