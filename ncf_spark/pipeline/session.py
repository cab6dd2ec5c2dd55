"""The Spark session of a job, with settings that fit the size of its input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pyspark.sql import SparkSession

from ncf_spark.config import Config
from ncf_spark.pipeline.logs import log, numbers
from ncf_spark.storage import sources
from ncf_spark.storage.runs import Run

# Up to so much, what a step computes on its way fits into the executors' memory.
SMALL_INPUT_BYTES = 32 * 2**20

# What the meaning of our code depends on.
_FIXED = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.legacy.timeParserPolicy": "CORRECTED",
    # Spark 4 reads seven encodings else, and not windows-1252, which spreadsheets write.
    "spark.sql.legacy.javaCharsets": "true",
    # Where no row is left, Spark would take away the part of the plan that counts the raw events,
    # and who asks for the counts would wait for ever.
    "spark.sql.adaptive.optimizer.excludedRules": (
        "org.apache.spark.sql.execution.adaptive.AQEPropagateEmptyRelation"
    ),
}
# Planning and compiling a query take longer than its rows, and a broadcast is a job of its own.
_FOR_SMALL_INPUTS = {
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.autoBroadcastJoinThreshold": "-1",
}
_FOR_LARGE_INPUTS = {
    # Spark joins small partitions up to so many bytes. What a task groups then fits into its
    # memory; one of the default 64 MiB spills, and one of 16 MiB waits for the garbage collector.
    "spark.sql.shuffle.partitions": "128",
    "spark.sql.adaptive.advisoryPartitionSizeInBytes": "8m",
    # Of tables that are too large to be sent to every task, the smaller is hashed, none is sorted.
    "spark.sql.adaptive.maxShuffledHashJoinLocalMapThreshold": "16m",
    # Users whose items a task gathers by hashing. Beyond that it sorts all pairs, by default from
    # 128 users on: gathering 10 million pairs of 60 thousand users took 2.4 s, and takes 1.4 s.
    "spark.sql.objectHashAggregate.sortBased.fallbackThreshold": "50000",
}


@contextmanager
def session(name: str) -> Iterator[SparkSession]:
    """A session for a job; one that is there already, such as a notebook's, stays open."""
    is_own = SparkSession.getActiveSession() is None
    builder = SparkSession.builder.appName(f"ncf {name}")
    for key, value in _FIXED.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    if is_own:
        spark.sparkContext.setLogLevel("WARN")
    try:
        yield spark
    finally:
        if is_own:
            spark.stop()


def fit_to_input(spark: SparkSession, config: Config, run: Run | None, first_step: str) -> bool:
    """Chooses Spark's settings by the size of the input; those of the properties file stay.

    Args:
        run: that the job works in: the size of what it was made from counts too.
        first_step: of a night, which records that size.

    Returns:
        Whether the input is small.
    """
    size = _input_bytes(spark, config, run, first_step)
    is_small = size is not None and size <= SMALL_INPUT_BYTES
    chosen, given = _apply(spark, _FOR_SMALL_INPUTS if is_small else _FOR_LARGE_INPUTS)
    log.info(
        "Spark is set for a %s input (%s): %s%s",
        "small" if is_small else "large",
        "of a size that is not known" if size is None else f"{size / 2**20:,.1f} MiB",
        _listed(chosen) or "nothing",
        f"; as given: {_listed(given)}" if given else "",
        extra=numbers(input_bytes=size),
    )
    return is_small


def _apply(
    spark: SparkSession, settings: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """What is set, and what stays as the properties file or the command line has it."""
    conf = spark.sparkContext.getConf()
    given = {key: str(conf.get(key)) for key in settings if conf.contains(key)}
    chosen = {key: value for key, value in settings.items() if key not in given}
    for key, value in chosen.items():
        spark.conf.set(key, value)
    return chosen, given


def _listed(settings: Mapping[str, str]) -> str:
    return ", ".join(f"{key.removeprefix('spark.sql.')} {value}" for key, value in settings.items())


def _input_bytes(
    spark: SparkSession, config: Config, run: Run | None, first_step: str
) -> int | None:
    """Bytes of the customer's files; None where one of them is a catalog table."""
    given = config.sources.values()
    if any(source.table is not None for source in given):
        return None
    now = sum(sources.total_bytes(spark, source) for source in given)
    record = None if run is None else run.step_record(first_step)
    inputs = (record or {}).get("inputs", {}).values()
    return max(now, sum(of_source.get("bytes", 0) for of_source in inputs))
