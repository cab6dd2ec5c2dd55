"""What a night makes of generated events, and what it says when it cannot."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
import torch
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from ncf_spark.campaign.explain import explain_item, explain_user
from ncf_spark.config import load_config
from ncf_spark.errors import DataError
from ncf_spark.evaluation.ranks import build_held_out, build_ranks
from ncf_spark.night import STEPS
from ncf_spark.pipeline.context import Job
from ncf_spark.scoring.spec import ScorerSpec
from ncf_spark.storage import files
from ncf_spark.storage.runs import Run
from tests.jobs.conftest import RUN_DATE, Night, copy_night, expect, figures, reopen, table
from tests.jobs.in_process import run_job

DATE = date.fromisoformat(RUN_DATE)


@pytest.fixture
def own_night(night: Night, tmp_path: Path) -> Night:
    """A copy of the night, to write to."""
    return copy_night(night, tmp_path / "own")


def test_the_pointer_names_a_whole_run(night: Night):
    pointer = json.loads((night.folder / "ware house" / "LATEST.json").read_text())
    assert pointer["path"] == f"runs/{RUN_DATE}.1"
    manifest = files.read_json(f"{night.run.uri}/manifest.json")
    assert list(manifest["steps"]) == list(STEPS)
    for record in manifest["steps"].values():
        assert record["config"]["run"]["seed"] == 20
        assert record["versions"]["torch"].startswith("2.")


# Spark jobs of each step, at most: what a small shop's night waits for. ALS has about 10 in train.
# The first step also looks at recipients and lists, so that none of it is told after the training.
MOST_SPARK_JOBS = {
    "build_interactions": 16,
    "score_item_activity": 2,
    "train": 15,
    "evaluate": 7,
    "score_users": 6,
    "similar_items": 2,
    "export_campaign": 18,
}


def test_no_step_runs_more_spark_jobs_than_it_is_held_to(night: Night):
    records = {step: night.run.step_record(step) for step in STEPS}
    found = {step: record["spark_jobs"] for step, record in records.items() if record}
    assert list(found) == list(MOST_SPARK_JOBS)
    assert all(found.values())  # counted at all
    assert {s: n for s, n in found.items() if n > MOST_SPARK_JOBS[s]} == {}
    assert sum(MOST_SPARK_JOBS.values()) <= 90


def test_the_figures_are_there_for_prometheus(night: Night):
    collected = (night.folder / "collector" / "ncf.prom").read_text()
    own = files.read_bytes(f"{night.run.uri}/metrics.prom").decode()
    for text in (collected, own):
        found = {f.name: f.samples for f in text_string_to_metric_families(text)}
        assert found["ncf_run_published"][0].value == 1
        assert found["ncf_last_success_timestamp_seconds"][0].value > 1.7e9
        assert {s.labels["step"] for s in found["ncf_step_duration_seconds"]} == set(STEPS)
        values = {tuple(s.labels.values()): s.value for s in found["ncf_model_metric"]}
        assert figures(night.run)["neumf", "full", "ndcg", 10] in values.values()
    assert [path.name for path in (night.folder / "collector").iterdir()] == ["ncf.prom"]


def test_the_night_is_a_run_in_mlflow(night: Night, monkeypatch: pytest.MonkeyPatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    run_id = files.read_json(f"{night.run.uri}/mlflow.json")["run_id"]
    run = mlflow.MlflowClient(f"file://{night.folder}/mlflow").get_run(run_id)
    assert run.data.metrics["neumf/full/ndcg_at_10"] == pytest.approx(
        figures(night.run)["neumf", "full", "ndcg", 10]
    )
    assert run.data.params["run.seed"] == "20"


def test_neither_addresses_nor_users_are_printed(night: Night):
    assert "@mail.example" not in night.output
    assert "u000" not in night.output


def test_dropped_events_are_counted_in_the_manifest(night: Night):
    events = night.run.step_record("build_interactions")["result"]["events"]
    dropped = events["dropped"]
    assert dropped.keys() >= {
        "no_user",
        "no_item",
        "no_time",
        "bad_time",
        "unknown_type",
        "duplicates",
    }
    assert sum(count > 0 for count in dropped.values()) >= 6
    assert events["raw"] - events["used"] == sum(dropped.values())


def test_ids_of_the_catalogue_and_of_recipients_are_held_against_the_events(night: Night):
    notes = night.run.step_record("build_interactions")["notes"]
    assert notes["items with events that are not in the catalogue"] == 0
    assert notes["rows of recipients whose user has no events"] == 0


def test_no_recommendation_was_seen_and_all_are_ranked_without_gaps(night: Night):
    topk = table(night.run, "user_topk")
    seen = (
        table(night.run, "interactions")
        .merge(table(night.run, "user_index"), on="user_id")
        .merge(table(night.run, "item_index"), on="item_id")
    )
    pair = ["user_index", "item_index"]
    assert topk.merge(seen, on=pair).empty
    assert not topk.duplicated(pair).any()
    ranks = topk.groupby("user_index")["rank"].apply(sorted)
    assert len(ranks) > 250
    assert {tuple(found) for found in ranks} == {tuple(range(1, 21))}


def test_the_best_candidate_is_published(night: Night):
    candidates = table(night.run, "champion")
    [best] = candidates[candidates.is_champion].to_dict("records")
    assert best["model"] == "item_item"
    assert "nothing was published before" in best["reason"]
    campaign = table(night.run, "campaign")
    assert set(table(night.run, "user_topk").source) == {"item_item"}
    assert set(campaign[campaign.arm == "model"].source_1) == {"item_item"}
    assert set(campaign[campaign.arm == "popular"].source_1) == {"bestseller"}
    page = files.read_bytes(f"{night.run.table_uri('report')}/index.html").decode()
    assert "Published is <b>item_item</b>" in page
    assert "Candidates for publishing" in page
    result = night.run.step_record("evaluate")["result"]
    values = {candidate["name"]: candidate["value"] for candidate in result["candidates"]}
    assert result["champion"] == "item_item"
    assert values["item_item"] > values["neumf"]


def test_the_share_of_full_lists_is_recorded_for_the_gate(night: Night):
    topk, train = table(night.run, "user_topk"), table(night.run, "train")
    k = night.run.step_record("export_campaign")["config"]["campaign"]["k"]
    share = (topk["rank"] == k).sum() / train.user_index.nunique()
    result = night.run.step_record("export_campaign")["result"]
    assert result["full_lists"] == pytest.approx(share)
    assert result["churn"] is None  # the first night


def test_only_recipients_with_consent_are_written_to(night: Night):
    recipients = pd.read_parquet(night.folder / "input" / "recipients")
    campaign = table(night.run, "campaign")
    consenting = recipients[recipients.consent][["user_id", "email"]]
    assert len(campaign) > 200
    assert set(campaign.user_id) == set(consenting.user_id)
    assert len(campaign.merge(consenting, on=["user_id", "email"])) == len(campaign)
    assert not campaign.duplicated("user_id").any()
    left_out = night.run.step_record("export_campaign")["result"]["recipients_left_out"]
    assert left_out == {"no_consent": len(recipients) - len(consenting)}
    assert left_out["no_consent"] > 0


def test_the_csv_says_the_same_as_the_table(night: Night):
    folder = Path(night.run.table_uri("campaign_files/generic_csv").removeprefix("file://"))
    assert sorted(path.name for path in folder.iterdir()) == ["campaign-0001.csv", "manifest.json"]
    for path, mode in ((folder, 0o700), *[(path, 0o600) for path in folder.iterdir()]):
        assert path.stat().st_mode & 0o777 == mode
    content = (folder / "campaign-0001.csv").read_bytes()
    manifest = json.loads((folder / "manifest.json").read_text())
    [part] = manifest["parts"]
    assert part["sha256"] == hashlib.sha256(content).hexdigest()
    assert "@" not in json.dumps(manifest)
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    assert part["rows"] == len(rows)
    assert list(rows[0]) == manifest["columns"]
    campaign = table(night.run, "campaign")
    names = ["user_id", "email", "arm", "item_1", "title_10", "url_10", "source_10"]
    written = {tuple(row[name] for name in names) for row in rows}
    assert written == set(campaign[names].itertuples(index=False, name=None))
    assert len(rows) == len(campaign)


def asked(spark: SparkSession, night: Night, *settings: str) -> Job:
    """A job that may be asked why."""
    config = load_config(night.config, settings)
    return Job(STEPS, "export_campaign", config, spark, DATE, night.warehouse, night.run)


def test_the_explanation_of_a_recipient_has_the_slots_and_the_rejected_items(
    spark: SparkSession, own_night: Night
):
    long = table(own_night.run, "campaign_long")
    user = long[long.arm == "model"].user_id.min()
    sent = long[long.user_id == user].sort_values("rank")
    asking = ("--config", own_night.config, "--run-date", RUN_DATE, "--explain", user)
    result = run_job("export_campaign", *asking)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[:2] == [
        f"{user} in campaign {sent.campaign_id.iloc[0]} of {RUN_DATE}",
        f"  arm model, {len(sent)} items",
    ]
    slots = [f"  slot {row.rank}: {row.item_id} by {row.source}" for row in sent.itertuples()]
    assert lines[2 : 2 + len(sent)] == slots
    (own_night.folder / "nobody.csv").write_text("user,consent\n")
    gone = f"path: {own_night.folder / 'nobody.csv'}, format: csv, options: {{header: true}}"
    columns = "columns: {user: user, consent: consent, email: null, country: null}"
    now = asked(spark, own_night, f"recipients={{{gone}, {columns}}}")
    assert explain_user(now, user).splitlines()[-1] == (
        "  rejected items are not known: with the current settings and tables the user gets no "
        "email"
    )
    assert explain_user(now, "nobody") == "nobody is not among the recipients."


def test_the_explanation_of_an_item_has_how_often_it_is_sent(spark: SparkSession, night: Night):
    long = table(night.run, "campaign_long")
    item = long.item_id.min()
    counts = long[long.item_id == item].groupby("source").size().sort_index()
    told = ", ".join(f"{count:,} by {source}" for source, count in counts.items())
    assert explain_item(asked(spark, night), item) == f"{item} is shown: {told}"
    nothing = explain_item(asked(spark, night), "none")
    assert nothing == "none is neither in the catalogue nor among the events."


def test_every_recipient_has_an_arm_or_a_reason(night: Night):
    became = table(night.run, "campaign_recipients")
    everyone = pd.read_parquet(night.folder / "input" / "recipients")
    assert len(became) == everyone.user_id.nunique()
    assert (became.arm.isna() != became.reason.isna()).all()
    report = table(night.run, "campaign_report")
    slots = report[report.kind == "slot"]
    assert slots.num.sum() == night.run.recorded_rows("campaign_long") > 0


def test_similar_items_are_others_and_eligible(night: Night):
    similar, items = table(night.run, "item_topk"), table(night.run, "item_activity")
    by_vectors = similar[similar.method == "embedding"]
    assert len(by_vectors) == 20 * len(items)
    assert by_vectors.support.isna().all()
    by_buyers = similar[similar.method == "co_purchase"]
    history = table(night.run, "history")
    bought = history[history.is_bought].merge(items, on="item_id")[["user_id", "item_index"]]
    other = bought.rename(columns={"item_index": "similar_item_index"})
    pairs = bought.drop_duplicates().merge(other.drop_duplicates(), on="user_id")
    counts = pairs.groupby(["item_index", "similar_item_index"]).size().rename("num").reset_index()
    counted = by_buyers.merge(counts, on=["item_index", "similar_item_index"])
    assert len(counted) == len(by_buyers) > len(items)
    assert (counted.support == counted.num).all()
    assert (similar.item_index != similar.similar_item_index).all()
    assert similar.score.between(-1.0001, 1.0001).all()


def test_every_model_is_judged_under_both_protocols(night: Night):
    evaluated = figures(night.run)
    models = {"neumf", "mf", "pretrained", "popularity", "item_item", "als"}
    for metric in ("hr", "ndcg", "recall", "mrr", "map"):
        for protocol in ("sampled_99", "full"):
            found = {m for m, *rest in evaluated if rest == [protocol, metric, 10]}
            assert found == models, (metric, protocol)
    assert all(0 <= value <= 1 for value in evaluated.values())


def test_the_stored_model_scores_the_validation_items_as_the_workers_did(
    spark: SparkSession, night: Night
):
    """The figures of the chosen epoch, once more, by the scorer and from the stored tables."""

    def read(name: str) -> DataFrame:
        return spark.read.parquet(night.run.finished_table_uri(name))

    for name, place in (("neumf", "model"), ("mf", "compared/mf")):
        manifest = files.read_json(f"{night.run.uri}/{place}/manifest.json")
        chosen = manifest["history"][manifest["chosen_epochs"][name] - 1]
        held_out = build_held_out(read("validation"), read("train"))
        ranks = build_ranks(
            held_out,
            name=name,
            scorer=ScorerSpec("model", f"{night.run.uri}/{place}", 2**20, 150),
            user_vectors=read(f"{place}/user_vectors"),
            sampled="sampled_99",
            max_k=10,
        )
        hits = ranks.where("protocol = 'sampled_99'").agg(F.avg(F.expr("int(rank <= 10)")))
        assert hits.first()[0] == pytest.approx(chosen["hr@10"])


def test_pretraining_goes_through_its_phases(night: Night):
    manifest = files.read_json(f"{night.run.uri}/compared/pretrained/manifest.json")
    assert [r["phase"] for r in manifest["history"]] == ["gmf"] * 2 + ["mlp"] * 2 + ["neumf"] * 2
    assert list(manifest["chosen_epochs"]) == ["gmf", "mlp", "neumf"]


def test_the_report_shows_every_model(night: Night):
    page = files.read_bytes(f"{night.run.uri}/report/index.html").decode()
    for name in ("neumf", "mf", "pretrained", "popularity", "item_item", "als"):
        assert name in page
    assert "kept out of training" in page
    value = figures(night.run)["neumf", "full", "ndcg", 10]
    assert f"{value:.4f}" in page


def test_each_step_logs_its_end_as_json_with_counts_and_seconds(night: Night):
    lines = [json.loads(line) for line in night.output.splitlines() if line.startswith("{")]
    for step in STEPS:
        [done] = [line for line in lines if f"{step}: done in " in line["message"]]
        assert (done["step"], done["run"], done["level"]) == (step, night.run.name, "INFO")
        assert done["seconds"] > 0
        assert sum(done["rows"].values()) > 0


# --- what ends otherwise -------------------------------------------------------------------------


def pointer_of(night: Night) -> bytes:
    return (night.folder / "ware house" / "LATEST.json").read_bytes()


def test_a_failing_run_leaves_the_published_tables_alone(own_night: Night):
    pointer = pointer_of(own_night)
    arguments = ("--config", own_night.config, "--set", "input.where=event_type = 'nothing'")
    output = expect(run_job("nightly", *arguments), 2)
    assert "interactions: no row is left" in output
    assert "input.where does not hold" in output
    assert pointer_of(own_night) == pointer
    assert own_night.run.name == f"{RUN_DATE}.1"
    assert own_night.run.recorded_rows("campaign") > 0


def unpublish(night: Night) -> Run:
    """As if the night had not ended yet; its run."""
    run = night.run
    files.delete(f"{night.warehouse.uri}/LATEST.json")
    reopen(run)
    return run


def test_training_that_diverges_names_the_setting_to_lower(own_night: Night):
    run = unpublish(own_night)
    settings = ("optimiser=sgd", "learning_rate=1e30", "num_workers=2")
    changes = [part for setting in settings for part in ("--set", f"training.{setting}")]
    changes += ["--set", "evaluation.compared={}"]
    output = expect(run_job("train", "--config", own_night.config, *changes), 2)
    [told] = [line for line in output.splitlines() if line.startswith("error: ")]
    assert told.startswith("error: neumf: neumf: the loss is not finite after epoch ")
    assert told.endswith("; lower training.learning_rate.")
    assert "restart" not in output
    assert run.step_record("train") is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_device_that_the_workers_lack_is_named_and_not_tried_again(own_night: Night):
    unpublish(own_night)
    changes = ("--set", "training.device=cuda", "--set", "evaluation.compared={}")
    output = expect(run_job("train", "--config", own_night.config, *changes, "--force"), 2)
    assert "error: neumf: training.device is cuda, but this worker has no usable GPU" in output
    assert "restart" not in output


def test_a_step_of_a_complete_run_is_refused(own_night: Night):
    assert own_night.run.is_complete
    with pytest.raises(DataError, match="a complete run never changes"):
        own_night.run.start_step(["train"], [])


def test_more_workers_than_slots_are_named_at_once(own_night: Night):
    arguments = ("--config", own_night.config, "--set", "training.num_workers=3")
    output = expect(run_job("nightly", *arguments), 2)
    assert "training.num_workers is 3, but Spark has 2 task slots (master local[" in output
    assert "build_interactions: starts in" not in output


def test_a_step_out_of_turn_names_the_one_before_it(own_night: Night):
    arguments = ("--config", own_night.config, "--run-date", "2020-01-01")
    output = expect(run_job("train", *arguments), 2)
    assert "there is no run of 2020-01-01. Run jobs/build_interactions.py" in output
