"""What a step works with: settings, session, and the tables of its run."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta, timezone
from functools import reduce
from importlib import metadata
from operator import getitem
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from ncf_spark import __version__
from ncf_spark.config import Config, ConfigError
from ncf_spark.job.heartbeat import heartbeat
from ncf_spark.schemas import DataError
from ncf_spark.storage import tables
from ncf_spark.storage.runs import LAST_STEP, Run, Warehouse

log = logging.getLogger("ncf_spark")


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
        self,
        table: str,
        rows: DataFrame,
        schema: StructType,
        partition_by: Sequence[str] = (),
        row_group_bytes: int | None = None,
        if_empty: str | None = None,
    ) -> DataFrame:
        """Writes a table of this run and returns it as it was written.

        Args:
            row_group_bytes: of each row group, encoded, about; None: as Spark is set.
            if_empty: why a table without rows is wrong, and the remedy; None: it may be empty.

        Raises:
            DataError: when the table is empty but must not be.
        """
        started = time.monotonic()
        uri = self.run.table_uri(table)
        num_rows = tables.write_table(rows, uri, schema, table, partition_by, row_group_bytes)
        self.record_table(table, num_rows, schema)
        log.info(
            "%s: %s, %s rows in %.1f s",
            self.name,
            table,
            f"{num_rows:,}",
            time.monotonic() - started,
        )
        if if_empty is not None and not num_rows:
            raise DataError(f"{table}: no row is left. {if_empty}")
        return tables.read_table(self.spark, uri, schema, table)

    def record_table(self, table: str, num_rows: int, schema: StructType) -> None:
        """Enters a table into the step's record."""
        self.tables[table] = {"num_rows": num_rows, "schema": schema.jsonValue()}

    def num_rows(self, table: str) -> int:
        """Rows that a table was written with."""
        if table in self.tables:
            return int(self.tables[table]["num_rows"])
        return self.run.recorded_rows(table)

    def note(self, name: str, value: Any) -> None:
        """Enters a figure into the log and the manifest."""
        self.notes[name] = value
        log.info("%s: %s: %s", self.name, name, readable(value))


# Settings that a step shares with an earlier one, whose tables it would misread under others.
_OF_THE_SPLIT = ["split.method", "split.holdout_days", "split.validation"]
_SETTLED = {
    "train": {"build_interactions": [*_OF_THE_SPLIT, "training.num_shards"]},
    "evaluate": {
        "build_interactions": [*_OF_THE_SPLIT, "input.columns.time", "evaluation.num_negatives"],
        "train": ["model.kind", "evaluation.baselines", "evaluation.compared"],
    },
    "export_campaign": {"score_users": ["scoring.k"]},
}


def _check_settings(job: Job) -> None:
    """Raises ConfigError when a step is told otherwise than the step whose tables it reads."""
    problems = []
    config = job.config.model_dump(mode="json")
    for earlier, names in _SETTLED.get(job.name, {}).items():
        record = job.run.step_record(earlier)
        if record is None:
            continue
        for name in names:
            now, then = (reduce(getitem, name.split("."), c) for c in (config, record["config"]))
            if now != then:
                problems.append(
                    f"{name} is {now}, but {earlier} of this run had {then}; keep it, or run "
                    f"jobs/{earlier}.py again."
                )
    if problems:
        raise ConfigError("\n".join(problems))


def readable(value: Any) -> str:
    """1234567 → 1,234,567; 0.123456 → 0.1235; {"hr": 0.5} → hr 0.5000; others as they are."""
    if isinstance(value, dict):
        return "; ".join(f"{key} {readable(part)}" for key, part in value.items())
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def run_step(job: Job, step: Callable[[Job], None]) -> None:
    """Runs one step and writes its record last, so that its tables count only when it is done.

    The last step of a night completes the run and points readers at it.
    """
    undone = job.run.start_step(job.name)
    if undone:
        log.info("%s: starts afresh; no longer valid: %s", job.name, ", ".join(undone))
    _check_settings(job)
    job.tables, job.notes = {}, {}
    started = time.monotonic()
    with heartbeat(job.spark, job.name):
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


def _versions(spark: SparkSession) -> dict[str, str]:
    packages = ("pyarrow", "petastorm", "torch", "horovod", "numpy")
    found = {name: metadata.version(name) for name in packages}
    return {
        "ncf_spark": __version__,
        "python": platform.python_version(),
        "spark": spark.version,
        **found,
    }
