"""A night from generated events to the campaign, and its rerun step by step."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from datetime import date
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.config import load_config
from ncf_spark.job import Job
from ncf_spark.job.explaining import explain_item, explain_user
from ncf_spark.scoring.places import ScorerPlace
from ncf_spark.scoring.ranks import build_held_out, build_ranks
from ncf_spark.storage import files
from ncf_spark.storage.runs import STEP_TABLES, Run
from tests.jobs.conftest import NO_REPLANNING, RUN_DATE, Night, copy_night, expect, submit

pytestmark = pytest.mark.slow

DATE = date.fromisoformat(RUN_DATE)


def table(spark: SparkSession, run: Run, name: str) -> DataFrame:
    return spark.read.parquet(run.finished_table_uri(name))


@pytest.fixture
def own_night(night: Night, tmp_path: Path) -> Night:
    """A copy of the night, to write to."""
    return copy_night(night, tmp_path / "own")


def figures(run: Run) -> dict[tuple[str, str, str, int], float]:
    rows = files.read_json(f"{run.uri}/metrics.json")
    return {
        (r["model"], r["protocol"], r["metric"], r["k"]): r["value"]
        for r in rows
        if r["segment"] == "all"
    }


def test_the_pointer_names_a_whole_run(night: Night):
    pointer = json.loads((night.folder / "ware house" / "LATEST.json").read_text())
    assert pointer["path"] == f"runs/{RUN_DATE}.1"
    manifest = files.read_json(f"{night.run.uri}/manifest.json")
    assert list(manifest["steps"]) == list(STEP_TABLES)
    for record in manifest["steps"].values():
        assert record["config"]["run"]["seed"] == 20
        assert record["versions"]["torch"].startswith("2.")


def test_the_night_ends_with_tables_metrics_and_first_rows(night: Night):
    assert f"Published: {night.run.uri}" in night.output
    assert "popularity" in night.output
    assert "Article" in night.output
    assert "neumf epoch 2/2, loss 0." in night.output


def test_the_night_on_one_page_ends_the_log_and_stands_in_the_run(night: Night):
    page = files.read_bytes(f"{night.run.uri}/summary.txt").decode()
    assert page in night.output
    raw = night.run.step_record("build_interactions")["notes"]["events"]["raw events"]
    assert f"{raw:,}  raw events" in page
    assert "duplicates (" in page
    assert f"{figures(night.run)['neumf', 'full', 'ndcg', 10]:.4f}" in page
    assert "popularity 0." in page
    assert f"Yes: {night.run.uri}, which LATEST.json names." in page


def test_the_log_has_a_line_for_each_step_with_counts_and_seconds(night: Night):
    lines = [line for line in night.output.splitlines() if re.search(r" INFO \w+: done in ", line)]
    assert [line.split()[2] for line in lines] == [f"{step}:" for step in STEP_TABLES]
    counts = night.run.step_record("score_users")["tables"]["user_topk"]["num_rows"]
    assert f"user_topk {counts:,} rows" in lines[4]
    assert "; duplicates" in lines[0] or "dropped, duplicates" in lines[0]
    assert not re.search(r"^\d\d:\d\d:\d\d INFO spark", night.output, re.MULTILINE)


def test_spark_itself_says_little(night: Night):
    noise = re.findall(r"^\d\d:\d\d:\d\d [A-Z]+ spark .*", night.output, re.MULTILINE)
    assert len(noise) <= 3, noise


def test_the_figures_are_there_for_prometheus(night: Night):
    collected = (night.folder / "collector" / "ncf.prom").read_text()
    own = files.read_bytes(f"{night.run.uri}/metrics.prom").decode()
    for text in (collected, own):
        found = {f.name: f.samples for f in text_string_to_metric_families(text)}
        assert found["ncf_run_published"][0].value == 1
        assert found["ncf_last_success_timestamp_seconds"][0].value > 1.7e9
        assert {s.labels["step"] for s in found["ncf_step_duration_seconds"]} == set(STEP_TABLES)
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
    events = night.run.step_record("build_interactions")["notes"]["events"]
    dropped = {name: count for name, count in events.items() if name.startswith("dropped")}
    assert {name.split(",")[1].split()[0] for name in dropped} >= {
        "no_user",
        "no_item",
        "no_time",
        "bad_time",
        "unknown_type",
        "duplicates",
    }
    assert sum(count > 0 for count in dropped.values()) >= 6
    assert events["raw events"] - events["events used"] == sum(dropped.values())


def test_no_recommendation_was_seen_and_all_are_ranked_without_gaps(
    spark: SparkSession, night: Night
):
    topk = table(spark, night.run, "user_topk")
    seen = (
        table(spark, night.run, "interactions")
        .join(table(spark, night.run, "user_index"), on="user_id")
        .join(table(spark, night.run, "item_index"), on="item_id")
    )
    assert topk.count() == 20 * topk.select("user_index").distinct().count()
    assert topk.join(seen, on=["user_index", "item_index"]).count() == 0
    assert topk.select("user_index", "item_index").distinct().count() == topk.count()
    ranks = topk.groupBy("user_index").agg(F.sort_array(F.collect_list("rank")).alias("ranks"))
    assert [row.ranks for row in ranks.select("ranks").distinct().collect()] == [list(range(1, 21))]


def test_only_recipients_with_consent_are_written_to(spark: SparkSession, night: Night):
    recipients = spark.read.parquet(str(night.folder / "input" / "recipients"))
    campaign = table(spark, night.run, "campaign")
    consenting = recipients.where("consent").select("user_id", "email")
    assert campaign.count() > 200
    assert campaign.join(consenting, on=["user_id", "email"], how="left_anti").count() == 0
    refused = recipients.where("not consent")
    assert refused.count() > 0
    left_out = night.run.step_record("export_campaign")["notes"]["recipients left out"]
    assert left_out == {"no_consent": refused.count()}
    assert campaign.count() == consenting.count()
    assert campaign.join(refused, on="user_id").count() == 0
    assert campaign.select("user_id").distinct().count() == campaign.count()


def test_the_csv_says_the_same_as_the_table(spark: SparkSession, night: Night):
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
    campaign = table(spark, night.run, "campaign")
    names = ("user_id", "email", "arm", "item_1", "title_10", "url_10", "source_10")
    written = {tuple(row[name] for name in names) for row in rows}
    assert written == {tuple(row) for row in campaign.select(*names).collect()}
    assert len(rows) == campaign.count()


def asked(spark: SparkSession, night: Night, *settings: str) -> Job:
    """A job that may be asked why."""
    config = load_config(night.config, settings)
    return Job("export_campaign", config, spark, DATE, night.warehouse, night.run)


def test_who_asks_for_a_recipient_is_told_the_slots_and_what_was_passed_over(
    spark: SparkSession, own_night: Night
):
    long = table(spark, own_night.run, "campaign_long")
    user = long.where("arm = 'model'").orderBy("user_id").first()["user_id"]
    sent = long.where(F.col("user_id") == user).orderBy("rank").collect()
    lines = explain_user(asked(spark, own_night), user).splitlines()
    assert lines[:2] == [
        f"{user} in campaign {sent[0]['campaign_id']} of {RUN_DATE}",
        f"  arm model, {len(sent)} items",
    ]
    slots = [f"  slot {row['rank']}: {row['item_id']} by {row['source']}" for row in sent]
    assert lines[2 : 2 + len(sent)] == slots
    (own_night.folder / "nobody.csv").write_text("user,consent\n")
    gone = f"path: {own_night.folder / 'nobody.csv'}, format: csv, options: {{header: true}}"
    columns = "columns: {user: user, consent: consent, email: null, country: null}"
    now = asked(spark, own_night, f"recipients={{{gone}, {columns}}}")
    assert explain_user(now, user).splitlines()[-1] == (
        "  what was passed over cannot be told: by the settings and tables as they are now the "
        "user gets no mail"
    )
    assert explain_user(now, "nobody") == "nobody is not among the recipients."


def test_who_asks_for_an_item_is_told_how_often_it_stands(spark: SparkSession, night: Night):
    long = table(spark, night.run, "campaign_long")
    item = long.orderBy("item_id").first()["item_id"]
    counts = long.where(F.col("item_id") == item).groupBy("source").count().orderBy("source")
    told = ", ".join(f"{row['count']:,} by {row['source']}" for row in counts.collect())
    assert explain_item(asked(spark, night), item) == f"{item} is shown: {told}"
    nothing = explain_item(asked(spark, night), "none")
    assert nothing == "none is neither in the catalogue nor among the events."


def test_every_recipient_has_an_arm_or_a_reason(spark: SparkSession, night: Night):
    became = table(spark, night.run, "campaign_recipients")
    everyone = spark.read.parquet(str(night.folder / "input" / "recipients"))
    assert became.count() == everyone.select("user_id").distinct().count()
    assert became.where("(arm is null) = (reason is null)").count() == 0
    report = table(spark, night.run, "campaign_report").where("kind = 'slot'")
    assert report.agg(F.sum("num")).first()[0] == night.run.recorded_rows("campaign_long")


def test_similar_items_are_others_and_eligible(spark: SparkSession, night: Night):
    similar = table(spark, night.run, "item_topk")
    items = table(spark, night.run, "item_activity")
    by_vectors = similar.where("method = 'embedding'")
    assert by_vectors.count() == 20 * items.count()
    assert by_vectors.where("support is not null").count() == 0
    by_buyers = similar.where("method = 'co_purchase'")
    bought = table(spark, night.run, "history").where("is_bought").select("user_id", "item_id")
    one, other = (
        bought.join(items.select("item_id", F.col("item_index").alias(name)), on="item_id")
        .join(table(spark, night.run, "user_index"), on="user_id")
        .select("user_id", name)
        for name in ("item_index", "similar_item_index")
    )
    pairs = one.join(other, on="user_id").groupBy("item_index", "similar_item_index").count()
    counted = by_buyers.join(pairs, on=["item_index", "similar_item_index"])
    assert counted.where("support = count").count() == by_buyers.count() > items.count()
    assert similar.where("item_index = similar_item_index").count() == 0
    assert similar.where("score > 1.0001 or score < -1.0001").count() == 0


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
    for name, place in (("neumf", "model"), ("mf", "compared/mf")):
        manifest = files.read_json(f"{night.run.uri}/{place}/manifest.json")
        chosen = manifest["history"][manifest["chosen_epochs"][name] - 1]
        held_out = build_held_out(
            table(spark, night.run, "validation"), table(spark, night.run, "train")
        )
        ranks = build_ranks(
            held_out,
            name=name,
            scorer=ScorerPlace("model", f"{night.run.uri}/{place}", 2**20, 150),
            user_vectors=spark.read.parquet(f"{night.run.uri}/{place}/user_vectors"),
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


def test_every_step_alone_writes_the_same_rows_again(spark: SparkSession, own_night: Night):
    """Another Spark master, an application a step, the same date: only the run's number differs."""
    for step in STEP_TABLES:
        arguments = ("--config", own_night.config, "--run-date", RUN_DATE)
        as_json = ("--set", "logging.format=json")
        # The first one opens another run; without --force it would be skipped.
        force = ("--force",) if step == "build_interactions" else ()
        job = submit(f"jobs/{step}.py", *arguments, *as_json, *force, options=NO_REPLANNING)
        output = expect(job, 0)
        lines = [json.loads(line) for line in output.split("\n") if line.startswith("{")]
        [done] = [line for line in lines if f"{step}: done in " in line["message"]]
        assert (done["step"], done["level"]) == (step, "INFO")
        assert done["seconds"] > 0
        assert sum(done["rows"].values()) > 0
    first, second = (Run(f"{own_night.warehouse.uri}/runs/{RUN_DATE}.{n}") for n in (1, 2))
    assert own_night.run.name == second.name
    records = files.read_json(f"{first.uri}/manifest.json")["steps"].values()
    tables = [name for record in records for name in record["tables"]]
    assert {"compared/als/user_vectors", "compared/mf/item_vectors", "ranks"} <= set(tables)
    for name in tables:
        before, after = (table(spark, run, name) for run in (first, second))
        assert before.schema == after.schema, name
        assert before.count() == after.count() > 0, name
        assert before.exceptAll(after).count() == 0, name
    assert figures(first) == figures(second)


def test_a_failing_run_leaves_the_published_tables_alone(own_night: Night):
    published = own_night.run.name
    pointer = (own_night.folder / "ware house" / "LATEST.json").read_bytes()
    arguments = ("--config", own_night.config, "--set", "input.where=event_type = 'nothing'")
    output = expect(submit("jobs/nightly.py", *arguments), 2)
    assert "interactions: no row is left" in output
    assert "input.where does not hold" in output
    assert (own_night.folder / "ware house" / "LATEST.json").read_bytes() == pointer
    assert own_night.run.name == published
    assert own_night.run.recorded_rows("campaign") > 0


def test_training_that_diverges_names_the_setting_to_lower(own_night: Night):
    pointer = (own_night.folder / "ware house" / "LATEST.json").read_bytes()
    settings = ("optimiser=sgd", "learning_rate=1e30", "num_workers=2")
    changes = [part for setting in settings for part in ("--set", f"training.{setting}")]
    changes += ["--set", "evaluation.compared={}"]
    output = expect(submit("jobs/nightly.py", "--config", own_night.config, *changes), 2)
    [told] = [line for line in output.splitlines() if line.startswith("error: ")]
    assert told.startswith("error: model: neumf: the loss is not finite after epoch ")
    assert told.endswith("; lower training.learning_rate.")
    assert (own_night.folder / "ware house" / "LATEST.json").read_bytes() == pointer


def test_a_step_of_a_complete_run_is_refused(own_night: Night):
    assert own_night.run.is_complete
    with pytest.raises(schemas.DataError, match="a complete run never changes"):
        own_night.run.start_step("train")


def test_more_workers_than_slots_are_named_at_once(own_night: Night):
    arguments = ("--config", own_night.config, "--set", "training.num_workers=3")
    output = expect(submit("jobs/nightly.py", *arguments), 2)
    assert "training.num_workers is 3, but Spark has 2 task slots (master local[2])" in output
    assert "build_interactions" not in output


def test_all_wrong_settings_are_named_before_spark_starts(own_night: Night):
    arguments = ("--set", "training.epochs=0", "--set", "model.kind=svd", "--set", "inptu.path=x")
    output = expect(submit("jobs/train.py", "--config", own_night.config, *arguments), 2)
    for place in ("training.epochs is 0", "model.kind is 'svd'", "inptu: unknown setting"):
        assert place in output
    assert "Traceback" not in output


def test_a_step_out_of_turn_names_the_one_before_it(own_night: Night):
    arguments = ("--config", own_night.config, "--run-date", "2020-01-01")
    output = expect(submit("jobs/train.py", *arguments), 2)
    assert "there is no run of 2020-01-01. Run jobs/build_interactions.py" in output
