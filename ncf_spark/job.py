"""The shell of every job: arguments, configuration, Spark session, logging, exit status."""

from __future__ import annotations

import argparse
import logging
import platform
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date, datetime, timezone
from importlib import metadata
from typing import Any, Literal

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from ncf_spark import __version__
from ncf_spark.config import Config, ConfigError, load_config
from ncf_spark.schemas import DataError, SchemaError
from ncf_spark.storage import tables
from ncf_spark.storage.runs import LAST_STEP, STEP_TABLES, Run, Warehouse
from ncf_spark.storage.sources import describe_read_failure

log = logging.getLogger("ncf_spark")

DONE, FAILED, BAD_INPUT = 0, 1, 2


class Job:
    """What a step works with: settings, session, and the tables of its run.

    Args:
        name: of the step, as in `jobs/<name>.py`.
        run: the night's directory.
    """

    def __init__(
        self,
        name: str,
        config: Config,
        spark: SparkSession,
        run_date: date,
        warehouse: Warehouse,
        run: Run,
    ) -> None:
        self.name = name
        self.config = config
        self.spark = spark
        self.run_date = run_date
        self.warehouse = warehouse
        self.run = run
        self.tables: dict[str, dict[str, Any]] = {}
        self.notes: dict[str, Any] = {}

    def read(self, table: str, schema: StructType) -> DataFrame:
        """A finished table of this run.

        Raises:
            DataError: when the step that writes it has not finished.
        """
        uri = self.run.table_uri(table)
        if table not in self.tables:
            uri = self.run.finished_table_uri(table)
        return tables.read_table(self.spark, uri, schema, table)

    def read_published(self, table: str, schema: StructType) -> DataFrame:
        """A table of the published run; empty before the first night."""
        published = self.warehouse.published_run()
        if published is None:
            return tables.empty_table(self.spark, schema)
        return tables.read_table(self.spark, published.finished_table_uri(table), schema, table)

    def write(
        self, table: str, rows: DataFrame, schema: StructType, partition_by: Sequence[str] = ()
    ) -> DataFrame:
        """Writes a table of this run and returns it as it was written."""
        started = time.monotonic()
        uri = self.run.table_uri(table)
        num_rows = tables.write_table(rows, uri, schema, table, partition_by)
        self.record_table(table, num_rows, schema.jsonValue())
        log.info(
            "%s: %s, %s rows in %.1f s", self.name, table, f"{num_rows:,}", time.monotonic() - started
        )
        return tables.read_table(self.spark, uri, schema, table)

    def record_table(self, table: str, num_rows: int, schema: Any) -> None:
        """Enters a table into the step's record."""
        self.tables[table] = {"num_rows": num_rows, "schema": schema}

    def num_rows(self, table: str) -> int:
        """Rows that a table was written with."""
        if table in self.tables:
            return int(self.tables[table]["num_rows"])
        return self.run.recorded_rows(table)

    def note(self, name: str, value: Any) -> None:
        """Enters a figure into the log and the manifest."""
        self.notes[name] = value
        log.info("%s: %s %s", self.name, name, value)


def run_step(job: Job, step: Callable[[Job], None]) -> None:
    """Runs one step and writes its record last, so that its tables count only when it is done.

    The last step of a night completes the run and points readers at it.
    """
    undone = job.run.start_step(job.name)
    if undone:
        log.info("%s: starts afresh; no longer valid: %s", job.name, ", ".join(undone))
    job.tables, job.notes = {}, {}
    started = time.monotonic()
    step(job)
    seconds = round(time.monotonic() - started, 1)
    job.run.finish_step(
        job.name,
        {
            "step": job.name,
            "run_date": str(job.run_date),
            "finished_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "seconds": seconds,
            "tables": job.tables,
            "notes": job.notes,
            "config": job.config.model_dump(mode="json"),
            "versions": _versions(job.spark),
        },
    )
    log.info("%s: done in %.1f s", job.name, seconds)
    if job.name == LAST_STEP:
        job.run.complete()
        job.warehouse.publish(job.run)
        log.info("published %s", job.run.uri)


def main(
    step: Callable[[Job], None],
    name: str,
    description: str | None,
    run: Literal["newest", "new", "none"] = "newest",
) -> None:
    """Runs a job as a process and ends it with the exit status of the design.

    Args:
        step: does the work.
        name: of the job.
        description: shown by `--help`.
        run: which run the job works in: the date's newest, a new one, or none.
    """
    arguments = _parser(name, description).parse_args()
    try:
        config = load_config(arguments.config, arguments.set)
    except ConfigError as error:
        _fail(str(error))
    _set_up_logging(config.logging.level)
    spark = _session(name)
    try:
        job = _open_job(name, config, spark, arguments.run_date, run)
        if name in STEP_TABLES:
            run_step(job, step)
        else:
            step(job)
    except (ConfigError, DataError, SchemaError) as error:
        _fail(str(error))
    except Exception as error:
        damaged = describe_read_failure(error)
        if damaged is None:
            raise
        log.debug("the query that failed", exc_info=True)
        _fail(damaged)
    finally:
        spark.stop()


def _fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr, flush=True)
    raise SystemExit(BAD_INPUT)


def _parser(name: str, description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"{name}.py",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config", required=True, metavar="FILE", help="YAML file that overrides conf/base.yaml"
    )
    parser.add_argument(
        "--run-date",
        type=date.fromisoformat,
        metavar="YYYY-MM-DD",
        help="the night's date (default: run.date, else today in UTC)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="overrides one setting; may be given several times",
    )
    return parser


def _open_job(
    name: str, config: Config, spark: SparkSession, argument: date | None, which: str
) -> Job:
    run_date = argument or config.run.date or datetime.now(timezone.utc).date()
    warehouse = Warehouse(config.storage.warehouse)
    if which != "none":
        warehouse.check_writable()
    run = warehouse.newest_run(run_date) if which == "newest" else warehouse.open_run(run_date)
    if run is None:
        raise DataError(
            f"{warehouse.uri}: there is no run of {run_date}. "
            "Run jobs/build_interactions.py for this date first, or give another --run-date."
        )
    return Job(name, config, spark, run_date, warehouse, run)


def _session(name: str) -> SparkSession:
    """The session with what the meaning of our code depends on; tuning stands in conf/spark/."""
    spark = (
        SparkSession.builder.appName(f"ncf {name}")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.legacy.timeParserPolicy", "CORRECTED")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def _set_up_logging(level: str) -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S")
    log.setLevel(level)


def _versions(spark: SparkSession) -> dict[str, str]:
    packages = ("pyarrow", "petastorm", "torch", "horovod", "numpy")
    found = {name: metadata.version(name) for name in packages}
    return {
        "ncf_spark": __version__,
        "python": platform.python_version(),
        "spark": spark.version,
        **found,
    }
