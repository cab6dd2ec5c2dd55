"""Spark sessions of the benchmarks: two cores, Python workers that start anew for each job."""

from __future__ import annotations

from pyspark.sql import SparkSession


def start_spark(name: str) -> SparkSession:
    """A session on `local[2]` as conf/spark/local.conf describes it."""
    settings = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "3g",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "4",
        "spark.log.level": "ERROR",
        # The start of Python workers and the import of torch count in every round.
        "spark.python.worker.reuse": "false",
    }
    builder = SparkSession.builder.master("local[2]").appName(name)
    for key, value in settings.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()
