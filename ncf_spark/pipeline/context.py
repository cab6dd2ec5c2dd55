"""What a step works with: settings, session, and the tables of its run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql.types import StructType

from ncf_spark.config import Config
from ncf_spark.errors import DataError
from ncf_spark.pipeline.logs import log, numbers, working_on
from ncf_spark.pipeline.step import Step, writer_of
from ncf_spark.storage import files, tables
from ncf_spark.storage.runs import Run
from ncf_spark.storage.warehouse import Warehouse


class Job:
    """What a step works with: settings, session, and the tables of its run.

    Args:
        steps: of a night, by name, in their order.
        name: of the step, as in `jobs/<name>.py`, or of a job that is no step of a night.
        run: the night's directory.
        force: whether finished steps run again.
        is_small: whether what a step computes on its way fits into the executors' memory.

    Attributes:
        doing: what is running, for the heartbeat in the log: by default the table that is written.
        checked: sections whose files were checked.
    """

    def __init__(
        self,
        steps: Mapping[str, Step],
        name: str,
        config: Config,
        spark: SparkSession,
        run_date: date,
        warehouse: Warehouse,
        run: Run,
        force: bool = False,
        is_small: bool = True,
    ) -> None:
        self.steps = steps
        self.name = name
        self.config = config
        self.spark = spark
        self.run_date = run_date
        self.warehouse = warehouse
        self.run = run
        self.force = force
        self.is_small = is_small
        self.staging_uri = run.table_uri("staging")
        self.doing = "starting"
        self.tables: dict[str, dict[str, Any]] = {}
        self.counts: dict[str, dict[str, int]] = {}
        self.notes: dict[str, Any] = {}
        self.checked: set[str] = set()
        self._begun = False
        working_on(name, run.name)

    def next_step(self, name: str) -> None:
        """Switches to a step, which has written nothing yet."""
        working_on(name, self.run.name)
        self.name, self.tables, self.counts, self.notes = name, {}, {}, {}
        self._begun, self.doing = False, "starting"

    def begin(self) -> None:
        """Deletes what the step wrote earlier in this run, the first time that it is called.

        Called when there is something to write: a step that fails before leaves the old tables.
        """
        if self._begun:
            return
        self._begun = True
        step = self.step
        if step is None:
            return
        later = list(self.steps)[list(self.steps).index(step.name) :]
        undone = self.run.start_step(later, step.writes)
        if undone:
            log.info("%s: starts again; no longer valid: %s", self.name, ", ".join(undone))

    @property
    def first_step(self) -> str:
        """The name of a night's first step."""
        return next(iter(self.steps))

    @property
    def last_step(self) -> str:
        """The name of a night's last step, after which it is published."""
        return list(self.steps)[-1]

    @property
    def step(self) -> Step | None:
        """The declaration of the step; None for a job that is no step of a night."""
        return self.steps.get(self.name)

    @property
    def ends_at(self) -> datetime:
        """The first moment after the run date, UTC."""
        midnight = datetime.combine(self.run_date, datetime.min.time(), timezone.utc)
        return midnight + timedelta(days=1)

    def read(self, table: str, schema: StructType) -> DataFrame:
        """A finished table of this run.

        Raises:
            DataError: when the step that writes it has not finished.
        """
        return tables.read_table(self.spark, self._uri(table), schema, table)

    def read_rows(self, table: str, schema: StructType) -> list[dict[str, Any]]:
        """The rows of a small finished table of this run, without a Spark job.

        Raises:
            DataError: when the step that writes it has not finished.
        """
        return tables.read_rows(self._uri(table), schema, table)

    def _uri(self, table: str) -> str:
        """Where a table is that this step has written or may read."""
        if self.step is not None:
            self.step.check_reads(table)
        if table not in self.tables and self.run.find_rows(table) is None:
            raise DataError(
                f"{self.run.uri}: table {table} is not finished. "
                f"Run jobs/{writer_of(self.steps.values(), table)}.py for this date first."
            )
        return self.run.table_uri(table)

    def read_last(self, table: str, schema: StructType) -> DataFrame:
        """A table of the run that was completed last; empty before the first one."""
        last = self.warehouse.last_complete_run()
        if last is None:
            return tables.empty_table(self.spark, schema)
        return tables.read_table(self.spark, last.finished_table_uri(table), schema, table)

    def write(
        self,
        table: str,
        rows: DataFrame,
        schema: StructType,
        partition_by: Sequence[str] = (),
        row_group_bytes: int | None = None,
        counts: Mapping[str, Column] | None = None,
        if_empty: str | None = None,
    ) -> DataFrame:
        """Writes a table of this run and returns it as it was written.

        Args:
            row_group_bytes: of each row group, encoded, about; None: as Spark is set.
            counts: what is counted while the table is written, for `self.counts[table]`: a name
                and an aggregate of the table's columns.
            if_empty: why a table without rows is wrong, and the remedy; None: it may be empty.

        Raises:
            DataError: when the table is empty but must not be.
            UndeclaredError: when the step does not declare the table.
        """
        if self.step is not None:
            self.step.check_writes(table)
        self.begin()
        self.doing, started = table, time.monotonic()
        uri = self.run.table_uri(table)
        found = tables.write_table(rows, uri, schema, table, partition_by, row_group_bytes, counts)
        self.counts[table], num_rows = found, found["num_rows"]
        self.record_table(table, num_rows, schema)
        seconds = round(time.monotonic() - started, 1)
        log.debug(
            "%s: %s, %s rows in %.1f s",
            *(self.name, table, f"{num_rows:,}", seconds),
            extra=numbers(table=table, num_rows=num_rows, seconds=seconds),
        )
        if if_empty is not None and not num_rows:
            raise DataError(f"{table}: no row is left. {if_empty}")
        return tables.read_table(self.spark, uri, schema, table)

    def stage(self, rows: DataFrame, name: str) -> DataFrame:
        """`rows`, for what is built on them several times: they are computed once.

        They are kept in memory where the input is small and no executor can be lost, else as
        Parquet beside the run's tables, until the step ends. In both ways what is built on them is
        planned without the plan that made them.
        """
        in_one_process = str(self.spark.sparkContext.master).split("[")[0] == "local"
        if self.is_small and in_one_process:
            return rows.localCheckpoint(eager=False)
        return tables.staged(rows, f"{self.staging_uri}/{name}")

    def clear_stages(self) -> None:
        """Deletes what was staged as Parquet, also by a step that failed earlier."""
        files.delete(self.staging_uri)

    def record_table(self, table: str, num_rows: int, schema: StructType) -> None:
        """Enters a table into the step's record."""
        self.tables[table] = {"num_rows": num_rows, "schema": schema.jsonValue()}

    def num_rows(self, table: str) -> int:
        """Rows that a table was written with."""
        if table in self.tables:
            return int(self.tables[table]["num_rows"])
        return self.run.recorded_rows(table)

    def note(self, name: str, value: Any) -> None:
        """Enters a figure into the step's record, and so into its line of the log."""
        self.notes[name] = value
        log.debug("%s: %s: %s", self.name, name, readable(value), extra=numbers(**{name: value}))


def readable(value: Any) -> str:
    """1234567 → 1,234,567; 0.123456 → 0.1235; {"hr": 0.5} → hr 0.5000; others as they are."""
    if isinstance(value, dict):
        return "; ".join(f"{key} {readable(part)}" for key, part in value.items())
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
