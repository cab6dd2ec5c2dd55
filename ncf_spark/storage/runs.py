"""The directory of a run.

warehouse/
  LATEST.json                     which run is published; replaced in one write
  locks/                          who is writing; see ncf_spark.storage.lock
  runs/2026-11-23.1/              a run: its date and its number within the date
    <table>/                      Parquet
    steps/<step>.json             written last by each step; without it its tables do not count
    manifest.json                 written when all steps are done, before the pointer moves
    refused.json                  in place of it, when a gate refused to publish
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from ncf_spark.errors import DataError
from ncf_spark.storage import arrays, files


class Run:
    """One night's directory.

    Args:
        uri: `<warehouse>/runs/<name>`.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.name = uri.rsplit("/", 1)[-1]

    @property
    def sort_key(self) -> tuple[str, int]:
        """Its date and its number within the date."""
        night, number = self.name.rsplit(".", 1)
        return night, int(number)

    @property
    def state(self) -> str:
        """open, refused (by a gate), complete, or damaged (its manifest cannot be read)."""
        if not self.is_complete:
            return "refused" if files.exists(f"{self.uri}/refused.json") else "open"
        return "complete" if self.manifest() is not None else "damaged"

    def manifest(self) -> dict[str, Any] | None:
        """The manifest of a complete run; None: not complete, or damaged."""
        try:
            content = files.read_json(f"{self.uri}/manifest.json")
        except (FileNotFoundError, DataError):
            return None
        return content if isinstance(content, dict) and "completed_at" in content else None

    def table_uri(self, table: str) -> str:
        """The folder of a table, finished or not."""
        return f"{self.uri}/{table}"

    def finished_table_uri(self, table: str) -> str:
        """The folder of a finished table.

        Raises:
            DataError: when the step that writes it has not finished in this run.
        """
        self.recorded_rows(table)
        return self.table_uri(table)

    def recorded_rows(self, table: str) -> int:
        """The number of rows of a finished table, as it was written.

        Raises:
            DataError: when the step that writes it has not finished in this run.
        """
        found = self.find_rows(table)
        if found is None:
            raise DataError(
                f"{self.uri}: table {table} is not finished. Run jobs/nightly.py for this date: "
                "it continues with the first unfinished step."
            )
        return found

    def find_rows(self, table: str) -> int | None:
        """The number of rows of a table, as it was written; None: it is not finished."""
        for record in self.step_records().values():
            if table in record.get("tables", {}):
                return int(record["tables"][table]["num_rows"])
        return None

    def step_records(self) -> dict[str, dict[str, Any]]:
        """The record of each finished step, by its name."""
        names = [name for name in files.list_names(f"{self.uri}/steps") if name.endswith(".json")]
        steps = [name.removesuffix(".json") for name in names]
        return {step: record for step in steps if (record := self.step_record(step)) is not None}

    def step_record(self, step: str) -> dict[str, Any] | None:
        """The record of a step; None: it has not finished."""
        uri = f"{self.uri}/steps/{step}.json"
        record: dict[str, Any] | None = files.read_json(uri) if files.exists(uri) else None
        return record

    def check_open(self) -> None:
        """Raises DataError when the run is complete: it may be published."""
        if self.is_complete:
            raise DataError(
                f"{self.uri}: is complete, and a complete run never changes. "
                "Start another run with jobs/build_interactions.py or jobs/nightly.py."
            )

    def start_step(self, steps: Sequence[str], tables: Sequence[str]) -> list[str]:
        """Deletes the records of a step and of the later ones, and the tables of the step.

        Args:
            steps: the step and the later ones.
            tables: the tables that the step writes.

        Returns:
            The names of the finished steps that no longer count.

        Raises:
            DataError: when the run is complete.
        """
        self.check_open()
        undone = [step for step in steps if self.step_record(step) is not None]
        files.delete(f"{self.uri}/refused.json")
        for later in undone:
            files.delete(f"{self.uri}/steps/{later}.json")
        for table in tables:
            files.delete(self.table_uri(table))
        return undone

    def copy_step(self, other: Run, step: str, tables: Sequence[str]) -> None:
        """Copies the tables and the record of a finished step of another run."""
        for table in tables:
            files.copy(other.table_uri(table), self.table_uri(table))
        record = other.step_record(step)
        assert record is not None
        self.finish_step(step, {**record, "copied_from": other.name})

    def based_on(self) -> str | None:
        """The name of the run whose indexes this run continues."""
        records = self.step_records().values()
        return next((record["based_on"] for record in records if "based_on" in record), None)

    def finish_step(self, step: str, record: dict[str, Any]) -> None:
        """Writes the record of a step, from when on its tables count."""
        files.write_json(f"{self.uri}/steps/{step}.json", record)

    @property
    def is_complete(self) -> bool:
        """Whether every step has finished and the manifest is written."""
        return files.exists(f"{self.uri}/manifest.json")

    def complete(self, facts: Mapping[str, Any], steps: Iterable[str]) -> dict[str, Any]:
        """Writes the manifest, from which on the run never changes.

        Args:
            facts: what else is to stand in it.
            steps: of the night, in their order.

        Raises:
            DataError: naming each step that is missing and each table that differs.
        """
        files.delete(f"{self.uri}/refused.json")
        return self._write_manifest("manifest.json", facts, steps)

    def refuse(self, facts: Mapping[str, Any], steps: Iterable[str]) -> None:
        """Writes the manifest of a run that must not be published, as refused.json."""
        self._write_manifest("refused.json", facts, steps)

    def _write_manifest(
        self, name: str, facts: Mapping[str, Any], steps: Iterable[str]
    ) -> dict[str, Any]:
        records = self.check_whole(steps)
        tables = {table: rows for r in records.values() for table, rows in r["tables"].items()}
        manifest = {
            "run": self.name,
            "completed_at": now(),
            **facts,
            "tables": tables,
            "steps": records,
        }
        files.write_json(f"{self.uri}/{name}", manifest)
        return manifest

    def check_whole(self, steps: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The record of each step, after the rows of every table are counted again.

        Args:
            steps: of the night, in their order.

        Raises:
            DataError: naming each step that is missing and each table that differs.
        """
        records = {step: self.step_record(step) for step in steps}
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
        return {step: record for step, record in records.items() if record is not None}

    def _changes(self, table: str, num_rows: int) -> list[str]:
        """What is wrong with a table that had `num_rows` rows when it was written."""
        try:
            found = arrays.count_rows(self.table_uri(table))
        except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
            return [f"{self.uri}: table {table} cannot be read ({error}); run its step again."]
        if found == num_rows:
            return []
        return [f"{self.uri}: table {table} has {found} rows, but {num_rows} were written."]


def now() -> str:
    """UTC, ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
