"""The shell of every job: arguments, configuration, Spark session, logging, exit status."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from datetime import date, datetime, timezone
from typing import Literal

from pyspark.sql import SparkSession

from ncf_spark.config import Config, ConfigError, load_config
from ncf_spark.job.context import Job, log, run_step
from ncf_spark.schemas import DataError, SchemaError
from ncf_spark.storage.runs import STEP_TABLES, Warehouse
from ncf_spark.storage.sources import describe_read_failure

BAD_INPUT = 2


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
        type=_date,
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


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected YYYY-MM-DD, found {text}") from None


def _open_job(
    name: str, config: Config, spark: SparkSession, argument: date | None, which: str
) -> Job:
    run_date = argument or config.run.date or datetime.now(timezone.utc).date()
    warehouse = Warehouse(config.storage.warehouse)
    if which != "none":
        warehouse.check_writable()
        warehouse.published_run()  # A damaged pointer is better known now than after hours.
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
