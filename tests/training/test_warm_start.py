"""Which run's model a night begins with: decided with real records in a real warehouse."""

from datetime import date

import pytest

from ncf_spark.config import load_config
from ncf_spark.night import STEPS
from ncf_spark.pipeline.context import Job
from ncf_spark.schemas.results import Start
from ncf_spark.storage import files
from ncf_spark.storage.warehouse import Warehouse
from ncf_spark.training.warm_start import choose_start, confirm_start, start_of_training

WARM = "training.warm_epochs=3"


class Nights:
    """A warehouse in which the training of a night is nothing but its record and manifest."""

    def __init__(self, folder) -> None:
        self.warehouse = Warehouse(str(folder))

    def job(self, day: int, *overrides: str) -> Job:
        """Of a new run on a day of November, when its split is written."""
        config = load_config("conf/base.yaml", ["input.path=none", *overrides])
        run_date = date(2026, 11, day)
        run = self.warehouse.open_run(run_date)
        return Job(STEPS, "build_interactions", config, None, run_date, self.warehouse, run)  # type: ignore[arg-type]

    def prepare(self, job: Job) -> str | None:
        """The name of the run that is chosen, which is recorded."""
        start = choose_start(job)
        result = {
            **{"input": "none", "column_types": {}, "people_files": {}, "suppression_rows": {}},
            "events": {"raw": 1, "dropped": {}, "used": 1, "interactions": 1},
            **{key: {"present": 1, "departed": 0, "new": 1} for key in ("users", "items")},
            "start": start.model_dump(),
        }
        job.run.finish_step(job.name, {"result": result})
        return start.run

    def train(self, job: Job, num_users: int = 7) -> dict:
        """What training is told, after which it is recorded."""
        job.next_step("train")
        self.start = confirm_start(job)
        found = start_of_training(job, self.start)
        task = {"num_users": num_users, "num_shards": 4}
        files.write_json(f"{job.run.table_uri('model')}/manifest.json", {"task": task})
        record = {
            "result": {"start": self.start.model_dump(), "failed": {}},
            "run_date": str(job.run_date),
            "config": job.config.model_dump(mode="json"),
            "tables": {},
        }
        job.run.finish_step("train", record)
        return {} if found is None else found

    def publish(self, job: Job) -> None:
        files.write_json(f"{job.run.uri}/manifest.json", {"completed_at": str(job.run_date)})
        self.warehouse.publish(job.run)

    def night(self, day: int, *overrides: str) -> tuple[str | None, Start]:
        """What a night starts from, and what its record says of it; it is published."""
        job = self.job(day, *overrides)
        chosen = self.prepare(job)
        assert self.train(job).get("run") == chosen
        self.publish(job)
        return chosen, self.start


@pytest.fixture
def nights(tmp_path) -> Nights:
    return Nights(tmp_path)


def test_each_night_starts_from_the_one_before_until_a_full_retrain_is_due(nights):
    every = "training.full_retrain_every_days=3"
    found = {day: nights.night(day, WARM, every) for day in (1, 2, 3, 4, 6, 9)}
    assert {day: chosen for day, (chosen, _) in found.items()} == {
        1: None,
        2: "2026-11-01.1",
        3: "2026-11-02.1",
        4: None,  # three days after the 1st
        6: "2026-11-04.1",
        9: None,
    }
    assert {day: note.last_full_training[-2:] for day, (_, note) in found.items()} == {
        **{1: "01", 2: "01", 3: "01", 4: "04", 6: "04", 9: "09"},
    }
    assert found[1][1].reason == "there is no night before"
    assert "full training was on 2026-11-01" in found[4][1].reason


def test_without_warm_epochs_every_night_starts_cold(nights):
    assert nights.night(1, WARM)[0] is None
    chosen, note = nights.night(2)
    assert (chosen, note.reason) == (None, "training.warm_epochs is not set")
    assert note.last_full_training == "2026-11-02"


def test_the_workers_are_told_where_the_model_is_and_how_it_lies(nights):
    first = nights.job(1, WARM)
    nights.prepare(first)
    assert nights.train(first, num_users=9) == {}
    nights.publish(first)
    second = nights.job(2, WARM)
    nights.prepare(second)
    assert nights.train(second) == {
        "run": "2026-11-01.1",
        "model_uri": f"{first.run.uri}/model",
        "num_users": 9,
        "num_shards": 4,
    }


def test_another_architecture_starts_cold_and_says_what_differs(nights):
    nights.night(1, WARM)
    chosen, note = nights.night(2, WARM, "model.factors=16", "model.dropout=[0.1]")
    assert chosen is None
    assert note.reason == (
        "2026-11-01.1 has another model: model.dropout was [0.0], is [0.1]; "
        "model.factors was 8, is 16"
    )


def test_other_settings_of_the_training_or_of_the_choice_do_not_matter(nights):
    nights.night(1, WARM)
    choice = ("model.candidates=[neumf, item_item]", "model.selection.metric=hr")
    assert nights.night(3, WARM, *choice)[0] == "2026-11-01.1"
    assert nights.night(2, WARM, "training.learning_rate=0.01", "run.seed=3")[0] == "2026-11-01.1"


def test_settings_that_changed_after_the_split_was_written_start_cold(nights):
    nights.night(1, WARM)
    for number, (changes, reason) in enumerate(
        {
            (WARM, "model.kind=mf"): "another model: model.kind was neumf, is mf",
            (): "warm_epochs is not set",
        }.items()
    ):
        job = nights.job(2 + number, WARM)
        assert nights.prepare(job) == "2026-11-01.1"
        job.config = nights.job(9, *changes).config
        assert nights.train(job) == {}
        assert reason in nights.start.reason
        assert nights.start.last_full_training == str(job.run_date)


def test_a_split_for_a_cold_start_is_not_followed_by_a_warm_one(nights):
    nights.night(1, WARM)
    job = nights.job(2)
    nights.prepare(job)
    job.config = nights.job(2, WARM).config
    assert nights.train(job) == {}


def test_a_rerun_starts_where_the_first_run_of_the_date_did(nights):
    nights.night(1, WARM)
    assert nights.night(1, WARM)[0] is None
    assert nights.night(2, WARM)[0] == "2026-11-01.2"
    assert nights.night(2, WARM)[0] == "2026-11-01.2"  # the newest of the night before


def test_no_night_starts_from_a_later_one(nights):
    for day in (1, 2, 5):
        nights.night(day, WARM)
    assert nights.night(4, WARM)[0] == "2026-11-02.1"


def test_a_run_whose_model_is_gone_is_not_started_from(nights):
    nights.night(1, WARM)
    files.delete(f"{nights.warehouse.uri}/runs/2026-11-01.1/model")
    chosen, note = nights.night(2, WARM)
    assert (chosen, note.reason) == (None, "2026-11-01.1 has no model any more")


def test_a_run_that_does_not_say_when_it_was_fully_trained_is_not_started_from(nights):
    job = nights.job(1, WARM)
    nights.prepare(job)
    nights.train(job)
    record = job.run.step_record("train")
    job.run.finish_step("train", {**record, "result": None})
    nights.publish(job)
    assert "last full training" in nights.night(2, WARM)[1].reason
