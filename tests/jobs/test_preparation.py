"""The first two steps in this process: what they ask of Spark and bring to the driver."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, DataFrameWriter, SparkSession
from pyspark.sql import functions as F

from ncf_spark.config import load_config
from ncf_spark.night import STEPS
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.runner import run_step
from ncf_spark.preparation.generated import generate_events
from ncf_spark.storage.warehouse import Warehouse
from tests.conftest import rows
from tests.jobs.conftest import RUN_DATE, small_config, write_config
from tests.preparation.test_plans import faults


class Watched:
    """What the steps wrote, staged and collected, and the job that ran them."""

    def __init__(self) -> None:
        self.written: list[DataFrame] = []
        self.collected: list[int] = []
        self.job: Job


def watch(patch: pytest.MonkeyPatch, spark: SparkSession) -> Watched:
    """Records every table that is made and the rows of every collect, until it is undone."""
    watched, table = Watched(), type(spark.range(1))
    parquet, collect, stage = DataFrameWriter.parquet, table.collect, Job.stage

    def watched_parquet(self, *arguments, **options):
        watched.written.append(self._df)
        return parquet(self, *arguments, **options)

    def watched_stage(self, rows, name):
        watched.written.append(rows)
        return stage(self, rows, name)

    def watched_collect(self):
        found = collect(self)
        watched.collected.append(len(found))
        return found

    def refused(self, *arguments, **options):
        raise AssertionError("rows that grow are brought to the driver")

    patch.setattr(DataFrameWriter, "parquet", watched_parquet)
    patch.setattr(Job, "stage", watched_stage)
    patch.setattr(table, "collect", watched_collect)
    for name in ("toPandas", "toLocalIterator"):
        patch.setattr(table, name, refused)
    return watched


@pytest.fixture(scope="module")
def prepared(spark: SparkSession, tmp_path_factory) -> Watched:
    """The steps run on a shop of 100 users, with minimum counts that take several turns."""
    folder: Path = tmp_path_factory.mktemp("prepared")
    content = small_config(folder)
    content["generate"] |= {"num_users": 100, "num_items": 130, "num_events": 4_000}
    content["input"] |= {"min_user_items": 10, "min_item_users": 7}
    content["evaluation"] = {"num_negatives": 20}
    content["split"] = {"method": "leave_one_out"}
    config = load_config(write_config(folder / "conf", content), [])
    warehouse, night = Warehouse(config.storage.warehouse), date.fromisoformat(RUN_DATE)
    job = Job(STEPS, "", config, spark, night, warehouse, warehouse.open_run(night))
    generate_events(job)
    with pytest.MonkeyPatch.context() as patch:
        watched = watch(patch, spark)
        for job.name in ("build_interactions", "score_item_activity"):
            run_step(job)
    watched.job = job
    return watched


def test_no_query_has_a_window_without_partition_or_python(prepared):
    plans = prepared.written
    assert len(plans) > 10
    assert [fault for plan in plans for fault in faults(plan)] == []


def test_what_is_collected_does_not_grow_with_the_shop(prepared):
    for side in ("user", "item"):
        assert prepared.job.num_rows(f"{side}_index") > 50
    assert 0 < max(prepared.collected) <= 12  # a row for each reason why events are dropped


def test_minimum_counts_hold_in_the_end_and_only_what_must_go_is_gone(spark, prepared):
    """The same by hand: all small users and items are taken out, until there are none."""
    job = prepared.job
    kept = spark.read.parquet(job.run.table_uri("interactions"))
    found = {(row.user_id, row.item_id) for row in kept.collect()}
    with_all = spark.read.parquet(f"{job.config.generate.path}/events")
    known = with_all.where("user_id is not null and item_id is not null")
    known = known.where("event_type in ('view', 'cart', 'purchase') and event_at like '20%'")
    left = {(row.user_id, row.item_id) for row in known.collect()}
    turns = 0
    while True:
        small = {
            side: {
                pair[side]
                for pair in left
                if sum(other[side] == pair[side] for other in left) < least
            }
            for side, least in ((0, 10), (1, 7))
        }
        if not any(small.values()):
            break
        left = {pair for pair in left if all(pair[side] not in small[side] for side in small)}
        turns += 1
    assert turns > 1
    assert found == left


def test_the_split_holds_every_interaction_once_and_train_and_the_holdouts_are_its_parts(
    spark, prepared
):
    run = prepared.job.run
    split, train, validation, holdout, interactions = (
        spark.read.parquet(run.table_uri(name))
        for name in ("split", "train", "validation", "holdout", "interactions")
    )
    pair = ["user_index", "item_index"]
    assert split.select(*pair).distinct().count() == split.count() == interactions.count()
    sums = [table.agg(F.sum("num_events")).first()[0] for table in (split, interactions)]
    assert sums[0] == sums[1]
    for part, condition in {
        train: "not is_holdout and not is_validation",
        validation: "is_validation",
        holdout: "is_holdout",
    }.items():
        assert rows(part.select(*pair)) == rows(split.where(condition).select(*pair))


def test_nothing_is_left_in_staging(prepared):
    run = prepared.job.run
    assert not Path(run.table_uri("staging").removeprefix("file://")).exists()
