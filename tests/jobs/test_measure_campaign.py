"""jobs/measure_campaign.py on a tiny warehouse that stands as a night leaves it."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ncf_spark import schemas
from ncf_spark.storage.files import write_json
from ncf_spark.storage.tables import read_table, write_table
from tests.conftest import rows
from tests.jobs.conftest import RUN_DATE, expect, write_config
from tests.jobs.in_process import run_job

NIGHT = date.fromisoformat(RUN_DATE)
ARMS = {"popular": 0.25, "holdout": 0.25, "salt": "ncf"}


def write_night(spark, folder: Path) -> None:
    """Twelve users in three arms, and one who got no email, of a run that is published."""
    run = f"file://{folder}/warehouse/runs/{RUN_DATE}.1"
    arms = ["model"] * 6 + ["popular"] * 3 + ["holdout"] * 3
    people = [("spring", NIGHT, f"u{n}", arm, None, 5) for n, arm in enumerate(arms)]
    people.append(("spring", NIGHT, "u99", "model", "no_consent", 0))
    table = spark.createDataFrame(people, schemas.CAMPAIGN_RECIPIENTS)
    write_table(table, f"{run}/campaign_recipients", schemas.CAMPAIGN_RECIPIENTS, "recipients")
    write_json(f"{run}/manifest.json", {"run": f"{RUN_DATE}.1", "completed_at": "2026-11-02"})
    record = {"config": {"campaign": {"arms": ARMS}}}
    write_json(f"{run}/steps/export_campaign.json", record)
    write_json(f"file://{folder}/warehouse/LATEST.json", {"run": f"{RUN_DATE}.1"})


EVENTS = """who;what;at;paid
u0;order;2026-11-02 10:00;10.50
u0;order;2026-11-03 10:00;4.50
u1;order;2026-11-08 23:59;20
u2;open;2026-11-02 07:00;
u6;order;2026-11-04 10:00;8
u9;open;2026-11-02 07:00;
u0;order;2026-11-01 23:59;100
u1;order;2026-11-09 00:00;100
u99;order;2026-11-04 10:00;100
;order;2026-11-04 10:00;100
u3;order;yesterday;100
u3;unknown;2026-11-04 10:00;100
u7;order;2026-11-04 10:00;eight
"""


def config_of(folder: Path, **more: object) -> str:
    source = {"path": str(folder / "events.csv"), "format": "csv"}
    source |= {"options": {"header": True, "sep": ";"}}
    columns = {"user": "who", "type": "what", "time": "at", "value": "paid"}
    content: dict[str, object] = {
        "storage": {"warehouse": str(folder / "warehouse")},
        "campaign": {"id": "spring"},
        "outcomes": source | {"columns": columns},
        "measurement": {"sent": [], "opened": ["open"], "clicked": [], "bought": ["order"]},
    }
    return write_config(folder / "conf", content | more)


def measure(config: str, *options: str) -> tuple[str, ...]:
    return ("measure_campaign", "--config", config, "--run-date", RUN_DATE, *options)


def test_what_a_campaign_brought(spark, tmp_path: Path):
    write_night(spark, tmp_path)
    (tmp_path / "events.csv").write_text(EVENTS)
    config = config_of(tmp_path)
    output = expect(run_job(*measure(config)), 0)
    place = tmp_path / "warehouse" / "measurements" / "spring" / RUN_DATE
    assert sorted(p.name for p in place.iterdir()) == ["lift.svg", "results", "results.json"]

    found = read_table(spark, f"file://{place}/results", schemas.CAMPAIGN_RESULTS, "results")
    short = found.select("campaign_id", "run_date", "outcome", "arm", "num_users", "num_with")
    key = ("spring", NIGHT)
    assert rows(short) == [
        (*key, "bought", "holdout", 3, 0),
        (*key, "bought", "model", 6, 2),
        (*key, "bought", "popular", 3, 2),
        (*key, "opened", "holdout", 3, 1),
        (*key, "opened", "model", 6, 1),
        (*key, "opened", "popular", 3, 0),
        (*key, "revenue", "holdout", 3, 0),
        (*key, "revenue", "model", 6, 2),
        (*key, "revenue", "popular", 3, 1),
    ]
    revenue = found.where("outcome = 'revenue'").select("arm", "value", "difference", "lift")
    (_, holdout, more_than_holdout, no_lift), model, (_, popular, difference, lift) = rows(revenue)
    assert model == ("model", pytest.approx(35 / 6), None, None)
    assert (holdout, more_than_holdout, no_lift) == (0.0, pytest.approx(35 / 6), None)
    assert (popular, difference) == (pytest.approx(8 / 3), pytest.approx(35 / 6 - 8 / 3))
    assert lift == pytest.approx(35 / 6 / (8 / 3) - 1)

    content = json.loads((place / "results.json").read_text())
    assert content["run"] == f"{RUN_DATE}.1"
    assert content["window"] == {
        "starts_at": "2026-11-02T00:00:00+00:00",
        "ends_at": "2026-11-09T00:00:00+00:00",
    }
    assert content["sample_ratio"] == {"p_value": 1.0, "mismatch": False}
    assert content["events"] == {
        "events": 13,
        "events used": 7,
        "not used: the user id is null or empty": 1,
        "not used: the time is null, or does not parse": 1,
        "not used: the user is in no arm": 1,
        "not used: the event is not later than the run date": 1,
        "not used: the event is later than measurement.window_days": 1,
        "not used: the type is no outcome of section measurement": 1,
        "used, but bought without a number as value": 1,
    }
    assert len(content["results"]) == 9
    picture = (place / "lift.svg").read_text()
    assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert "bought, over popular" in picture
    assert "Results of spring of 2026-11-01 (run 2026-11-01.1)" in output
    assert "bought   model        6        2  33.33%" in output
    assert "bought   popular      3        2  66.67%  -33.33 points" in output
    for text in (output, picture, (place / "results.json").read_text()):
        assert "u99" not in text
        assert "u0" not in text


def test_nothing_is_written_where_it_is_not_known_what_followed(spark, tmp_path: Path):
    write_night(spark, tmp_path)
    config = config_of(tmp_path, outcomes={"path": None})
    output = expect(run_job(*measure(config)), 2)
    assert "error: outcomes.path: is not set, so there is nothing to measure by" in output
    assert not (tmp_path / "warehouse" / "measurements").exists()
