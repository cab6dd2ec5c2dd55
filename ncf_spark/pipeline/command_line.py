"""How a job starts and ends: arguments, configuration, Spark session, logging, exit status."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta, timezone
from typing import Literal

from pyspark.sql import SparkSession

from ncf_spark.config import Config, load_config
from ncf_spark.errors import ConfigError, DataError, LockedError, RefusedError, SchemaError
from ncf_spark.monitoring.notify import check_monitoring
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.logs import log, print_last_message, set_up_logging
from ncf_spark.pipeline.runner import run_step, same_steps_before, why_to_run
from ncf_spark.pipeline.session import fit_to_input, session
from ncf_spark.pipeline.step import Step
from ncf_spark.storage.read_failures import describe_read_failure
from ncf_spark.storage.warehouse import Warehouse

FAILED, BAD_INPUT, REFUSED = 1, 2, 3


def main(
    steps: Mapping[str, Step],
    name: str,
    description: str | None,
    work: Callable[[Job], None] = run_step,
    run: Literal["newest", "start", "none"] = "newest",
    explain: Callable[[Job, str | None, str | None], None] | None = None,
    suggest: Callable[[SparkSession, Sequence[str]], str] | None = None,
) -> None:
    """Runs a job as a process and ends it with the exit status of the design.

    Args:
        steps: of a night, by name, in their order.
        name: of the job.
        description: shown by `--help`.
        work: what the job does; by default, the step of its name.
        run: which run the job works in: the date's newest; the same, or a new one where there is
            none to go on with; or none.
        explain: what `--explain USER_ID` and `--explain-item ITEM_ID` do, instead of the work.
        suggest: the text that `--suggest PATH …` prints, instead of the work.
    """
    parser = _parser(steps, name, description, explain is not None, suggest is not None)
    arguments = parser.parse_args()
    with reporting():
        if suggest is not None and arguments.suggest:
            with session(name) as spark:
                print(suggest(spark, arguments.suggest), flush=True)
            return
        if arguments.config is None:
            parser.error("the following arguments are required: --config")
        config = load_config(arguments.config, arguments.set)
        set_up_logging(config.logging.level, config.logging.format)
        check_monitoring(config)
        nights = _nights(arguments, config)
        warehouse = Warehouse(config.storage.warehouse)

        def job_of(spark: SparkSession, night: date) -> Job:
            newest = warehouse.newest_run(night) or warehouse.open_run(night)
            is_small = fit_to_input(spark, config, newest, next(iter(steps)))
            given = (steps, name, config, spark, night, warehouse, newest)
            return Job(*given, force=getattr(arguments, "force", False), is_small=is_small)

        asked = [getattr(arguments, one, None) for one in ("explain", "explain_item")]
        if run == "none" or any(asked):
            with session(name) as spark:
                job = job_of(spark, nights[0])
                if explain is None:
                    work(job)
                else:
                    _choose_run(job, may_start=False)
                    explain(job, *asked)
            return
        warehouse.check_writable()
        warehouse.published_run()  # A damaged pointer is better known now than after hours.
        what = f"{name} of {nights[0]}" + (f" to {nights[-1]}" if len(nights) > 1 else "")
        with warehouse.locked(what, config.storage.lock_expires), session(name) as spark:
            for night in nights:
                job = job_of(spark, night)
                _choose_run(job, run == "start")
                work(job)


@contextmanager
def reporting() -> Iterator[None]:
    """Ends the process with the exit status of the design, and one clear message."""
    try:
        yield
    except (ConfigError, DataError, SchemaError) as error:
        _fail(f"error: {error}", BAD_INPUT)
    except RefusedError as error:
        _fail(f"refused: {error}", REFUSED)
    except LockedError as error:
        _fail(f"error: {error}", FAILED)
    except Exception as error:
        if "No space left on device" in str(error):
            log.debug("what failed", exc_info=True)
            _fail(
                "error: there is no space left where tables are written (storage.warehouse) or "
                "where Spark keeps what it is working on (spark.local.dir). Nothing that was "
                "published is lost: make room, and run the night again.",
                FAILED,
            )
        damaged = describe_read_failure(error)
        if damaged is None:
            raise
        log.debug("the query that failed", exc_info=True)
        _fail(f"error: {damaged}", BAD_INPUT)


def _fail(message: str, status: int) -> None:
    print_last_message(message)
    raise SystemExit(status)


def base_parser(
    name: str, description: str | None, needs_config: bool = True
) -> argparse.ArgumentParser:
    """The arguments that every job has."""
    parser = argparse.ArgumentParser(
        prog=f"{name}.py",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config",
        required=needs_config,
        metavar="FILE",
        help="YAML file that overrides conf/base.yaml",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="overrides one setting; may be given several times",
    )
    return parser


def _parser(
    steps: Container[str], name: str, description: str | None, explains: bool, suggests: bool
) -> argparse.ArgumentParser:
    parser = base_parser(name, description, needs_config=not suggests)
    if suggests:
        parser.add_argument(
            "--suggest",
            nargs="+",
            metavar="PATH",
            help="print a first configuration for these exports, and do nothing else",
        )
    if explains:
        parser.add_argument(
            "--explain",
            metavar="USER_ID",
            help="print why a recipient got what, or nothing, in the date's newest run",
        )
        parser.add_argument(
            "--explain-item",
            metavar="ITEM_ID",
            help="print why an item is not shown, or how often it is",
        )
    parser.add_argument(
        "--run-date",
        type=_date,
        metavar="YYYY-MM-DD",
        help="the night's date (default: run.date, else today in UTC)",
    )
    if name in steps or name == "nightly":
        parser.add_argument(
            "--force", action="store_true", help="run finished steps again, rather than skip them"
        )
    if name == "nightly":
        for option, meaning in (("--from", "first"), ("--to", "last")):
            parser.add_argument(
                option,
                type=_date,
                dest=meaning,
                metavar="YYYY-MM-DD",
                help=f"{meaning} night of a backfill, instead of --run-date",
            )
    return parser


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected YYYY-MM-DD, found {text}") from None


def _nights(arguments: argparse.Namespace, config: Config) -> list[date]:
    """The nights that are asked for, in their order."""
    first, last = (getattr(arguments, name, None) for name in ("first", "last"))
    if first is None and last is None:
        return [arguments.run_date or config.run.date or datetime.now(timezone.utc).date()]
    if first is None or last is None or arguments.run_date is not None:
        raise ConfigError("--from and --to go together, and without --run-date.")
    if last < first:
        raise ConfigError(f"--from {first} is later than --to {last}.")
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _choose_run(job: Job, may_start: bool) -> None:
    """Opens the run to work in: a new one where the date's newest is complete and would change."""
    if not may_start:
        if job.warehouse.newest_run(job.run_date) is None:
            raise DataError(
                f"{job.warehouse.uri}: there is no run of {job.run_date}. "
                f"Run jobs/{job.first_step}.py for this date first, or give another --run-date."
            )
        return
    steps = [job.name] if job.name in job.steps else list(job.steps)
    if not job.run.is_complete:
        return
    whys = ((step, why) for step in steps if (why := why_to_run(job, step)))
    first, why = next(whys, (None, None))
    if first is None:
        return
    before, same = job.run, same_steps_before(job, first)
    job.run = job.warehouse.open_run(job.run_date)
    log.info("%s is complete; %s is started: %s: %s", before.name, job.run.name, first, why)
    for step in same:
        job.run.copy_step(before, step, job.steps[step].writes)
    if same:
        copied = ", ".join(same)
        log.info("%s: unchanged, copied from %s: %s", job.run.name, before.name, copied)
