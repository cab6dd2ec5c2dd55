"""What is in the customer's tables, for a person who writes their configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import PurePath

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.config import Source
from ncf_spark.errors import ConfigError, DataError, SchemaError
from ncf_spark.inputs import nanoseconds, sources
from ncf_spark.inputs.canonical import masked
from ncf_spark.inputs.checks import check_input_files
from ncf_spark.inputs.columns import fitting_time_formats
from ncf_spark.inputs.outcomes import read_outcomes
from ncf_spark.inputs.sniffing import Sniffed, sniff, sniff_records
from ncf_spark.inputs.suggest import suggest
from ncf_spark.inputs.suggestion import Suggestion, to_name, write_config
from ncf_spark.inputs.text import HEAD_BYTES
from ncf_spark.pipeline.context import Job, readable
from ncf_spark.schemas.results import Preparation, counts_of
from ncf_spark.storage import files, hadoop
from ncf_spark.storage.hadoop import Listing
from ncf_spark.storage.read_failures import first_line
from ncf_spark.storage.sources import find_files, fingerprint
from ncf_spark.storage.warehouse import Warehouse

_NUM_ROWS = 3
_NUM_SNIFFED = 100
# Events that are older than this are probably those of an old export.
_OLD_DAYS = 60


def check_input(job: Job) -> None:
    """Prints what is in the customer's tables, and what a night would begin with.

    A night's first step is tried; its tables are thrown away.

    Raises:
        DataError: with all that is wrong, each thing once.
    """
    tables, problems = _describe_tables(job)
    print(tables, flush=True)
    trial = _trial_of(job)
    try:
        wrong = _find_problems(lambda: check_input_files(trial))
        wrong = wrong or _find_problems(lambda: _try_first_step(trial))
        if job.config.outcomes.configured:
            wrong += _find_problems(lambda: read_outcomes(trial))
    finally:
        files.delete(trial.warehouse.uri)
    if wrong or problems:
        raise DataError("\n".join(dict.fromkeys([*wrong, *problems])))
    print("\nNothing is wrong: a night can begin.", flush=True)


def _describe_tables(job: Job) -> tuple[str, list[str]]:
    """Where each configured table is, its columns, and its first rows with masked addresses.

    Returns:
        That, and what is wrong with tables that cannot be shown.
    """
    blocks, problems = [], list[str]()
    for name, source in job.config.sources.items():
        try:
            lines = list(_describe(job.spark, source, name))
        except (DataError, SchemaError) as error:
            lines = ["cannot be shown: see the error at the end"]
            problems += str(error).splitlines()
        where = source.table if source.table is not None else source.path
        blocks.append("\n  ".join([f"{name}: {where} ({source.format})", *lines]))
    return "\n\n".join(blocks), problems


def _describe(spark: SparkSession, source: Source, name: str) -> Iterator[str]:
    found = fingerprint(spark, source, name)
    if "bytes" in found:
        files = "1 file" if found["files"] == 1 else f"{found['files']:,} files"
        yield f"{files}, {_size(found['bytes'])}, the newest of {found['newest']}"
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
        yield "row: " + ", ".join(
            f"{key}={_shown(cell)}" for key, cell in zip(used, row, strict=True)
        )


def _size(num_bytes: int) -> str:
    unit, name = (2**20, "MiB") if num_bytes >= 2**20 else (2**10, "KiB")
    return f"{num_bytes / unit:,.1f} {name}"


def _shown(cell: str | None) -> str:
    """A cell in one line, without addresses."""
    if cell is None:
        return "null"
    text = masked(cell) if "@" in cell else cell
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _find_problems(check: Callable[[], object]) -> list[str]:
    """What a check of the customer's tables refuses, a line each."""
    try:
        check()
    except (ConfigError, DataError, SchemaError) as error:
        return str(error).splitlines()
    return []


def _trial_of(job: Job) -> Job:
    """A job whose tables are thrown away, below the warehouse."""
    warehouse = Warehouse(f"{job.warehouse.uri}/check_input")
    files.delete(warehouse.uri)
    run = warehouse.open_run(job.run_date)
    return Job(
        job.steps,
        job.first_step,
        *(job.config, job.spark, job.run_date, warehouse, run),
        is_small=job.is_small,
    )


def _try_first_step(trial: Job) -> None:
    """Runs it, and prints what a night would begin with: its figures, and the events' time span."""
    result = trial.steps[trial.name].run(trial)
    assert isinstance(result, Preparation)
    print(f"\n{_describe_findings(trial, result)}", flush=True)


def _describe_findings(trial: Job, result: Preparation) -> str:
    counts = dict(counts_of({"result": result.model_dump(), "notes": trial.notes}))
    if result.suppression_rows:
        counts["suppression rows"] = {
            name: {kind: num for kind, num in held.items() if num} or "0 rows"
            for name, held in result.suppression_rows.items()
        }
    lines = [f"{name}: {readable(value)}" for name, value in counts.items()]
    lines += _time_span(trial.read("interactions", schemas.INTERACTIONS), trial.run_date)
    return "\n".join(["What a night would begin with", *(f"  {line}" for line in lines)])


def _time_span(interactions: DataFrame, run_date: date) -> list[str]:
    last = F.max("last_event_at")
    [(first, last, days)] = interactions.agg(
        F.min("first_event_at").cast("string"),
        last.cast("string"),
        F.date_diff(F.lit(run_date), last),
    ).collect()
    if first is None:
        return []
    unit = "day" if days == 1 else "days"
    lines = [
        f"events used are from {first} to {last}, {days:,} {unit} before the run date {run_date}"
    ]
    if days > _OLD_DAYS:
        lines.append(
            f"warning: the newest event is {days:,} days old. Export newer events, or give the "
            "date of the export by --run-date."
        )
    return lines


def suggest_config(spark: SparkSession, paths: Sequence[str]) -> str:
    """A first configuration for some files, as YAML.

    Raises:
        DataError: when there are files that cannot be read or are no known table, with what is
            wrong; after it printed what is suggested for the others.
    """
    found, problems, shop = list[Suggestion](), list[str](), "my_shop"
    for path in paths:
        try:
            listing = _find_files(spark, path)
            if not found and not problems:
                folder = PurePath(path) if listing.folder else PurePath(path).parent
                shop = to_name(folder.name, "shop") if folder.name else shop
            found.append(_suggest(spark, path, listing))
        except DataError as error:
            problems += str(error).splitlines()
    text = write_config(shop, found, problems)
    if not problems:
        return text
    print(text, flush=True)
    raise DataError("\n".join(problems))


def _find_files(spark: SparkSession, path: str) -> Listing:
    empty = dict.fromkeys(("table", "ddl", "where")) | {"options": {}, "derived": {}}
    source = Source.model_validate({"path": path, "format": "text", **empty})
    try:
        return find_files(spark, source, "suggest")
    except DataError as error:
        said = str(error).removeprefix("suggest.path: ")
        raise DataError(said if said.startswith(path) else f"{path}: {said}") from None


def _suggest(spark: SparkSession, path: str, listing: Listing) -> Suggestion:
    file = next(file for file in listing.files if file.num_bytes)
    found = sniff(file.name, hadoop.read_head(spark, file, HEAD_BYTES))
    if isinstance(found, Sniffed) and not found.columns:
        found = _read_first_rows(spark, found, listing, path)
    name = f"{PurePath(path).name}/{file.name}" if listing.folder else file.name
    suggested = (
        suggest(path, name, found, fitting_time_formats) if isinstance(found, Sniffed) else found
    )
    if isinstance(suggested, str):
        place = f"{path}: {file.name}" if listing.folder else path
        raise DataError(f"{place} {suggested}")
    return suggested


def _read_first_rows(spark: SparkSession, found: Sniffed, listing: Listing, path: str) -> Sniffed:
    reader = spark.read.format(found.format).options(**found.options)
    try:
        rows = nanoseconds.load(spark, reader, listing.pattern)
        records = [row.asDict(recursive=True) for row in rows.limit(_NUM_SNIFFED).collect()]
    except (PySparkException, Py4JJavaError) as error:
        raise DataError(f"{path}: cannot be read. {first_line(error)}") from None
    return sniff_records(found.format, found.options, records or [dict.fromkeys(rows.columns)])
