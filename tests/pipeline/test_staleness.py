"""When a finished step would come out the same; no Spark is needed to tell."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ncf_spark.config import load_config
from ncf_spark.night import STEPS
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.staleness import changes
from ncf_spark.storage import files
from ncf_spark.storage.warehouse import Warehouse

NIGHT = date(2026, 11, 2)


def night(folder: Path, *overrides: str) -> Job:
    """The night as it is told now."""
    config = load_config("conf/base.yaml", ["input.path=events", *overrides])
    warehouse = Warehouse(str(folder))
    return Job(STEPS, "train", config, None, NIGHT, warehouse, warehouse.open_run(NIGHT))


def record(job: Job) -> dict[str, Any]:
    """What a step wrote about itself, on the first night ever."""
    return {"config": job.config.model_dump(mode="json"), "inputs": {"input": {"hash": "A"}}}


# What each step's tables are made from, and what they are not, with the words that tell of it.
CASES = [
    ("build_interactions", "run.seed=7", "run.seed was 20, is 7"),
    ("build_interactions", "input.duplicates=keep", "input.duplicates was drop, is keep"),
    ("build_interactions", "training.epochs=9", None),
    ("score_item_activity", "activity.half_life_days=3", "activity.half_life_days was 30.0, is"),
    ("score_item_activity", "run.seed=7", None),
    ("train", "sampling.num_negatives=7", "sampling.num_negatives was 4, is 7"),
    ("train", "training.num_workers=1", None),  # how, not what
    ("train", "training.resident_bytes=9", None),
    ("train", "model.selection.k=5", None),  # what is published, not what is trained
    ("evaluate", "model.selection.k=5", "model.selection.k was 10, is 5"),
    ("evaluate", "training.epochs=9", None),
    ("score_users", "scoring.k=19", "scoring.k was "),
    ("score_users", "campaign.items.deny=[x]", "campaign.items.deny was [], is ['x']"),
    ("score_users", "campaign.k=3", None),
    ("similar_items", "scoring.similar_k=3", "scoring.similar_k was "),
    ("similar_items", "campaign.items.deny=[x]", None),
    ("export_campaign", "campaign.arms.salt=x", "campaign.arms.salt was "),
    ("export_campaign", "scoring.similar_k=3", None),
]


@pytest.mark.parametrize(("step", "override", "words"), CASES)
def test_a_step_runs_again_when_a_setting_that_it_is_made_from_changed(
    tmp_path, step, override, words
):
    then = record(night(tmp_path))
    found = changes(night(tmp_path, override), step, then, then["inputs"])
    if words is None:
        assert found == []
    else:
        [told] = found
        assert told.startswith(words)


def test_every_step_has_settings_of_its_own():
    assert {step for step, _, words in CASES if words} == set(STEPS)


def test_a_step_runs_again_when_its_files_changed(tmp_path):
    job = night(tmp_path)
    assert changes(job, "build_interactions", record(job), {"input": {"hash": "B"}}) == [
        "the files of input have changed"
    ]
    assert changes(job, "build_interactions", record(job), {}) == [
        "the files of input have changed"
    ]


def test_a_step_runs_again_when_it_would_rest_on_another_run(tmp_path):
    job = night(tmp_path)
    then = record(job)
    files.write_json(f"{tmp_path}/runs/2026-11-01.1/manifest.json", {"completed_at": "2"})
    assert changes(job, "build_interactions", then, then["inputs"]) == [
        "the run that ids go on from was None, is 2026-11-01.1",
        "the night before was None, is 2026-11-01.1",
    ]
    assert changes(job, "score_item_activity", then, then["inputs"]) == []
    # A complete run never changes, whatever was completed since.
    files.write_json(f"{job.run.uri}/manifest.json", {"completed_at": "1"})
    assert changes(job, "build_interactions", then, then["inputs"]) == []
