"""Each job's --help, pinned: a change of the command line shows here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.jobs.conftest import ROOT, expect
from tests.jobs.in_process import run_job

GOLDEN = Path(__file__).parent / "help"
JOBS = sorted(path.stem for path in (ROOT / "jobs").glob("*.py"))


@pytest.mark.parametrize("job", JOBS)
def test_help_is_as_documented(job: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert expect(run_job(job, "--help"), 0) == (GOLDEN / f"{job}.txt").read_text()


def test_there_is_a_job_for_each_step_of_the_design():
    assert set(JOBS) == {
        "generate_events",
        "build_interactions",
        "score_item_activity",
        "train",
        "evaluate",
        "score_users",
        "similar_items",
        "export_campaign",
        "measure_campaign",
        "check_input",
        "nightly",
        "runs",
    }


@pytest.mark.parametrize("job", JOBS)
def test_a_job_stays_thin(job: str):
    assert len((ROOT / "jobs" / f"{job}.py").read_text().splitlines()) <= 40
