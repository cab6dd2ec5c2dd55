"""The customer's item table → one row for each item, in our terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import reduce
from operator import and_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, NumericType

from ncf_spark.inputs.columns import id_column, number_column, time_column, time_text

# What shop tools write for "may be sold", and for the contrary: in small letters, without blanks,
# hyphens and underscores, and without the http://schema.org/ before them.
FOR_SALE = [
    *("instock", "available", "availablefororder", "yes", "y", "true", "t", "preorder", "presale"),
    *("backorder", "onbackorder", "availableonbackorder", "backordered", "limitedavailability"),
    *("onlineonly", "madetoorder", "lowstock", "limitedstock"),
]
NOT_FOR_SALE = [
    *("outofstock", "soldout", "sold", "markassold", "unavailable", "notavailable", "notinstock"),
    *("nostock", "discontinued", "temporarilyoutofstock", "currentlyunavailable", "instoreonly"),
    *("no", "n", "false", "f"),
]
_NOT_OF_THE_WORD = r"^\s*(https?://)?(www\.)?schema\.org/|[\s\p{Z}_-]+"


def build_catalogue(
    raw: DataFrame,
    columns: Mapping[str, str | None],
    features: Sequence[str],
    *,
    ends_at: datetime,
    time_format: str,
) -> DataFrame:
    """One row for each item: metadata, then the side features as numbers (missing is 0).

    Of several rows of an item the latest by `updated_at` counts; without it, and among equals, the
    greatest row in the order of the columns, so that a rerun picks the same. Rows without an item
    id are left out.

    Args:
        columns: item, title … → the raw column, or None where there is none. A stock that is
            empty or cannot be read means that an item is not for sale, and so does a date that
            cannot be read; an empty date is no bound.
        features: raw columns with side features; a value that is not a number counts as missing.
        ends_at: the moment for which items are active, the end of the run date.
        time_format: of updated_at, active_from and active_until where they are texts or numbers.
    """
    category = _text(columns["category"])
    fields = [
        changed_column(raw, columns["updated_at"], time_format).alias("updated_at"),
        _text(columns["title"]).alias("title"),
        F.when(F.trim(category) != "", category).alias("category"),
        _number(columns["price"]).alias("price"),
        *[_text(columns[name]).alias(name) for name in ("url", "image_url", "brand")],
        _is_for_sale(columns["in_stock"]).alias("in_stock"),
        _is_active(raw, columns, time_format, ends_at).alias("is_active"),
        _countries(raw, columns["countries"]).alias("countries"),
        *[F.coalesce(_number(name), F.lit(0.0)).alias(name) for name in features],
    ]
    item_id = id_column(raw, columns["item"])
    latest = raw.select(item_id.alias("item_id"), F.struct(*fields).alias("row"))
    return (
        latest.where(F.col("item_id").isNotNull())
        .groupBy("item_id")
        .agg(F.max("row").alias("row"))
        .select("item_id", "row.*")
        .drop("updated_at")
    )


def _text(name: str | None) -> Column:
    return F.lit(None).cast("string") if name is None else F.col(f"`{name}`").cast("string")


def changed_column(raw: DataFrame, name: str | None, time_format: str) -> Column:
    """What a raw column of changes is ordered by; null where it is empty or cannot be read.

    Times, but for numbers without a time format of their own: a version, or seconds of an epoch.
    """
    if name is None:
        return F.lit(0)
    if time_format == "timestamp" and isinstance(raw.schema[name].dataType, NumericType):
        number = number_column(name)
        return F.when(~F.isnan(number), number)
    return time_column(raw, name, time_format)


def stock_column(name: str) -> Column:
    """Whether an item may be sold; null where the column is empty or cannot be read.

    Numbers are pieces. Words are those of shop tools: in_stock, "out of stock", preorder …
    """
    pieces = number_column(name)
    pieces = F.when(~F.isnan(pieces), pieces)
    word = F.regexp_replace(F.lower(_text(name)), _NOT_OF_THE_WORD, "")
    said = F.when(word.isin(FOR_SALE), F.lit(True)).when(word.isin(NOT_FOR_SALE), F.lit(False))
    return F.coalesce(pieces > 0, said)


def _is_for_sale(name: str | None) -> Column:
    if name is None:
        return F.lit(None).cast("boolean")
    return F.coalesce(stock_column(name), F.lit(False))


def _is_active(
    raw: DataFrame, columns: Mapping[str, str | None], time_format: str, ends_at: datetime
) -> Column:
    moment, bounds = F.lit(ends_at), []
    for ours, holds in (
        ("active_from", lambda t: t <= moment),
        ("active_until", lambda t: t > moment),
    ):
        if name := columns[ours]:
            is_empty = time_text(raw, name).isNull()
            is_held = holds(time_column(raw, name, time_format))
            bounds.append(is_empty | F.coalesce(is_held, F.lit(False)))
    return reduce(and_, bounds) if bounds else F.lit(None).cast("boolean")


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
    number = number_column(name)
    # NaN, which pandas writes for "missing", sorts above infinity in Spark.
    return F.when(F.abs(number) < F.lit(float("inf")), number)
