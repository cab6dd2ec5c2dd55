"""A night from generated events to the campaign, and its rerun step by step."""

from __future__ import annotations

import csv
import io
import json

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.scoring.places import ScorerPlace
from ncf_spark.scoring.ranks import build_held_out, build_ranks
from ncf_spark.storage import files
from ncf_spark.storage.runs import STEP_TABLES, Run
from tests.jobs.conftest import NO_REPLANNING, RUN_DATE, Night, expect, submit

pytestmark = pytest.mark.slow


def table(spark: SparkSession, run: Run, name: str) -> DataFrame:
    return spark.read.parquet(run.finished_table_uri(name))


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
    notes = night.run.step_record("export_campaign")["notes"]
    left_out = notes["consenting recipients without enough recommendations, left out"]
    assert left_out == consenting.count() - campaign.count()
    refused = recipients.where("not consent")
    assert refused.count() > 0
    assert campaign.join(refused, on="user_id").count() == 0
    assert campaign.select("user_id").distinct().count() == campaign.count()


def test_the_csv_says_the_same_as_the_table(spark: SparkSession, night: Night):
    parts = files.list_files(night.run.table_uri("campaign_csv"), ".csv")
    rows = [
        row
        for part in parts
        for row in csv.DictReader(io.StringIO(files.read_bytes(part).decode()))
    ]
    campaign = table(spark, night.run, "campaign")
    assert list(rows[0]) == campaign.columns
    assert list(rows[0])[:8] == [
        "campaign_id",
        "run_date",
        "user_id",
        "email",
        "country",
        "arm",
        "item_1",
        "title_1",
    ]
    written = {(row["user_id"], row["item_1"], row["title_10"]) for row in rows}
    assert written == {tuple(r) for r in campaign.select("user_id", "item_1", "title_10").collect()}


def test_similar_items_are_others_and_eligible(spark: SparkSession, night: Night):
    similar = table(spark, night.run, "item_topk")
    assert similar.count() == 20 * table(spark, night.run, "item_activity").count()
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


def test_every_step_alone_writes_the_same_rows_again(spark: SparkSession, night: Night):
    """Another Spark master, an application a step, the same date: only the run's number differs."""
    for step in STEP_TABLES:
        arguments = ("--config", night.config, "--run-date", RUN_DATE)
        expect(submit(f"jobs/{step}.py", *arguments, options=NO_REPLANNING), 0)
    first, second = (Run(f"{night.warehouse.uri}/runs/{RUN_DATE}.{n}") for n in (1, 2))
    assert night.run.name == second.name
    records = files.read_json(f"{first.uri}/manifest.json")["steps"].values()
    tables = [name for record in records for name in record["tables"]]
    assert {"compared/als/user_vectors", "compared/mf/item_vectors", "ranks"} <= set(tables)
    for name in tables:
        before, after = (table(spark, run, name) for run in (first, second))
        assert before.schema == after.schema, name
        assert before.count() == after.count() > 0, name
        assert before.exceptAll(after).count() == 0, name
    assert figures(first) == figures(second)


def test_a_failing_run_leaves_the_published_tables_alone(night: Night):
    published = night.run.name
    pointer = (night.folder / "ware house" / "LATEST.json").read_bytes()
    arguments = ("--config", night.config, "--set", "input.where=event_type = 'nothing'")
    output = expect(submit("jobs/nightly.py", *arguments), 2)
    assert "interactions: no row is left" in output
    assert "input.where does not hold" in output
    assert (night.folder / "ware house" / "LATEST.json").read_bytes() == pointer
    assert night.run.name == published
    assert night.run.recorded_rows("campaign") > 0


def test_training_that_diverges_names_the_setting_to_lower(night: Night):
    pointer = (night.folder / "ware house" / "LATEST.json").read_bytes()
    settings = ("optimiser=sgd", "learning_rate=1e30", "num_workers=2")
    changes = [part for setting in settings for part in ("--set", f"training.{setting}")]
    changes += ["--set", "evaluation.compared={}", "--set", "evaluation.baselines=[]"]
    output = expect(submit("jobs/nightly.py", "--config", night.config, *changes), 2)
    [told] = [line for line in output.splitlines() if line.startswith("error: ")]
    assert told.startswith("error: model: neumf: the loss is not finite after epoch ")
    assert told.endswith("; lower training.learning_rate.")
    assert (night.folder / "ware house" / "LATEST.json").read_bytes() == pointer


def test_a_step_of_a_complete_run_is_refused(night: Night):
    assert night.run.is_complete
    with pytest.raises(schemas.DataError, match="a complete run never changes"):
        night.run.start_step("train")


def test_more_workers_than_slots_are_named_at_once(night: Night):
    arguments = ("--config", night.config, "--set", "training.num_workers=3")
    output = expect(submit("jobs/nightly.py", *arguments), 2)
    assert "training.num_workers is 3, but Spark has 2 task slots (master local[2])" in output
    assert "build_interactions" not in output


def test_all_wrong_settings_are_named_before_spark_starts(night: Night):
    arguments = ("--set", "training.epochs=0", "--set", "model.kind=svd", "--set", "inptu.path=x")
    output = expect(submit("jobs/train.py", "--config", night.config, *arguments), 2)
    for place in ("training.epochs is 0", "model.kind is 'svd'", "inptu: unknown setting"):
        assert place in output
    assert "Traceback" not in output


def test_a_step_out_of_turn_names_the_one_before_it(night: Night):
    arguments = ("--config", night.config, "--run-date", "2020-01-01")
    output = expect(submit("jobs/train.py", *arguments), 2)
    assert "there is no run of 2020-01-01. Run jobs/build_interactions.py" in output
