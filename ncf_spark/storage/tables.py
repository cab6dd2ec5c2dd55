"""Spark tables in Parquet, checked at every read and write."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import StructType

from ncf_spark.errors import DataError
from ncf_spark.schemas import check_columns, conform
from ncf_spark.storage import arrays, files

# The footer's key under which Spark stores its types.
_SPARK_SCHEMA = b"org.apache.spark.sql.parquet.row.metadata"


def read_table(spark: SparkSession, uri: str, schema: StructType, table: str) -> DataFrame:
    """The rows of a table that a step wrote.

    Its types are read from the footer of one file: Spark would run a job to find them.

    Raises:
        DataError: when the footer cannot be read.
        SchemaError: when the files do not fit `schema`.
    """
    parts = files.list_files(uri, ".parquet")
    # Spark writes no file at all for an empty table with partition folders.
    if not parts and files.exists(uri):
        return empty_table(spark, schema)
    stored = StructType(schema.fields)
    if parts:
        stored = _stored_schema(parts[0])
        folders = [field for field in schema if f"/{field.name}=" in parts[0].removeprefix(uri)]
        stored = StructType([*stored.fields, *folders])
    return conform(spark.read.schema(stored).parquet(uri), schema, table)


def _stored_schema(uri: str) -> StructType:
    """The columns of one Parquet file with their types in Spark, by its footer.

    Raises:
        DataError: when the footer cannot be read.
    """
    filesystem, path = files.resolve(uri)
    try:
        schema = pq.read_schema(path, filesystem=filesystem)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise DataError(
            f"{uri}: cannot be read ({error}); run the step that writes it again."
        ) from error
    by_spark = (schema.metadata or {}).get(_SPARK_SCHEMA)
    if by_spark is None:
        found: StructType = from_arrow_schema(schema)
        return found
    return StructType.fromJson(json.loads(by_spark))


def read_rows(uri: str, schema: StructType, table: str) -> list[dict[str, Any]]:
    """The rows of a small table, read by this process: Spark would run a job.

    Raises:
        DataError: when a file cannot be read.
        SchemaError: when the files do not fit `schema`.
    """
    parts = files.list_files(uri, ".parquet")
    for part in parts:
        check_columns(_stored_schema(part), schema, table)
    return [row for part in parts for row in arrays.read_rows(part, schema.names)]


def empty_table(spark: SparkSession, schema: StructType) -> DataFrame:
    """No rows, with the columns of `schema`."""
    return spark.createDataFrame([], schema)


def write_table(
    rows: DataFrame,
    uri: str,
    schema: StructType,
    table: str,
    partition_by: Sequence[str] = (),
    row_group_bytes: int | None = None,
    counts: Mapping[str, Column] | None = None,
) -> dict[str, int]:
    """Writes a table and counts its rows in the same pass.

    Args:
        row_group_bytes: approximate encoded size of a row group; None: Spark's default.
        counts: further aggregates of the table's columns, by name.

    Returns:
        `num_rows` and the `counts`, by name; null becomes 0.

    Raises:
        SchemaError: when `rows` does not fit `schema`.
        DataError: when a column has nulls that must not have any.
    """
    required = [field.name for field in schema if not field.nullable]
    asked = {"num_rows": F.count(F.lit(1)), **(counts or {})}
    observation = Observation()
    counted = conform(rows, schema, table).observe(
        observation,
        *[count.alias(name) for name, count in asked.items()],
        *[F.count(F.when(F.col(name).isNull(), 1)).alias(f"null {name}") for name in required],
    )
    writer = counted.write.mode("overwrite").partitionBy(*partition_by)
    if row_group_bytes is not None:
        writer = writer.option("parquet.block.size", row_group_bytes)
    writer.parquet(uri)
    found = observation.get
    nulls = [name for name in required if found[f"null {name}"]]
    if nulls:
        raise DataError(
            "\n".join(
                f"{table}: column {name} is null in {found[f'null {name}']} rows, "
                f"but must not be ({schema[name].metadata['comment']})."
                for name in nulls
            )
        )
    return {name: int(found[name] or 0) for name in asked}


def staged(rows: DataFrame, uri: str) -> DataFrame:
    """`rows`, written to `uri` and read back, so that they are computed once."""
    # They are read once or twice: a dictionary would take longer than it saves.
    rows.write.mode("overwrite").option("parquet.enable.dictionary", "false").parquet(uri)
    return rows.sparkSession.read.schema(rows.schema).parquet(uri)
