"""The customer's item table → one row for each item, in our terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def build_catalogue(
    raw: DataFrame, columns: Mapping[str, str | None], features: Sequence[str]
) -> DataFrame:
    """One row for each item: metadata, then the side features as numbers (missing is 0).

    Of several rows of an item the latest by `updated_at` counts; without it, and among equals, the
    greatest row in the order of the columns, so that a rerun picks the same. Rows without an item
    id are left out.

    Args:
        columns: item, title … → the raw column, or None where there is none.
        features: raw columns with side features; a value that is not a number counts as missing.
    """
    updated_at, category = columns["updated_at"], _text(columns["category"])
    fields = [
        F.col(f"`{updated_at}`").alias("updated_at")
        if updated_at
        else F.lit(0).alias("updated_at"),
        _text(columns["title"]).alias("title"),
        F.when(F.trim(category) != "", category).alias("category"),
        _number(columns["price"]).alias("price"),
        *[_text(columns[name]).alias(name) for name in ("url", "image_url")],
        *[F.coalesce(_number(name), F.lit(0.0)).alias(name) for name in features],
    ]
    latest = raw.select(_text(columns["item"]).alias("item_id"), F.struct(*fields).alias("row"))
    return (
        latest.where(F.col("item_id").isNotNull())
        .groupBy("item_id")
        .agg(F.max("row").alias("row"))
        .select("item_id", "row.*")
        .drop("updated_at")
    )


def _text(name: str | None) -> Column:
    return F.lit(None).cast("string") if name is None else F.col(f"`{name}`").cast("string")


def _number(name: str | None) -> Column:
    if name is None:
        return F.lit(None).cast("double")
    number = F.expr(f"try_cast(`{name}` AS DOUBLE)")
    # NaN, which pandas writes for "missing", sorts above infinity in Spark.
    return F.when(F.abs(number) < F.lit(float("inf")), number)
