"""Results of a campaign, from the tables of a night to the files of the results."""

import json
import logging
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from ncf_spark import schemas
from ncf_spark.config import load_config
from ncf_spark.errors import ConfigError, DataError, SchemaError
from ncf_spark.inputs.outcomes import read_outcomes
from ncf_spark.measurement.measure import measure, read_arms, sent_run
from ncf_spark.measurement.report import exported_shares, write_results
from ncf_spark.night import STEPS
from ncf_spark.pipeline.context import Job
from ncf_spark.storage import files, tables
from ncf_spark.storage.warehouse import Warehouse
from tests.conftest import at

NIGHT = date(2026, 11, 1)
HALVES = "campaign.arms.holdout=0.5"
EVENTS = "user_id string, event_type string, event_at timestamp, paid double, mailing string"


class Shop:
    """A warehouse whose runs are nothing but their manifests and who was in which arm."""

    def __init__(self, spark, folder: Path) -> None:
        self.spark, self.folder = spark, folder
        self.warehouse = Warehouse(str(folder / "warehouse"))

    def job(self, *overrides: str, night: date = NIGHT) -> Job:
        source = [f"outcomes.path={self.folder}/events", "outcomes.columns.value=paid"]
        config = load_config(
            "conf/base.yaml", ["input.path=none", "campaign.id=spring", *source, *overrides]
        )
        run = self.warehouse.newest_run(night) or self.warehouse.open_run(night)
        return Job(STEPS, "measure_campaign", config, self.spark, night, self.warehouse, run)

    def send(self, people=None, night: date = NIGHT) -> str:
        """A complete run of a night; returns its name."""
        run = self.warehouse.open_run(night)
        if people is not None:
            uri = run.table_uri("campaign_recipients")
            tables.write_table(people, uri, schemas.CAMPAIGN_RECIPIENTS, "campaign_recipients")
        files.write_json(f"{run.uri}/manifest.json", {"completed_at": str(night)})
        return run.name

    def people(self, **arms: str):
        """campaign_recipients of some users by name."""
        rows = [("spring", NIGHT, user, arm, None, 3) for user, arm in arms.items()]
        return self.spark.createDataFrame(rows, schemas.CAMPAIGN_RECIPIENTS)

    def follow(self, *events) -> None:
        """The events that followed: (user, type, time as text, paid, campaign)."""
        given = [(u, t, None if a is None else at(a), v, c) for u, t, a, v, c in events]
        rows = self.spark.createDataFrame(given, EVENTS)
        rows.write.mode("overwrite").parquet(f"{self.folder}/events")

    def measure(self, *overrides: str, night: date = NIGHT) -> dict:
        """results.json, after the whole job."""
        job = self.job(*overrides, night=night)
        events = read_outcomes(job)
        job.run = sent_run(job)
        write_results(job, measure(job, read_arms(job), events))
        return json.loads((self.folder_of(night) / "results.json").read_text())

    def folder_of(self, night: date = NIGHT) -> Path:
        return self.folder / "warehouse" / "measurements" / "spring" / str(night)


@pytest.fixture
def shop(spark, tmp_path) -> Shop:
    return Shop(spark, tmp_path)


def test_other_campaigns_and_other_people_do_not_count(shop):
    shop.send(shop.people(ana="model", bob="holdout"))
    when = "2026-11-02 08:00"
    shop.follow(
        ("ana", "bought", when, 5.0, "spring"),
        ("ana", "bought", when, 7.0, "autumn"),
        ("bob", "bought", when, 1.0, None),
        ("zoe", "bought", when, 9.0, "spring"),
    )
    found = shop.measure(HALVES, "outcomes.columns.campaign=mailing")
    revenue = {r["arm"]: r["value"] for r in found["results"] if r["outcome"] == "revenue"}
    assert revenue == {"model": 5.0, "holdout": 1.0}
    assert found["events"] == {
        "events": 4,
        "events used": 2,
        "not used: the user is in no arm": 1,
        "not used: the event belongs to another campaign": 1,
    }


def test_without_values_there_is_no_revenue(shop):
    shop.send(shop.people(ana="model", bob="holdout"))
    shop.follow(("ana", "bought", "2026-11-02 08:00", 5.0, None))
    found = shop.measure(HALVES, "outcomes.columns.value=null")
    assert {row["outcome"] for row in found["results"]} == {"sent", "opened", "clicked", "bought"}
    assert "used, but bought without a number as value" not in found["events"]


def test_a_sample_ratio_mismatch_gives_a_warning(shop, caplog):
    users = {f"u{n}": "model" if n < 60 else "holdout" for n in range(80)}
    shop.send(shop.people(**users))
    shop.follow(("u1", "bought", "2026-11-02 08:00", 5.0, None))
    with caplog.at_level(logging.WARNING):
        found = shop.measure(HALVES)
    assert found["sample_ratio"]["mismatch"] is True
    assert found["sample_ratio"]["p_value"] < 0.001
    assert "SAMPLE RATIO MISMATCH" in caplog.text
    assert found["warnings"][0].startswith("SAMPLE RATIO MISMATCH")


def test_the_shares_are_those_that_the_night_was_exported_with(shop):
    shop.send(shop.people(ana="model"))
    job = shop.job("campaign.arms.holdout=0.4", "campaign.arms.popular=0.6")
    assert exported_shares(job) == {"model": 0.0, "popular": 0.6, "holdout": 0.4}
    arms = {"popular": 0.1, "holdout": 0.2, "salt": "x"}
    job.run.finish_step("export_campaign", {"config": {"campaign": {"arms": arms}}})
    assert exported_shares(job) == {"model": 0.7, "popular": 0.1, "holdout": 0.2}


def test_a_holdout_that_was_sent_something_and_an_open_window_give_warnings(shop):
    today = datetime.now(timezone.utc).date()
    shop.send(shop.people(ana="model", bob="holdout"), night=today)
    shop.follow(("bob", "sent", f"{today + timedelta(days=1)} 08:00", None, None))
    found = shop.measure(HALVES, night=today)["warnings"]
    assert [text.split(" ")[:4] for text in found] == [
        ["The", "window", "ends", "at"],
        ["1", "users", "of", "the"],
        ["No", "user", "has", "the"],
        ["No", "user", "has", "the"],
        ["No", "user", "has", "the"],
    ]
    assert found[-1] == "No user has the outcome bought: check measurement.bought, ['bought']."


def test_the_published_run_is_measured_else_the_newest_complete_one(shop):
    people = shop.people(ana="model")
    first, second = shop.send(people), shop.send(people)
    assert sent_run(shop.job()).name == second
    pointer = f"{shop.warehouse.uri}/LATEST.json"
    files.write_json(pointer, {"run": first})
    assert sent_run(shop.job()).name == first
    files.delete(f"{shop.warehouse.uri}/runs/{second}/manifest.json")
    files.write_json(pointer, {"run": shop.send(people, night=date(2026, 11, 2))})
    assert sent_run(shop.job()).name == first


def test_a_night_that_was_not_sent_is_refused(shop):
    with pytest.raises(DataError, match=r"there is no complete run of 2026-11-01\. Give the"):
        sent_run(shop.job())
    shop.send()
    with pytest.raises(DataError, match=r"2026-11-01\.1: has no table campaign_recipients, so the"):
        sent_run(shop.job())


def test_another_campaign_than_was_sent_is_refused(shop):
    shop.send(shop.people(ana="model"))
    with pytest.raises(DataError, match=r"of campaign autumn\. Campaigns there: \['spring'\]"):
        read_arms(shop.job("campaign.id=autumn"))


def test_no_source_is_a_matter_of_settings(shop):
    with pytest.raises(ConfigError, match=r"^outcomes\.path: is not set, .*outcomes\.table"):
        read_outcomes(shop.job("outcomes.path=null"))


def test_columns_that_cannot_serve_are_all_named(shop):
    shop.follow(("ana", "bought", "2026-11-02 08:00", 5.0, None))
    with pytest.raises(SchemaError, match="outcomes: column who is missing") as raised:
        read_outcomes(shop.job("outcomes.columns={user: who, type: what}"))
    assert "outcomes: column what is missing" in str(raised.value)
    job = shop.job("outcomes.columns.time=paid")
    with pytest.raises(SchemaError, match=r"outcomes: column paid \(outcomes\.columns\.time\) is"):
        read_outcomes(job)


def test_times_of_which_none_can_be_read_are_refused(shop):
    shop.send(shop.people(ana="model"))
    shop.follow(("ana", "bought", None, 5.0, None), (None, "bought", "2026-11-02", 1.0, None))
    with pytest.raises(
        DataError, match=r"column event_at \(outcomes\.columns\.time\) is empty in all of 1 r"
    ):
        shop.measure()
    assert not (shop.folder_of() / "results.json").exists()


def test_times_have_a_format_of_their_own_and_odd_ids_are_counted(shop, tmp_path, caplog):
    path = tmp_path / "tool.csv"
    path.write_text("who,what,when\nana,bought,02.11.2026 08:00\n bob ,bought,02.11.2026 09:00\n")
    given = (
        f"outcomes={{path: {path}, format: csv, options: {{header: true}}, "
        "columns: {user: who, type: what, time: when, value: null, campaign: null}}"
    )
    with pytest.raises(
        DataError, match=r"2 of 2 rows .* set outcomes\.time_format: dd\.MM\.yyyy HH"
    ):
        read_outcomes(shop.job(given))
    job = shop.job(given, "outcomes.time_format=dd.MM.yyyy HH:mm")
    found = read_outcomes(job).select("user_id", "event_at").collect()
    assert sorted(map(tuple, found)) == [
        ("ana", at("2026-11-02 08:00")),
        ("bob", at("2026-11-02 09:00")),
    ]
    note = "outcomes.columns.user: ids with blanks or control characters at their ends, taken off"
    assert job.notes[note] == 1
    assert "outcomes: 1 ids (outcomes.columns.user) had blanks at their ends" in caplog.text


def test_measured_again_it_replaces_and_a_failure_before_leaves_what_there_was(shop):
    shop.send(shop.people(ana="model", bob="holdout"))
    shop.follow(("ana", "bought", "2026-11-02 08:00", 5.0, None))
    assert shop.measure(HALVES)["events"]["events used"] == 1
    shop.follow(*[(user, "bought", "2026-11-02 08:00", 5.0, None) for user in ("ana", "bob")])
    assert shop.measure(HALVES)["events"]["events used"] == 2
    shop.follow(("ana", "bought", None, None, None))
    with pytest.raises(DataError, match="is empty in all"):
        shop.measure(HALVES)
    content = json.loads((shop.folder_of() / "results.json").read_text())
    assert content["events"]["events used"] == 2
    assert sorted(path.name for path in shop.folder_of().iterdir()) == [
        "lift.svg",
        "results",
        "results.json",
    ]


def test_what_was_written_in_part_does_not_count(shop, monkeypatch):
    shop.send(shop.people(ana="model", bob="holdout"))
    shop.follow(("ana", "bought", "2026-11-02 08:00", 5.0, None))
    shop.measure(HALVES)

    def full(uri: str, content: bytes) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(files, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        shop.measure(HALVES)
    assert not (shop.folder_of() / "results.json").exists()
    assert not (shop.folder_of() / "staging").exists()
