"""Columns of the customer's tables whose type cannot serve as what they are configured for."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    DataType,
    DecimalType,
    DoubleType,
    FloatType,
    MapType,
    NumericType,
    StructType,
)

from ncf_spark.errors import SchemaError
from ncf_spark.inputs import columns as read
from ncf_spark.inputs.sources import column
from ncf_spark.inputs.values import first_texts, time_advice

_IDS = ("user", "item", "campaign", "negatives")
_TIMES = ("time", "active_from", "active_until", "last_sent_at", "sent_at")
_MAY_BE_ARRAYS = ("countries", "negatives")
_MOST_CHARACTERS = 80


def check_types(
    raw: DataFrame,
    columns: Mapping[str, str | None],
    section: str,
    time_format: str | None = None,
    time_setting: str | None = None,
    where: str | None = None,
) -> None:
    """Raises SchemaError naming each column that cannot serve as what it is configured for.

    Only numbers are looked at: ids that are fractions, and examples of times.

    Args:
        columns: the columns section: our name → the raw column, or None where there is none.
        section: of the configuration, that names these columns.
        time_format: of the columns with times; None: they are texts to us, and checked elsewhere.
        time_setting: the setting that holds it.
        where: SQL, which rows count.
    """
    rows = raw if where is None else raw.where(where)
    problems = []
    for ours, name in columns.items():
        if name is None:
            continue
        found = raw.schema[name].dataType
        is_nested = isinstance(found, (ArrayType, MapType, StructType))
        problem = None
        if is_nested and ours not in _MAY_BE_ARRAYS:
            problem = (
                f", expected a plain value. Take one out of it: set {section}.derived: {{{ours}: "
                f'"{_plain_sql(ours, name, found)}"}} and {section}.columns.{ours}: {ours}.'
            )
        elif ours in _TIMES and time_format == "timestamp" and isinstance(found, NumericType):
            texts = first_texts(rows.select(read.time_text(rows, name)))
            advice = time_advice(section, ours, name, texts)
            formats = ", ".join(read.TIME_FORMATS[1:])
            problem = ", expected a text or a timestamp. " + (
                advice or f"Set {time_setting}: {formats}, or a pattern such as yyyyMMdd."
            )
        elif ours in _IDS and (fractions := _fractions(rows, name, found)):
            problem = (
                f", and {fractions}: as ids they may be others than were meant. Have ids written "
                f"as texts or integers, or leave such rows out by {section}.where."
            )
        if problem:
            problems.append(
                f"{section}: column {name} ({section}.columns.{ours}) is {_short(found)}{problem}"
            )
    if problems:
        raise SchemaError("\n".join(problems))


def _fractions(rows: DataFrame, name: str, found: DataType) -> str | None:
    """What of a column of ids is no exact whole number; None: nothing."""
    plain = found.elementType if isinstance(found, ArrayType) else found
    is_decimal = isinstance(plain, DecimalType) and plain.scale > 0
    if not isinstance(plain, (FloatType, DoubleType)) and not is_decimal:
        return None
    values = F.explode(column(name)) if isinstance(found, ArrayType) else column(name)
    wrong = rows.select(values.alias("value")).where(read.is_fraction(F.col("value"), plain))
    [(count, first, last)] = wrong.agg(F.count(F.lit(1)), F.min("value"), F.max("value")).collect()
    if not count:
        return None
    below = "" if is_decimal else f" below 2^{53 if isinstance(plain, DoubleType) else 24}"
    examples = " and ".join(sorted({str(first), str(last)}))
    return f"{count:,} of its values are no whole numbers{below}, e.g. {examples}"


def _plain_sql(ours: str, name: str, found: DataType) -> str:
    """SQL for a plain value of a nested column: explode(items.item_id), user.id."""
    sql = name if name.isidentifier() else f"`{name}`"
    if isinstance(found, MapType):
        return f"{sql}['KEY']"
    inner = found.elementType if isinstance(found, ArrayType) else found
    if isinstance(inner, StructType):
        likely = [f"{ours}_id", "id", ours, "sku", *inner.names]
        sql += "." + next(field for field in likely if field in inner.names)
    return f"explode({sql})" if isinstance(found, ArrayType) else sql


def _short(found: DataType) -> str:
    text = found.simpleString()
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"
