"""The runs of a warehouse, for the person who operates it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from ncf_spark.errors import DataError
from ncf_spark.storage import files, lock
from ncf_spark.storage.runs import Run
from ncf_spark.storage.warehouse import Warehouse

_HEAD = ("run", "state", "steps", "size", "metrics of what it publishes")


def describe_runs(warehouse: Warehouse, steps: Sequence[str]) -> str:
    """A line for each run: name, state, finished steps, size, and how good its model is.

    Args:
        steps: of a night.
    """
    pointed = _pointed(warehouse)
    lines = [_HEAD, *(_row(run, pointed, steps) for run in warehouse.runs())]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    table = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    ]
    locks = [f"locked by {claim}" for claim in lock.read_claims(f"{warehouse.uri}/locks").values()]
    return "\n".join([warehouse.uri, *(line.rstrip() for line in table), *locks])


def publish_again(warehouse: Warehouse, name: str, expires_after: timedelta | None) -> str:
    """Points readers at a complete run.

    Raises:
        DataError: when there is no such run, or it is not complete.
        LockedError: when a job is at work.
    """
    run = next((run for run in warehouse.runs() if run.name == name), None)
    if run is None:
        names = ", ".join(run.name for run in warehouse.runs()) or "none"
        raise DataError(f"{warehouse.uri}: there is no run {name}. There are: {names}.")
    withdrawn = _pointed(warehouse)
    with warehouse.locked(f"runs --publish {name}", expires_after):
        warehouse.publish(run, withdrawn=None if withdrawn == name else withdrawn)
    return f"published {run.uri}; before: {withdrawn or 'nothing'}"


def clear_locks(warehouse: Warehouse) -> str:
    """Removes every lock, and returns whose they were."""
    claims = lock.clear(warehouse.uri)
    if not claims:
        return f"{warehouse.uri}: is not locked"
    return "\n".join(f"removed the lock of {claim}" for claim in claims)


def _pointed(warehouse: Warehouse) -> str | None:
    """What the pointer names, whole or not; None where it cannot be read."""
    try:
        return str(files.read_json(f"{warehouse.uri}/LATEST.json")["run"])
    except (FileNotFoundError, DataError, KeyError, TypeError):
        return None


def _row(run: Run, pointed: str | None, steps: Sequence[str]) -> tuple[str, ...]:
    state = "published" if run.name == pointed and run.state == "complete" else run.state
    done = sum(files.exists(f"{run.uri}/steps/{step}.json") for step in steps)
    size = f"{files.total_bytes(run.uri) / 1e6:,.1f} MB"
    return run.name, state, f"{done}/{len(steps)}", size, _metrics(run)


def _metrics(run: Run) -> str:
    """ndcg@10 0.1328 (full), ndcg@10 0.4218 (sampled_99)."""
    manifest: dict[str, Any] = run.manifest() or {}
    own = manifest.get("champion")
    return ", ".join(
        f"{row['metric']}@{row['k']} {row['value']:.4f} ({row['protocol']})"
        for row in manifest.get("metrics", [])
        if row["model"] == own and row["metric"] == "ndcg"
    )
