"""The customer's own tables: read in any format that Spark knows, with errors a person can use."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import reduce

from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import Column, DataFrame, DataFrameReader, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType

from ncf_spark.config import Source
from ncf_spark.errors import DataError, SchemaError
from ncf_spark.inputs import headers, nanoseconds
from ncf_spark.inputs.text import Options
from ncf_spark.storage.hadoop import File, Listing, escape
from ncf_spark.storage.read_failures import cannot_read, first_line
from ncf_spark.storage.sources import find_files

# RFC 4180: a quote within a quoted cell is doubled. Spark's own default is a backslash before it.
_DEFAULT_OPTIONS = {"csv": {"escape": '"'}}


def read_source(spark: SparkSession, source: Source, name: str) -> DataFrame:
    """The rows of a configured source with its derived columns, before its `where`.

    Args:
        name: the section of the configuration, for messages: `input`, `catalogue` …

    Raises:
        DataError: when the place does not exist or cannot be read, or a derived column is not
            valid for its columns.
    """
    rows = _load(spark, source, name)
    derived = {}
    for column, sql in source.derived.items():
        try:
            derived[column] = F.expr(sql)
            rows.withColumn(column, derived[column])
        except AnalysisException as error:
            raise DataError(_wrong_sql(f"{name}.derived.{column}", sql, rows, error)) from None
    return rows.withColumns(derived)


def _load(spark: SparkSession, source: Source, name: str) -> DataFrame:
    path = source.table if source.table is not None else source.path
    if path is None:
        raise DataError(f"{name}: neither path nor table is set. Set {name}.path.")
    options = {**_DEFAULT_OPTIONS.get(source.format.lower(), {}), **source.options}
    reader = spark.read.format(source.format).options(**options)
    try:
        if source.table is not None:
            return reader.table(source.table)
        listing = find_files(spark, source, name)
        groups = headers.group_files(source, name, headers.read_heads(spark, source, listing))
        return _load_files(spark, reader, source, listing, groups)
    except (PySparkException, Py4JJavaError) as error:
        key = f"{name}.path" if source.table is None else f"{name}.table"
        raise DataError(cannot_read(key, path, error)) from error


def _load_files(
    spark: SparkSession,
    reader: DataFrameReader,
    source: Source,
    listing: Listing,
    groups: Mapping[tuple[str, ...], Sequence[File]],
) -> DataFrame:
    """The rows of all files; those of CSV files whose columns differ in order by their names."""
    schema = None
    if source.ddl is not None:
        schema = spark.createDataFrame([], source.ddl).schema
        reader = reader.schema(schema)
    has_names = Options(source.options).flag("header")
    if len(groups) < 2 and (schema is None or not has_names or not groups):
        if source.format.lower() == "parquet" and schema is None:
            return nanoseconds.load(spark, reader, listing.pattern)
        return reader.load(listing.pattern)
    if listing.folder is not None:
        reader = reader.option("basePath", listing.folder)
    parts = []
    for columns, files in groups.items():
        if schema is not None:
            reader = reader.schema(headers.order_fields(schema, columns) or schema)
        parts.append(reader.load([escape(file.path) for file in files]))
    return reduce(DataFrame.unionByName, parts)


def filter_source(rows: DataFrame, source: Source, name: str) -> DataFrame:
    """The rows that the source's `where` keeps.

    Raises:
        DataError: when the expression is not valid for these columns.
    """
    if source.where is None:
        return rows
    check_where(rows, source.where, name)
    return rows.where(source.where)


def check_where(rows: DataFrame, where: str, name: str) -> None:
    """Raises DataError when an SQL condition does not fit the columns of `rows`."""
    try:
        rows.where(where)
    except AnalysisException as error:
        raise DataError(_wrong_sql(f"{name}.where", where, rows, error)) from None


def _wrong_sql(setting: str, sql: str, rows: DataFrame, error: AnalysisException) -> str:
    """What is wrong with an SQL, and how names are written there that have blanks in them."""
    message = f"{setting}: {first_line(error)} Columns present: {rows.columns}."
    for name in nanoseconds.read_as_times(rows):
        if name in sql:
            message += f" {name} holds nanoseconds and is a timestamp here: use it as it is."
    right = sql
    for name in sorted(rows.columns, key=len, reverse=True):
        if not name.isidentifier():
            right = re.sub(rf"(?<![`\w]){re.escape(name)}(?![`\w])", f"`{name}`", right)
    if right == sql:
        return message
    return f'{message} Names with blanks or signs stand in backticks: {setting}: "{right}".'


def column(name: str) -> Column:
    """The column of exactly this name, also where the name has dots or blanks in it."""
    return F.col("`" + name.replace("`", "``") + "`")


def check_columns(rows: DataFrame, columns: dict[str, str | None], name: str) -> None:
    """Raises SchemaError naming each configured column that `rows` lacks.

    Args:
        columns: the columns section: our name → the customer's.
    """
    missing = [
        f"{name}: column {column} is missing. Columns present: {rows.columns}. "
        + _how_to_name(rows, column, ours, name)
        for ours, column in columns.items()
        if column is not None and column not in rows.columns
    ]
    if missing:
        raise SchemaError("\n".join(missing))


def _how_to_name(rows: DataFrame, column: str, ours: str, name: str) -> str:
    outer = column.split(".")[0]
    if outer not in rows.columns or outer == column:
        folded = {present.casefold(): present for present in rows.columns}
        near = get_close_matches(column.casefold(), folded, n=1)
        asked = f"Did you mean {folded[near[0]]}? " if near else ""
        return (
            f"{asked}Set {name}.columns.{ours} in the configuration (for CSV see also "
            f"{name}.options)."
        )
    is_list = isinstance(rows.schema[outer].dataType, ArrayType)
    sql = f"explode({column})" if is_list else column
    return (
        f"What is within {outer} is a column by {name}.derived: "
        f'{{{ours}: "{sql}"}} and {name}.columns.{ours}: {ours}.'
    )


def check_time_format(spark: SparkSession, pattern: str, setting: str) -> None:
    """Raises DataError when Spark does not know a pattern of times."""
    try:
        spark.range(1).select(F.date_format(F.timestamp_seconds("id"), pattern)).collect()
    except (PySparkException, Py4JJavaError) as error:
        raise DataError(
            f"{setting}: {pattern} is none of timestamp, epoch_seconds, epoch_millis, epoch_micros "
            f"and epoch_nanos, and no pattern that Spark knows. {first_line(error)}"
        ) from None
