"""Parquet with times in nanoseconds, as pandas writes it: Spark alone reads numbers, or nothing."""

from __future__ import annotations

import re

from pyspark.sql import DataFrame, DataFrameReader, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import LongType

_AS_NUMBERS = "spark.sql.legacy.parquet.nanosAsLong"
_METADATA = {"nanoseconds": True}


def load(spark: SparkSession, reader: DataFrameReader, uri: str) -> DataFrame:
    """A table in Parquet; its columns that hold times in nanoseconds are timestamps.

    They stay numbers where the properties file or the command line asks Spark for these.
    """
    if spark.sparkContext.getConf().contains(_AS_NUMBERS):
        return reader.load(uri)
    spark.conf.set(_AS_NUMBERS, "true")
    rows = reader.load(uri)
    numbers = [field.name for field in rows.schema if isinstance(field.dataType, LongType)]
    files = list(rows._jdf.inputFiles()) if numbers else []
    schema = _schema(spark, files[0]) if files else ""
    for name in numbers:
        if re.search(rf"(?m)^  \w+ int64 {re.escape(name)} \(TIMESTAMP\(NANOS", schema):
            quoted = "`" + name.replace("`", "``") + "`"
            micros = F.timestamp_micros(F.expr(f"{quoted} div 1000"))
            rows = rows.withColumn(name, micros).withMetadata(name, _METADATA)
    return rows


def read_as_times(rows: DataFrame) -> list[str]:
    """The columns whose nanoseconds `load` made timestamps."""
    return [field.name for field in rows.schema if field.metadata == _METADATA]


def _schema(spark: SparkSession, file: str) -> str:
    """The schema of a Parquet file in its own words, read as Spark reads the file."""
    assert spark._jvm is not None
    path = spark._jvm.org.apache.hadoop.fs.Path(spark._jvm.java.net.URI(file))
    parquet = spark._jvm.org.apache.parquet.hadoop
    reader = parquet.ParquetFileReader.open(
        parquet.util.HadoopInputFile.fromPath(path, spark._jsc.hadoopConfiguration())
    )
    try:
        return str(reader.getFooter().getFileMetaData().getSchema().toString())
    finally:
        reader.close()
