"""Spark tables in Parquet: written once, checked on the way in and out."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from ncf_spark.schemas import DataError, conform
from ncf_spark.storage import files


def read_table(spark: SparkSession, uri: str, schema: StructType, table: str) -> DataFrame:
    """The rows of a table that a step wrote.

    Raises:
        SchemaError: when the files don't fit `schema`.
    """
    # Spark writes no file at all for an empty table that is laid out in folders.
    if files.exists(uri) and not files.list_files(uri, ".parquet"):
        return empty_table(spark, schema)
    return conform(spark.read.parquet(uri), schema, table)


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
) -> int:
    """Writes a table whole, and counts it in the same pass.

    Args:
        row_group_bytes: of each row group, encoded, about; None: as Spark is set.

    Returns:
        The number of rows.

    Raises:
        SchemaError: when `rows` doesn't fit `schema`.
        DataError: when a column that must not be null holds nulls.
    """
    required = [field.name for field in schema if not field.nullable]
    observation = Observation()
    counted = conform(rows, schema, table).observe(
        observation,
        F.count(F.lit(1)).alias("num_rows"),
        *[F.count(F.when(F.col(name).isNull(), 1)).alias(f"null {name}") for name in required],
    )
    writer = counted.write.mode("overwrite").partitionBy(*partition_by)
    if row_group_bytes is not None:
        writer = writer.option("parquet.block.size", row_group_bytes)
    writer.parquet(uri)
    counts = observation.get
    nulls = [name for name in required if counts[f"null {name}"]]
    if nulls:
        raise DataError(
            "\n".join(
                f"{table}: column {name} is null in {counts[f'null {name}']} rows, "
                f"but must never be ({schema[name].metadata['comment']})."
                for name in nulls
            )
        )
    return int(counts["num_rows"])


def staged(rows: DataFrame, uri: str) -> DataFrame:
    """`rows`, written to `uri` and read back, so that what is built on them is computed once."""
    # Read once or twice: finding what repeats would take longer than it saves.
    rows.write.mode("overwrite").option("parquet.enable.dictionary", "false").parquet(uri)
    return rows.sparkSession.read.schema(rows.schema).parquet(uri)
