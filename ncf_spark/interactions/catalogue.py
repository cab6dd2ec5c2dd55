"""The customer's item table → one row for each item, in our terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType


def build_catalogue(
    raw: DataFrame,
    columns: Mapping[str, str | None],
    features: Sequence[str],
    *,
    ends_at: datetime,
) -> DataFrame:
    """One row for each item: metadata, then the side features as numbers (missing is 0).

    Of several rows of an item the latest by `updated_at` counts; without it, and among equals, the
    greatest row in the order of the columns, so that a rerun picks the same. Rows without an item
    id are left out.

    Args:
        columns: item, title … → the raw column, or None where there is none. Of stock and dates,
            what is empty or cannot be read means that an item is not for sale, but for an empty
            date, which is no bound.
        features: raw columns with side features; a value that is not a number counts as missing.
        ends_at: the moment for which items are active, the end of the run date.
    """
    updated_at, category = columns["updated_at"], _text(columns["category"])
    fields = [
        F.col(f"`{updated_at}`").alias("updated_at")
        if updated_at
        else F.lit(0).alias("updated_at"),
        _text(columns["title"]).alias("title"),
        F.when(F.trim(category) != "", category).alias("category"),
        _number(columns["price"]).alias("price"),
        *[_text(columns[name]).alias(name) for name in ("url", "image_url", "brand")],
        _in_stock(columns["in_stock"]).alias("in_stock"),
        _is_active(columns["active_from"], columns["active_until"], ends_at).alias("is_active"),
        _countries(raw, columns["countries"]).alias("countries"),
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


def _in_stock(name: str | None) -> Column:
    if name is None:
        return F.lit(None).cast("boolean")
    pieces = F.expr(f"try_cast(`{name}` AS DOUBLE)") > 0
    said = F.expr(f"try_cast(cast(`{name}` AS STRING) AS BOOLEAN)")
    return F.coalesce(pieces, said, F.lit(False))


def _is_active(since: str | None, until: str | None, ends_at: datetime) -> Column:
    if since is None and until is None:
        return F.lit(None).cast("boolean")
    moment, bounds = F.lit(ends_at), []
    for name, holds in ((since, lambda t: t <= moment), (until, lambda t: t > moment)):
        if name is not None:
            text = F.trim(F.col(f"`{name}`").cast("string"))
            is_empty = text.isNull() | (text == "")
            bounds.append(is_empty | F.coalesce(holds(F.try_to_timestamp(text)), F.lit(False)))
    return bounds[0] if len(bounds) == 1 else bounds[0] & bounds[1]


def _countries(raw: DataFrame, name: str | None) -> Column:
    """Codes in capitals; an empty list, as an empty text, is no bound."""
    if name is None:
        return F.lit(None).cast("array<string>")
    given = F.col(f"`{name}`")
    if not isinstance(raw.schema[name].dataType, ArrayType):
        given = F.split(given.cast("string"), r"[\s,;|/]+")
    codes = F.transform(given, lambda code: F.upper(F.trim(code)))
    codes = F.filter(codes, lambda code: code != "")
    return F.when(F.size(codes) > 0, F.array_sort(codes))


def _number(name: str | None) -> Column:
    if name is None:
        return F.lit(None).cast("double")
    number = F.expr(f"try_cast(`{name}` AS DOUBLE)")
    # NaN, which pandas writes for "missing", sorts above infinity in Spark.
    return F.when(F.abs(number) < F.lit(float("inf")), number)
