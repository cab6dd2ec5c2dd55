"""Runs a step: skips it where it is done, and writes its record last."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from importlib import metadata
from typing import Any

from pyspark.sql import SparkSession

from ncf_spark import __version__
from ncf_spark.errors import ConfigError, DataError
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.heartbeat import heartbeat
from ncf_spark.pipeline.logs import log, numbers
from ncf_spark.pipeline.publishing import publish
from ncf_spark.pipeline.staleness import changes, read_inputs, runs_beside
from ncf_spark.pipeline.step import setting
from ncf_spark.schemas.results import counts_of


def _check_settings(job: Job) -> None:
    """Raises ConfigError when a setting differs from the one that an earlier step used."""
    problems = []
    config = job.config.model_dump(mode="json")
    for earlier, names in job.steps[job.name].must_match.items():
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


def run_step(job: Job) -> None:
    """Runs the job's step and writes its record last: its tables count only when it is done.

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
        log.info("%s: starts in %s: %s", job.name, job.run.name, why)
        _check_settings(job)
        _run(job)
    if job.name == job.last_step:
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
    """The first steps of a complete run, before `step`, that another run may copy.

    Empty where a later run has numbered new ids since.

    Raises:
        DataError: when files of their input are missing.
    """
    last, same = job.warehouse.last_complete_run(), list[str]()
    if last is None or last.name != job.run.name:
        return same
    for earlier in job.steps:
        record = job.run.step_record(earlier)
        if earlier == step or record is None:
            break
        if changes(job, earlier, record, read_inputs(job, earlier)):
            break
        same.append(earlier)
    return same


def _run(job: Job) -> None:
    inputs = read_inputs(job, job.name)
    beside = runs_beside(job, job.name)
    started, jobs_before = time.monotonic(), _num_spark_jobs(job.spark)
    job.clear_stages()
    try:
        with heartbeat(job.spark, job.name, lambda: job.doing):
            result = job.steps[job.name].run(job)
    finally:
        job.clear_stages()
    if job.name == job.first_step and read_inputs(job, job.name) != inputs:
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
        "result": None if result is None else result.model_dump(mode="json"),
        "notes": job.notes,
        "config": job.config.model_dump(mode="json"),
        "versions": _versions(job.spark),
        **beside,
    }
    job.run.finish_step(job.name, record)
    rows = {table: written["num_rows"] for table, written in job.tables.items()}
    log.info(
        "%s: done in %.1f s%s",
        *(job.name, seconds, _counts(rows, record)),
        extra=numbers(seconds=seconds, rows=rows, notes=dict(counts_of(record))),
    )


def _num_spark_jobs(spark: SparkSession) -> int:
    """Spark jobs that the application has started so far."""
    return int(spark.sparkContext._jsc.sc().dagScheduler().numTotalJobs())


def _counts(rows: Mapping[str, int], record: Mapping[str, Any]) -> str:
    """The part of a step's line after its duration: rows written, and what the step counted."""
    parts = [f"{table} {num_rows:,} rows" for table, num_rows in rows.items()]
    for name, counts in counts_of(record):
        if "bytes" in name:
            continue  # Sizes are in the record alone.
        shown = [f"{path} {count:,}".strip() for path, count in _flat(counts)]
        parts.append(f"{name}: {', '.join(shown)}")
    return "".join(f"; {part}" for part in parts)


def _flat(counts: Any, path: str = "") -> Iterator[tuple[str, int]]:
    """{"dropped": {"no_user": 2}} → ("dropped no_user", 2)."""
    if not isinstance(counts, Mapping):
        yield path, counts
        return
    for name, value in counts.items():
        yield from _flat(value, f"{path} {name}".strip())


def _versions(spark: SparkSession) -> dict[str, str]:
    packages = ("pyarrow", "petastorm", "torch", "horovod", "numpy")
    found = {name: metadata.version(name) for name in packages}
    return {
        "ncf_spark": __version__,
        "python": platform.python_version(),
        "spark": spark.version,
        **found,
    }
