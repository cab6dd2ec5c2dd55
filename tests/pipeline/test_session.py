import logging
from threading import Thread

import pytest
from pyspark.sql import Observation
from pyspark.sql import functions as F

from ncf_spark.config import load_config
from ncf_spark.pipeline import session
from tests.conftest import SESSION

SMALL = {"spark.sql.autoBroadcastJoinThreshold": "-1"}
LARGE = {
    "spark.sql.adaptive.advisoryPartitionSizeInBytes": "8m",
    "spark.sql.adaptive.maxShuffledHashJoinLocalMapThreshold": "16m",
    "spark.sql.objectHashAggregate.sortBased.fallbackThreshold": "50000",
}


@pytest.fixture
def settings(spark):
    """Spark's own values of what is chosen, and these again afterwards."""
    before = {key: spark.conf.get(key) for key in {**SMALL, **LARGE}}
    yield before
    for key, value in before.items():
        spark.conf.set(key, value)


@pytest.mark.parametrize(
    ("num_bytes", "size", "chosen"),
    [(32 * 2**20, "small input (32.0 MiB)", SMALL), (32 * 2**20 + 1, "large", LARGE)],
)
def test_settings_follow_the_size_of_the_input_and_what_is_given_stays(
    spark, settings, tmp_path, caplog, num_bytes, size, chosen
):
    with (tmp_path / "events.csv").open("wb") as file:
        file.truncate(num_bytes)
    config = load_config("conf/base.yaml", [f"input.path={tmp_path}", "input.format=csv"])
    caplog.set_level(logging.INFO, "ncf_spark")
    assert session.fit_to_input(spark, config, None, "build_interactions") == (chosen is SMALL)
    assert {key: spark.conf.get(key) for key in chosen} == chosen
    shuffle = "spark.sql.shuffle.partitions"
    assert spark.conf.get(shuffle) == SESSION[shuffle]
    [said] = [record.getMessage() for record in caplog.records]
    assert said.startswith(f"Spark is set for a {size}")
    listed, given = said.split("; as given: ")
    assert all(
        f"{key.removeprefix('spark.sql.')} {value}" in listed for key, value in chosen.items()
    )
    assert f"shuffle.partitions {SESSION[shuffle]}" in given


def test_an_input_of_unknown_size_is_taken_for_large(spark, settings):
    config = load_config("conf/base.yaml", ["input.table=shop.events"])
    assert not session.fit_to_input(spark, config, None, "build_interactions")
    assert {key: spark.conf.get(key) for key in LARGE} == LARGE


def test_raw_events_are_counted_where_none_is_left_and_plans_adapt(spark, tmp_path):
    given = {"spark.sql.adaptive.enabled": "true", **session._FIXED}
    before = {key: spark.conf.get(key, None) for key in given}
    for key, value in given.items():
        spark.conf.set(key, value)
    try:
        counts, found = Observation(), {}
        rows = spark.range(5).observe(counts, F.count(F.lit(1)).alias("n")).where("id > 9")
        rows.repartition("id").groupBy("id").count().write.parquet(f"{tmp_path}/none")
        asking = Thread(target=lambda: found.update(counts.get), daemon=True)
        asking.start()
        asking.join(30)
    finally:
        for key, value in before.items():
            spark.conf.unset(key) if value is None else spark.conf.set(key, value)
    assert found == {"n": 5}
