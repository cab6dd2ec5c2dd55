"""Run directories and the pointer to the published one.

warehouse/
  LATEST.json                     which run is published; replaced in one write
  runs/2026-11-23.1/              a run: its date and the how manieth of that date
    <table>/                      Parquet
    steps/<step>.json             written last by each step; without it its tables don't count
    manifest.json                 written when all steps are done, before the pointer moves
"""

from __future__ import annotations

import uuid
from datetime import date, datetime, timezone
from typing import Any

from ncf_spark.schemas import DataError
from ncf_spark.storage import arrays, files

# The steps of a night in their order, with the tables that each writes.
STEP_TABLES = {
    "build_interactions": (
        "interactions",
        "user_index",
        "item_index",
        "catalogue",
        "split",
        "train",
        "validation",
        "holdout",
    ),
    "score_item_activity": ("item_activity",),
    # Below model/ and compared/<name>/ stand user_vectors, item_vectors and what belongs to them.
    "train": ("model", "compared", "item_popularity", "item_neighbours"),
    "evaluate": ("ranks", "metrics", "report"),
    "score_users": ("eligible_items", "user_topk"),
    "similar_items": ("item_topk",),
    "export_campaign": ("campaign", "campaign_long"),
}
LAST_STEP = "export_campaign"


class Run:
    """One night's directory.

    Args:
        uri: `<warehouse>/runs/<name>`.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.name = uri.rsplit("/", 1)[-1]

    def table_uri(self, table: str) -> str:
        """Where a table stands, finished or not."""
        return f"{self.uri}/{table}"

    def finished_table_uri(self, table: str) -> str:
        """Where a finished table stands.

        Raises:
            DataError: when the step that writes it has not finished in this run.
        """
        self.recorded_rows(table)
        return self.table_uri(table)

    def recorded_rows(self, table: str) -> int:
        """Rows that a finished table was written with.

        Raises:
            DataError: when the step that writes it has not finished in this run.
        """
        top = table.split("/")[0]
        step = next(step for step, tables in STEP_TABLES.items() if top in tables)
        record = self.step_record(step)
        if record is None:
            raise DataError(
                f"{self.uri}: table {table} is not finished. "
                f"Run jobs/{step}.py for this date first."
            )
        return int(record["tables"][table]["num_rows"])

    def step_record(self, step: str) -> dict[str, Any] | None:
        """What a finished step wrote about itself; None if it has not finished."""
        uri = f"{self.uri}/steps/{step}.json"
        record: dict[str, Any] | None = files.read_json(uri) if files.exists(uri) else None
        return record

    def start_step(self, step: str) -> list[str]:
        """Makes room for a step: what it and the later steps left no longer counts.

        Returns:
            The names of the finished steps that were undone.

        Raises:
            DataError: when the run is complete, and so may be published.
        """
        if self.is_complete:
            raise DataError(
                f"{self.uri}: is complete, and a complete run never changes. "
                "Start another one with jobs/build_interactions.py or jobs/nightly.py."
            )
        steps = list(STEP_TABLES)
        undone = [s for s in steps[steps.index(step) :] if self.step_record(s) is not None]
        for later in undone:
            files.delete(f"{self.uri}/steps/{later}.json")
        for table in STEP_TABLES[step]:
            files.delete(self.table_uri(table))
        return undone

    def finish_step(self, step: str, record: dict[str, Any]) -> None:
        """Declares a step's tables finished."""
        files.write_json(f"{self.uri}/steps/{step}.json", record)

    @property
    def is_complete(self) -> bool:
        """Whether every step finished and the manifest stands."""
        return files.exists(f"{self.uri}/manifest.json")

    def complete(self) -> dict[str, Any]:
        """Checks every table against what its step recorded, then writes the manifest.

        Raises:
            DataError: naming each step that is missing and each table that differs.
        """
        records = {step: self.step_record(step) for step in STEP_TABLES}
        problems = [
            f"{self.uri}: step {step} has not finished; run jobs/{step}.py for this date."
            for step, record in records.items()
            if record is None
        ]
        for record in filter(None, records.values()):
            for table, written in record["tables"].items():
                problems += self._changes(table, written["num_rows"])
        if problems:
            raise DataError("\n".join(problems))
        manifest = {"run": self.name, "completed_at": _now(), "steps": records}
        files.write_json(f"{self.uri}/manifest.json", manifest)
        return manifest

    def _changes(self, table: str, num_rows: int) -> list[str]:
        """What is wrong with a table that was written with `num_rows` rows."""
        try:
            found = arrays.count_rows(self.table_uri(table))
        except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
            return [f"{self.uri}: table {table} cannot be read ({error}); rerun its step."]
        if found == num_rows:
            return []
        return [f"{self.uri}: table {table} holds {found} rows, but {num_rows} were written."]


class Warehouse:
    """The root of everything written.

    Args:
        path: a path or URI; without a scheme it is on the local disk.
    """

    def __init__(self, path: str) -> None:
        self.uri = files.to_uri(path)

    def check_writable(self) -> None:
        """Writes a file and removes it.

        Raises:
            DataError: when that fails.
        """
        probe = f"{self.uri}/runs/.probe-{uuid.uuid4().hex}"
        try:
            files.write_bytes(probe, b"")
            files.delete(probe)
        except OSError as error:
            raise DataError(
                f"storage.warehouse: cannot write to {self.uri} ({error}). "
                "Name a folder that this user may write to."
            ) from None

    def published_run(self) -> Run | None:
        """The run that LATEST.json names; None before the first night.

        Raises:
            DataError: when LATEST.json is damaged.
        """
        pointer = f"{self.uri}/LATEST.json"
        if not files.exists(pointer):
            return None
        try:
            content = files.read_json(pointer)
        except DataError as error:
            raise DataError(
                f"{error} Restore it to the last run that has a manifest.json: "
                '{"run": "<date>.<number>"}.'
            ) from None
        if not isinstance(content, dict) or not isinstance(content.get("run"), str):
            raise DataError(f'{pointer}: names no run; expected {{"run": "<date>.<number>"}}.')
        return self._run(content["run"])

    def newest_run(self, run_date: date) -> Run | None:
        """The last run that was opened for a date; None if there is none."""
        numbers = self._numbers(run_date)
        return self._run(f"{run_date}.{numbers[-1]}") if numbers else None

    def open_run(self, run_date: date) -> Run:
        """A new, empty run for a date."""
        numbers = self._numbers(run_date)
        return self._run(f"{run_date}.{numbers[-1] + 1 if numbers else 1}")

    def publish(self, run: Run) -> None:
        """Points readers at a complete run."""
        if not run.is_complete:
            raise DataError(f"{run.uri}: is not complete; only a complete run is published.")
        pointer = {"run": run.name, "path": f"runs/{run.name}", "published_at": _now()}
        files.write_json(f"{self.uri}/LATEST.json", pointer)

    def _run(self, name: str) -> Run:
        return Run(f"{self.uri}/runs/{name}")

    def _numbers(self, run_date: date) -> list[int]:
        prefix = f"{run_date}."
        names = files.list_names(f"{self.uri}/runs")
        ends = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
        return sorted(int(end) for end in ends if end.isdigit())


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
