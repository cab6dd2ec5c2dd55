"""When a step begins to undo what it wrote before."""

from datetime import date

import pytest
from pyspark.sql import SparkSession

from ncf_spark import schemas
from ncf_spark.config import load_config
from ncf_spark.errors import ConfigError, DataError
from ncf_spark.night import STEPS
from ncf_spark.pipeline.context import Job
from ncf_spark.storage import files
from ncf_spark.storage.warehouse import Warehouse
from tests.jobs.in_process import run_as

NIGHT = date(2026, 11, 1)


@pytest.fixture
def job(spark: SparkSession, tmp_path) -> Job:
    """A night whose training and scoring are done."""
    events = tmp_path / "events.csv"
    events.write_text("user_id,item_id\n")
    config = load_config(
        "conf/base.yaml", [f"input.path={events}", f"storage.warehouse={tmp_path / 'warehouse'}"]
    )
    warehouse = Warehouse(config.storage.warehouse)
    made = Job(
        STEPS, "train", config, spark, NIGHT, warehouse, warehouse.open_run(NIGHT), force=True
    )
    run_as(made, lambda job: write_popularity(job, 3))
    files.write_bytes(f"{made.run.table_uri('model')}/manifest.json", b"{}")
    made.name = "score_users"
    run_as(made, lambda job: None)
    made.name = "train"
    return made


def write_popularity(job: Job, num_items: int) -> None:
    rows = job.spark.range(num_items).selectExpr("cast(id AS int) AS item_index", "id AS num_users")
    job.write("item_popularity", rows, schemas.ITEM_POPULARITY)


def stands(job: Job) -> bool:
    """Whether the model and both steps' records are there."""
    steps = (job.run.step_record(step) for step in ("train", "score_users"))
    return all(steps) and files.exists(f"{job.run.table_uri('model')}/manifest.json")


def test_a_step_that_is_refused_leaves_what_it_finished_before(job):
    def refused(job: Job) -> None:
        assert job.num_rows("item_popularity") == 3
        raise ConfigError("too little memory")

    with pytest.raises(ConfigError, match="too little memory"):
        run_as(job, refused)
    assert stands(job)
    assert job.run.recorded_rows("item_popularity") == 3


def test_a_step_that_other_settings_forbid_leaves_what_it_finished_before(job):
    config = job.config.model_dump(mode="json")
    config["split"]["method"] = "temporal"
    files.write_json(f"{job.run.uri}/steps/build_interactions.json", {"config": config})
    with pytest.raises(ConfigError, match=r"split\.method"):
        run_as(job, lambda job: write_popularity(job, 5))
    assert stands(job)


def test_a_step_that_writes_undoes_what_it_and_the_later_ones_wrote(job):
    def fails(job: Job) -> None:
        write_popularity(job, 5)
        assert not files.exists(f"{job.run.table_uri('model')}/manifest.json")
        raise ConfigError("later")

    with pytest.raises(ConfigError, match="later"):
        run_as(job, fails)
    for step in ("train", "score_users"):
        assert job.run.step_record(step) is None


def test_what_a_step_wrote_first_is_not_undone_by_what_it_writes_next(job):
    def twice(job: Job) -> None:
        write_popularity(job, 5)
        files.write_bytes(f"{job.run.table_uri('model')}/manifest.json", b"{}")
        write_popularity(job, 6)

    run_as(job, twice)
    assert job.run.recorded_rows("item_popularity") == 6
    assert files.exists(f"{job.run.table_uri('model')}/manifest.json")
    assert job.run.step_record("score_users") is None


def test_a_complete_run_is_refused_before_the_step_begins(job):
    files.write_json(f"{job.run.uri}/manifest.json", {})
    begun = []
    with pytest.raises(DataError, match="a complete run never changes"):
        run_as(job, begun.append)
    assert begun == []
