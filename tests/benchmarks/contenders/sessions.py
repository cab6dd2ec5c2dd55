"""Spark sessions of the benchmarks, as conf/spark/local.conf describes them."""

from __future__ import annotations

from pyspark.sql import SparkSession

from tests.benchmarks.duel import ROOT


def start_spark(name: str, **more: str) -> SparkSession:
    """A session on `local[2]`.

    Args:
        more: further settings, with _ for the points: spark_eventLog_enabled.
    """
    lines = (ROOT / "conf" / "spark" / "local.conf").read_text().splitlines()
    settings = dict(line.split(maxsplit=1) for line in lines if line.startswith("spark."))
    settings["spark.driver.memory"] = "3g"
    # Said about the folder that spark-submit is called in.
    settings.pop("spark.driver.extraJavaOptions", None)
    settings.update({key.replace("_", "."): value for key, value in more.items()})
    builder = SparkSession.builder.appName(name)
    for key, value in settings.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def forget_workers(spark: SparkSession) -> None:
    """Python workers start anew for the next job: their start and the import of torch count."""
    environment = spark.sparkContext.environment
    # Spark keeps workers, and the process that they are forked from, for each environment.
    environment["NCF_BENCHMARK_ROUND"] = str(int(environment.get("NCF_BENCHMARK_ROUND", "0")) + 1)
