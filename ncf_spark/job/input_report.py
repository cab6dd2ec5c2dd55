"""What is in the customer's tables, for a person who writes their configuration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.config import Source
from ncf_spark.inputs import hadoop, nanoseconds, sources, suggest, text
from ncf_spark.inputs.canonical import masked
from ncf_spark.job.context import Job, readable
from ncf_spark.schemas import DataError, SchemaError
from ncf_spark.storage import files
from ncf_spark.storage.warehouse import Warehouse

_NUM_ROWS = 3


def describe_tables(job: Job) -> str:
    """Where each configured table is, its columns, and its first rows with masked addresses."""
    blocks = []
    for name, source in job.config.sources.items():
        try:
            lines = list(_describe(job.spark, source, name))
        except (DataError, SchemaError) as error:
            lines = [f"wrong: {line}" for line in str(error).splitlines()]
        where = source.table if source.table is not None else source.path
        blocks.append("\n  ".join([f"{name}: {where} ({source.format})", *lines]))
    return "\n\n".join(blocks)


def _describe(spark: SparkSession, source: Source, name: str) -> Iterator[str]:
    found = sources.fingerprint(spark, source, name)
    if "bytes" in found:
        size = f"{found['bytes'] / 2**20:,.1f} MiB"
        yield f"{found['files']:,} files, {size}, the newest of {found['newest']}"
    rows = sources.read_source(spark, source, name)
    yield "columns: " + ", ".join(
        f"{field.name} ({field.dataType.simpleString()})" for field in rows.schema
    )
    columns = source.columns.model_dump()  # type: ignore[attr-defined]
    used = {ours: theirs for ours, theirs in columns.items() if theirs is not None}
    yield "used: " + ", ".join(f"{ours} = {theirs}" for ours, theirs in used.items())
    sources.check_columns(rows, columns, name)
    shown = [sources.column(theirs).cast("string").alias(theirs) for theirs in used.values()]
    for row in rows.select(*shown).limit(_NUM_ROWS).collect():
        cells = (masked(cell) if cell and "@" in cell else cell for cell in row)
        yield "row: " + ", ".join(f"{key}={cell}" for key, cell in zip(used, cells, strict=True))


def trial_of(job: Job) -> Job:
    """A job whose tables are thrown away, below the warehouse: see `end_trial`."""
    warehouse = Warehouse(f"{job.warehouse.uri}/check_input")
    files.delete(warehouse.uri)
    run = warehouse.open_run(job.run_date)
    return Job(
        "build_interactions",
        *(job.config, job.spark, job.run_date, warehouse, run),
        is_small=job.is_small,
    )


def end_trial(trial: Job) -> None:
    """Deletes the tables of a trial."""
    files.delete(trial.warehouse.uri)


def describe_findings(trial: Job) -> str:
    """What a night would begin with: the figures of its first step, and the events' time span."""
    counts = {name: _nonzero(value) for name, value in trial.notes.items() if _is_count(value)}
    lines = [f"{name}: {readable(value)}" for name, value in counts.items() if value]
    lines += _time_span(trial.read("interactions", schemas.INTERACTIONS))
    return "\n".join(["What a night would begin with", *(f"  {line}" for line in lines)])


def _is_count(value: object) -> bool:
    parts = value.values() if isinstance(value, dict) else [value]
    return all(
        isinstance(part, int) or (isinstance(part, dict) and _is_count(part)) for part in parts
    )


def _nonzero(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: found for name, part in value.items() if (found := _nonzero(part))}


def _time_span(interactions: DataFrame) -> list[str]:
    [(first, last)] = interactions.agg(
        F.min("first_event_at").cast("string"), F.max("last_event_at").cast("string")
    ).collect()
    return [f"events used are from {first} to {last}"] if first is not None else []


def suggest_config(spark: SparkSession, paths: Sequence[str]) -> str:
    """A first configuration for some files, as YAML.

    Raises:
        DataError: when a path names nothing, or a file that is no table.
    """
    parts = []
    for path in paths:
        listing = hadoop.list_files(spark, path)
        if listing is None or not listing.files:
            raise DataError(f"{path}: does not exist, or holds no file.")
        head = hadoop.read_head(spark, listing.files[0], text.HEAD_BYTES)
        found = suggest.sniff(listing.files[0].name, head)
        if isinstance(found, str):
            raise DataError(f"{path}: {listing.files[0].name} {found}")
        if not found.columns:
            reader = spark.read.format(found.format).options(**found.options)
            rows = nanoseconds.load(spark, reader, listing.pattern)
            found = suggest.Sniffed(found.format, found.options, rows.columns)
        parts.append(suggest.suggest(path, found))
    return "\n\n".join(parts)
