"""The customer's tables, checked and counted, in our terms: where a night's input comes in."""

from __future__ import annotations

from datetime import timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType

from ncf_spark import schemas
from ncf_spark.config import Source
from ncf_spark.errors import SchemaError
from ncf_spark.inputs import catalogue, events, sources
from ncf_spark.inputs.catalogue_checks import note_catalogue_values
from ncf_spark.inputs.column_types import check_types
from ncf_spark.inputs.columns import TIME_FORMATS, id_column, id_finding, id_text
from ncf_spark.pipeline.context import Job
from ncf_spark.storage import tables


def read_catalogue(job: Job) -> DataFrame:
    """The item catalogue with the configured side features; empty where none is configured."""
    source, features = job.config.catalogue, list(job.config.activity.features)
    schema = schemas.with_features(schemas.CATALOGUE, features)
    if not source.configured:
        return tables.empty_table(job.spark, schema)
    columns = source.columns.model_dump()
    raw = read_raw(job, source, "catalogue", columns, source.time_format, "catalogue.time_format")
    missing = [
        f"catalogue: column {name} is missing. Columns present: {raw.columns}. "
        "Change activity.features in the configuration."
        for name in features
        if name not in raw.columns
    ]
    if missing:
        raise SchemaError("\n".join(missing))
    rows = sources.filter_source(raw, source, "catalogue")
    note_catalogue_values(job, rows, features)
    return catalogue.build_catalogue(
        rows, columns, features, ends_at=job.ends_at, time_format=source.time_format
    )


def read_provided_holdout(job: Job) -> DataFrame:
    """The provided test set: user_id, item_id, negatives (array of item ids).

    And user_finding and item_finding, of `columns.id_finding`.
    """
    source = job.config.split.holdout
    columns = source.columns.model_dump()
    raw = read_raw(job, source, "split.holdout", columns)
    rows = sources.filter_source(raw, source, "split.holdout")
    return rows.select(
        id_column(raw, columns["user"]).alias("user_id"),
        id_column(raw, columns["item"]).alias("item_id"),
        _negatives(raw, columns["negatives"]).alias("negatives"),
        id_finding(raw, columns["user"]).alias("user_finding"),
        id_finding(raw, columns["item"]).alias("item_finding"),
    )


def _negatives(raw: DataFrame, name: str | None) -> Column:
    if name is None:
        return F.array().cast("array<string>")
    of_array = raw.schema[name].dataType
    if not isinstance(of_array, ArrayType):
        raise SchemaError(
            f"split.holdout: column {name} (split.holdout.columns.negatives) is "
            f"{of_array.simpleString()}, expected an array of item ids. Make one by "
            "split.holdout.derived, e.g. \"split(others, ' ')\"."
        )
    return F.transform(sources.column(name), lambda item: id_text(item, of_array.elementType))


def read_raw(
    job: Job,
    source: Source,
    name: str,
    columns: dict[str, str | None],
    time_format: str | None = None,
    time_setting: str | None = None,
) -> DataFrame:
    """The rows of a configured source, whose columns and filter are checked but not applied.

    Args:
        time_format: of its columns with times; None: who reads them checks these.
        time_setting: the setting that holds it.
    """
    raw = sources.read_source(job.spark, source, name)
    sources.check_columns(raw, columns, name)
    if source.where is not None:
        sources.check_where(raw, source.where, name)
    check_types(raw, columns, name, time_format, time_setting, source.where)
    if time_format is not None and time_format not in TIME_FORMATS:
        sources.check_time_format(job.spark, time_format, str(time_setting))
    return raw


def read_raw_events(job: Job) -> DataFrame:
    """The rows of the input as they are, with its derived columns.

    Raises:
        DataError: when they cannot be read.
        SchemaError: when a configured column is missing or of a type that cannot serve.
    """
    settings = job.config.input
    columns = settings.columns.model_dump()
    return read_raw(job, settings, "input", columns, settings.time_format, "input.time_format")


def name_events(job: Job, raw: DataFrame) -> DataFrame:
    """Every raw event in our terms, with the reason why it is dropped, or none.

    Args:
        raw: as of `read_raw_events`.
    """
    settings = job.config.input
    window = settings.window_days
    return events.build_events(
        raw,
        settings.columns.model_dump(),
        settings.time_format,
        settings.event_weights,
        settings.min_value,
        settings.where,
        starts_at=None if window is None else job.ends_at - timedelta(days=window),
        ends_at=job.ends_at,
    )
