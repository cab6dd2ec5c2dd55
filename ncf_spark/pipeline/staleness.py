"""Whether a rerun of a finished step would write the same, so that it may be skipped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ncf_spark.config import Source
from ncf_spark.errors import DataError
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.step import setting
from ncf_spark.storage import sources


def read_inputs(job: Job, step: str) -> dict[str, dict[str, Any]]:
    """As `fingerprints`, of the customer's tables that a step reads."""
    return fingerprints(job, job.steps[step].inputs(job.config))


def fingerprints(job: Job, tables: Mapping[str, Source]) -> dict[str, dict[str, Any]]:
    """What the files of some of the customer's tables look like, by the section that names them.

    Raises:
        DataError: naming every place where there is nothing.
    """
    found, problems = {}, []
    for name, source in tables.items():
        if not source.configured:
            continue
        try:
            found[name] = sources.fingerprint(job.spark, source, name)
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError("\n".join(problems))
    return found


def changes(job: Job, step: str, record: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[str]:
    """What has changed since a step finished; empty: a rerun would write the same.

    Args:
        record: what the step wrote about itself.
        inputs: as of `read_inputs`, now.
    """
    then, now = record.get("config", {}), job.config.model_dump(mode="json")
    found = [
        f"{key} was {setting(then, key)}, is {setting(now, key)}"
        for name in job.steps[step].settings
        for key in _differing(name, setting(then, name), setting(now, name))
        if not key.startswith(job.steps[step].except_settings)
    ]
    before = record.get("inputs", {})
    found += [
        f"the files of {name} have changed"
        for name in sorted({*before, *inputs})
        if before.get(name) != inputs.get(name)
    ]
    if not job.run.is_complete:
        found += [
            f"{_BESIDE[key]} was {record.get(key)}, is {name}"
            for key, name in runs_beside(job, step).items()
            # A step that was copied has the numbers of the run that it was copied from.
            if name != record.get(key) and (name, key) != (record.get("copied_from"), "based_on")
        ]
    return found


_BESIDE = {"based_on": "the run that ids go on from", "night_before": "the night before"}


def runs_beside(job: Job, step: str) -> dict[str, str | None]:
    """The names of the other runs that a step reads, under the keys of its record."""
    readers = {
        "based_on": job.warehouse.last_complete_run,
        "night_before": lambda: job.warehouse.night_before(job.run),
    }
    found = {key: readers[key]() for key in job.steps[step].other_runs}
    return {key: None if run is None else run.name for key, run in found.items()}


def _differing(key: str, then: Any, now: Any) -> Iterable[str]:
    """The keys at and below `key` whose values differ."""
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for name in sorted({*then, *now}):
            yield from _differing(f"{key}.{name}", then.get(name), now.get(name))
    elif then != now:
        yield key
