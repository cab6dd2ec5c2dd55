"""The export that a delta is based on, and what the configured tools need."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from ncf_spark.campaign.files.profiles import PROFILES
from ncf_spark.campaign.files.writing import (
    _last_run,
    count_changed,
    max_text_bytes,
    needs_address,
)
from ncf_spark.config import load_config
from ncf_spark.night import STEPS
from ncf_spark.pipeline.context import Job
from ncf_spark.storage import files
from ncf_spark.storage.warehouse import Warehouse
from tests.campaign.files.lists import ANA, BEN, campaign_lists

BRAZE = "campaign.files.profiles=[braze_csv]"


def night(folder: Path, day: int, *overrides: str) -> Job:
    given = ["input.path=events", "recipients.path=people", "recipients.columns.email=email"]
    config = load_config("conf/base.yaml", [*given, *overrides])
    warehouse, when = Warehouse(str(folder)), date(2026, 11, day)
    return Job(STEPS, "export_campaign", config, None, when, warehouse, warehouse.open_run(when))


def export(job: Job) -> None:
    """Publishes a night that exported its profiles."""
    profiles = job.config.campaign.files.profiles
    record = {
        "tables": {f"campaign_state/{name}": {"num_rows": 1} for name in profiles},
        "config": job.config.model_dump(mode="json"),
    }
    job.run.finish_step("export_campaign", record)
    files.write_json(f"{job.run.uri}/manifest.json", {"completed_at": "1"})
    job.warehouse.publish(job.run)


def test_a_delta_is_made_against_the_night_before(tmp_path):
    assert _last_run(night(tmp_path, 2, BRAZE), PROFILES["braze_csv"]) is None
    export(night(tmp_path, 1, BRAZE))
    last = _last_run(night(tmp_path, 2, BRAZE), PROFILES["braze_csv"])
    assert last is not None
    assert last.name == "2026-11-01.1"
    assert _last_run(night(tmp_path, 2, BRAZE), PROFILES["klaviyo"]) is None  # not written then


@pytest.mark.parametrize(
    "changed", ["campaign.id=winter", "campaign.k=3", "campaign.files.hash_emails=true"]
)
def test_files_made_by_other_settings_are_no_base_of_a_delta(tmp_path, changed):
    export(night(tmp_path, 1, BRAZE))
    assert _last_run(night(tmp_path, 2, BRAZE, changed), PROFILES["braze_csv"]) is None


@pytest.mark.parametrize(
    ("profiles", "needs", "most"),
    [
        ("[]", False, None),
        ("[klaviyo]", True, None),
        ("[mailchimp, klaviyo]", True, 255),
        ("[mailchimp, braze_csv]", False, 255),
    ],
)
def test_what_the_tools_need_of_recipients_and_take_of_items(tmp_path, profiles, needs, most):
    job = night(tmp_path, 1, f"campaign.files.profiles={profiles}")
    assert (needs_address(job), max_text_bytes(job)) == (needs, most)


@pytest.mark.parametrize(("profile", "num_escaped"), [("klaviyo", 1), ("generic_jsonl", 0)])
def test_keys_with_an_apostrophe_give_a_warning(spark, caplog, profile, num_escaped):
    """The address of BEN begins with =."""
    found = count_changed(campaign_lists(spark, [ANA, BEN]), PROFILES[profile])
    assert found == {"escaped for spreadsheets": num_escaped, "truncated": 0}
    warning = "klaviyo: the key of 1 recipients would run as a formula"
    assert (warning in caplog.text) == bool(num_escaped)
