"""How a step runs: skipped where it is done, its record written last."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from datetime import datetime, timezone
from importlib import metadata
from typing import Any

from pyspark.sql import SparkSession

from ncf_spark import __version__
from ncf_spark.errors import ConfigError, DataError
from ncf_spark.inputs.checks import check_files
from ncf_spark.job.context import Job, readable
from ncf_spark.job.heartbeat import heartbeat
from ncf_spark.job.logs import log, numbers
from ncf_spark.job.publishing import publish
from ncf_spark.job.staleness import changes, read_inputs, runs_beside
from ncf_spark.night import FIRST_STEP, LAST_STEP, STEPS
from ncf_spark.pipeline.step import setting


def _check_settings(job: Job) -> None:
    """Raises ConfigError when a setting differs from the one that an earlier step used."""
    problems = []
    config = job.config.model_dump(mode="json")
    for earlier, names in STEPS[job.name].must_match.items():
        record = job.run.step_record(earlier)
        if record is None:
            continue
        for name in names:
            now, then = setting(config, name), setting(record["config"], name)
            if now != then:
                problems.append(
                    f"{name} is {now}, but {earlier} of this run had {then}; keep it, or run "
                    f"jobs/{earlier}.py again."
                )
    if problems:
        raise ConfigError("\n".join(problems))


def run_step(job: Job, step: Callable[[Job], None]) -> None:
    """Runs one step and writes its record last, so that its tables count only when it is done.

    A step that is done and would come out the same is skipped, unless `job.force`. The last step of
    a night publishes the run.

    Raises:
        DataError: when the run is complete but the step would come out otherwise; when files of the
            input are missing, or change while they are read.
        LockedError: when another job took the warehouse over.
        RefusedError: when a gate refuses to publish.
    """
    job.next_step(job.name)
    job.warehouse.check_lock()
    why = why_to_run(job, job.name)
    if why is None:
        log.info("%s: done in %s, nothing has changed: skipped", job.name, job.run.name)
    else:
        job.run.check_open()
        log.info("%s: begins in %s: %s", job.name, job.run.name, why)
        _check_settings(job)
        _run(job, step)
    if job.name == LAST_STEP:
        publish(job)


def why_to_run(job: Job, step: str) -> str | None:
    """Why a step must run in the job's run; None: it is done, and would come out the same.

    Raises:
        DataError: when files of its input are missing.
    """
    record = job.run.step_record(step)
    if record is None:
        return "it is not done yet"
    if job.force:
        return "it was done before, but --force was given"
    changed = changes(job, step, record, read_inputs(job, step))
    return f"it was done before, but {'; '.join(changed)}" if changed else None


def same_steps_before(job: Job, step: str) -> list[str]:
    """The first steps of a complete run, up to one, that would come out the same in another run.

    None where a later run has numbered new ids since.

    Raises:
        DataError: when files of their input are missing.
    """
    last, same = job.warehouse.last_complete_run(), list[str]()
    if last is None or last.name != job.run.name:
        return same
    for earlier in STEPS:
        record = job.run.step_record(earlier)
        if earlier == step or record is None:
            break
        if changes(job, earlier, record, read_inputs(job, earlier)):
            break
        same.append(earlier)
    return same


def _run(job: Job, step: Callable[[Job], None]) -> None:
    inputs = read_inputs(job, job.name)
    beside = runs_beside(job, job.name)
    started, jobs_before = time.monotonic(), _num_spark_jobs(job.spark)
    job.clear_stages()
    try:
        with heartbeat(job.spark, job.name, lambda: job.doing):
            check_input_files(job)
            step(job)
    finally:
        job.clear_stages()
    if job.name == FIRST_STEP and read_inputs(job, job.name) != inputs:
        raise DataError(
            "input: its files changed while they were read, so what was read may belong to no one "
            "moment. Run this night again when they are complete."
        )
    job.begin()
    job.warehouse.check_lock()
    seconds = round(time.monotonic() - started, 1)
    record = {
        "step": job.name,
        "run_date": str(job.run_date),
        "finished_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "seconds": seconds,
        # Each costs about half a second of a cold JVM: tests hold every step to a number.
        "spark_jobs": _num_spark_jobs(job.spark) - jobs_before,
        "inputs": inputs,
        "tables": job.tables,
        "notes": job.notes,
        "config": job.config.model_dump(mode="json"),
        "versions": _versions(job.spark),
        **beside,
    }
    job.run.finish_step(job.name, record)
    rows = {table: written["num_rows"] for table, written in job.tables.items()}
    log.info(
        "%s: done in %.1f s%s",
        *(job.name, seconds, _counts(rows, job.notes)),
        extra=numbers(seconds=seconds, rows=rows, notes=job.notes),
    )


def check_input_files(job: Job) -> None:
    """Looks at the customer's files before they are read, in the first step at those of all steps.

    Raises:
        DataError: with all that is wrong with them.
    """
    wanted = {*read_inputs(job, job.name)}
    if job.name == FIRST_STEP:
        wanted |= job.config.sources.keys() - {"outcomes", "split.holdout"}
    sources = {n: s for n, s in job.config.sources.items() if n in wanted - job.checked}
    job.doing = "a look at the input's files"
    check_files(job.spark, sources)
    job.checked |= sources.keys()


def _num_spark_jobs(spark: SparkSession) -> int:
    """Spark jobs that the application has started so far."""
    return int(spark.sparkContext._jsc.sc().dagScheduler().numTotalJobs())


def _counts(rows: dict[str, int], notes: dict[str, Any]) -> str:
    """What a step's line says beside its duration: rows written, and whatever it counted.

    Zeros and figures that are no counts stand in the step's record alone.
    """
    parts = [f"{table} {num_rows:,} rows" for table, num_rows in rows.items()]
    for name, value in notes.items():
        counted = _flat(value) if isinstance(value, dict) else {name: value}
        shown = [f"{n} {readable(v)}" for n, v in counted.items() if isinstance(v, int) and v]
        if shown and "bytes" not in name:
            parts.append(f"{name}: {', '.join(shown)}" if isinstance(value, dict) else shown[0])
    return "".join(f"; {part}" for part in parts)


def _flat(counts: dict[str, Any]) -> dict[str, Any]:
    """{"dropped": {"no_user": 2}} → {"dropped no_user": 2}."""
    found: dict[str, Any] = {}
    for name, value in counts.items():
        parts = _flat(value) if isinstance(value, dict) else {"": value}
        found |= {f"{name} {part}".rstrip(): count for part, count in parts.items()}
    return found


def _versions(spark: SparkSession) -> dict[str, str]:
    packages = ("pyarrow", "petastorm", "torch", "horovod", "numpy")
    found = {name: metadata.version(name) for name in packages}
    return {
        "ncf_spark": __version__,
        "python": platform.python_version(),
        "spark": spark.version,
        **found,
    }
