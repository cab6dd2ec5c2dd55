"""A customer's columns as texts, numbers, ids and times, whatever type they are stored in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    NumericType,
    StringType,
    TimestampNTZType,
    TimestampType,
)

# White space, control characters and characters without a width.
_BLANK = r"[\p{Z}\p{Cc}\u00AD\u200B-\u200F\u202A-\u202E\u2060-\u2064\uFEFF]"
_BLANKS = rf"^{_BLANK}+|{_BLANK}+\z|\p{{Cc}}+"

# What programs write for a missing value. A real id may have the same text.
_WORDS = [
    *("NaN", "nan", "NAN", "null", "Null", "NULL", "None", "none", "NONE", "nil", "undefined"),
    *("NA", "N/A", "n/a", "#N/A", "<NA>", "NaT", "\\N", "(null)", "(not set)"),
]
# 1001.0 and 1.2345678902E10: numbers that were stored as doubles before they became texts.
_NUMBER = r"^-?\d+\.0+$|^-?\d[.,]\d+[eE]\+?\d+$"

_CONTROLS = "".join(map(chr, [*range(0x21), 0x7F]))

# Unusual ids that are used, with a warning.
ID_FINDINGS = ("word", "number", "blank")

# From these numbers on a neighbour may be stored as the same double (float).
_FIRST_INEXACT = {DoubleType: 2**53, FloatType: 2**24}

# Microseconds of a unit.
_EPOCH_UNITS = {
    "epoch_seconds": 1e6,
    "epoch_millis": 1e3,
    "epoch_micros": 1.0,
    "epoch_nanos": 1e-3,
}
# Values of time_format that are not patterns.
TIME_FORMATS = ("timestamp", *_EPOCH_UNITS)
_YEAR_9999 = 253402300799 * 1e6

# Times outside of these years were read in a wrong way.
FIRST_YEAR, LAST_YEAR = 1990, 2099

# Spark's patterns and Python's. A text has as many characters as the pattern that it is written by.
_PATTERNS = {
    "yyyyMMdd": "%Y%m%d",
    "yyyyMMddHHmm": "%Y%m%d%H%M",
    "yyyyMMddHHmmss": "%Y%m%d%H%M%S",
    **{
        f"{date}{time}": f"{of_date}{of_time}"
        for date, of_date in (
            ("dd.MM.yyyy", "%d.%m.%Y"),
            ("dd/MM/yyyy", "%d/%m/%Y"),
            ("MM/dd/yyyy", "%m/%d/%Y"),
            ("dd-MM-yyyy", "%d-%m-%Y"),
            ("yyyy/MM/dd", "%Y/%m/%d"),
        )
        for time, of_time in (("", ""), (" HH:mm", " %H:%M"), (" HH:mm:ss", " %H:%M:%S"))
    },
}

# The same with one digit or two, and with years of two digits: tried where no other pattern fits.
_LOOSE_PATTERNS = {
    f"{date}{time}": f"{of_date}{of_time}"
    for date, of_date in (
        *(("d.M.yyyy", "%d.%m.%Y"), ("d/M/yyyy", "%d/%m/%Y"), ("M/d/yyyy", "%m/%d/%Y")),
        *(("d-M-yyyy", "%d-%m-%Y"), ("yyyy/M/d", "%Y/%m/%d"), ("yyyy-M-d", "%Y-%m-%d")),
        *(("d.M.yy", "%d.%m.%y"), ("d/M/yy", "%d/%m/%y"), ("M/d/yy", "%m/%d/%y")),
    )
    for time, of_time in (
        *(("", ""), (" H:mm", " %H:%M"), (" H:mm:ss", " %H:%M:%S")),
        *((" h:mm a", " %I:%M %p"), (" h:mm:ss a", " %I:%M:%S %p")),
    )
}

# Days since 1899-12-30, as Excel stores times: of the years 1954 to 2119.
_SERIALS = (20_000, 80_000)


def text_column(name: str | None) -> Column:
    """A raw column as text; null where it is blank, or where there is none."""
    if name is None:
        return F.lit(None).cast("string")
    column = _quoted(name).cast("string")
    return F.when(F.trim(column) != "", column)


def number_column(name: str | None) -> Column:
    """A raw column as a double; null where it is no number, or where there is none."""
    if name is None:
        return F.lit(None).cast("double")
    return F.expr(f"try_cast({_in_backticks(name)} AS DOUBLE)")


def id_column(rows: DataFrame, name: str | None) -> Column:
    """A raw column of ids as `id_text`; null where there is no such column."""
    if name is None:
        return F.lit(None).cast("string")
    return id_text(_quoted(name), rows.schema[name].dataType)


def id_text(column: Column, data_type: DataType) -> Column:
    """The text of an id: the same for 1001, 1001.0 and " 1001 "; null where it is blank or NaN.

    Taken off are blanks at both ends, and control characters wherever they are.
    """
    if isinstance(data_type, (FloatType, DoubleType)):
        column = F.when(~F.isnan(column), column)
        whole = column.cast("bigint")
    elif isinstance(data_type, DecimalType):
        whole = column.cast(DecimalType(38, 0))
    else:
        return F.nullif(_without_blanks(column.cast("string")), F.lit(""))
    text = F.when(is_fraction(column, data_type), column.cast("string"))
    return text.otherwise(whole.cast("string"))


def is_fraction(column: Column, data_type: DataType) -> Column:
    """Whether a number is no whole one, or so large that its last digits may be lost."""
    if isinstance(data_type, DecimalType):
        # Compared with what it is without its digits, it would be rounded to these first.
        return column.cast("string").rlike(r"\.\d*[1-9]")
    if not isinstance(data_type, (FloatType, DoubleType)):
        return F.lit(False)
    is_exact = F.abs(column) < F.lit(float(_FIRST_INEXACT[type(data_type)]))
    return ~F.isnan(column) & ~(is_exact & (F.rint(column) == column))


def id_finding(rows: DataFrame, name: str | None) -> Column:
    """Which of `ID_FINDINGS` holds for a raw id; null where it is a plain one."""
    if name is None or not isinstance(rows.schema[name].dataType, StringType):
        return F.lit(None).cast("string")
    return odd_id(id_column(rows, name), _quoted(name))


def id_source(rows: DataFrame, name: str | None) -> Column:
    """A raw column of ids as it is written; null where it holds no texts."""
    if name is None or not isinstance(rows.schema[name].dataType, StringType):
        return F.lit(None).cast("string")
    return _quoted(name)


def odd_id(clean: Column, text: Column) -> Column:
    """Which of `ID_FINDINGS` holds; null where an id is a plain one, or no text.

    Args:
        clean: as of `id_column`; `text` as of `id_source`.
    """
    # Most ids need no pattern: on millions of events these take seconds.
    may_be_number = F.contains(clean, F.lit(".")) | F.contains(clean, F.lit(","))
    return F.when(
        text.isNotNull(),
        F.when(clean.isin(_WORDS), F.lit("word"))
        .when(may_be_number & clean.rlike(_NUMBER), F.lit("number"))
        .when(F.coalesce(clean, F.lit("")) != text, F.lit("blank")),
    )


def time_column(raw: DataFrame, name: str | None, time_format: str) -> Column:
    """A raw column as a timestamp; null where it does not parse, or where there is none.

    Args:
        time_format: of `TIME_FORMATS`, or a pattern, which whole numbers may follow too
            (yyyyMMdd: 20261001).
    """
    if name is None:
        return F.lit(None).cast("timestamp")
    data_type = raw.schema[name].dataType
    if isinstance(data_type, (TimestampType, TimestampNTZType, DateType)):
        return _quoted(name).cast("timestamp")
    if time_format in _EPOCH_UNITS:
        micros = F.rint(number_column(name) * F.lit(_EPOCH_UNITS[time_format]))
        micros = F.when(micros.between(0, _YEAR_9999), micros)
        return F.timestamp_micros(micros.cast("bigint"))
    text = time_text(raw, name)
    if time_format == "timestamp":
        # Without a year Spark would put the time of day into the day on which the job runs.
        return F.when(text.rlike(r"^\s*\d{4}"), F.try_to_timestamp(text))
    return F.try_to_timestamp(F.trim(text), F.lit(time_format))


def time_text(raw: DataFrame, name: str | None) -> Column:
    """A raw time as it is written; null where it is blank, or where there is none."""
    if name is None or not isinstance(raw.schema[name].dataType, NumericType):
        return text_column(name)
    return id_column(raw, name)


def is_implausible(event_at: Column) -> Column:
    """Whether a time lies so far off that it was read in a wrong way; null where there is none."""
    return ~F.year(event_at).between(FIRST_YEAR, LAST_YEAR)


def fitting_time_formats(texts: Sequence[str]) -> list[str]:
    """The values of time_format by which all of these texts are plausible times.

    ["1790843100"] → ["epoch_seconds"]; ["20261001"] → ["yyyyMMdd"].
    """
    texts = [text.strip() for text in texts]
    if not texts:
        return []
    found = [name for name, unit in _EPOCH_UNITS.items() if all(_fits(t, unit) for t in texts)]
    strict = [name for name in _PATTERNS if all(len(text) == len(name) for text in texts)]
    patterns = {name: _PATTERNS[name] for name in strict}
    found += _matching(patterns, texts) or _matching(_LOOSE_PATTERNS, texts)
    if all(re.match(r"\d{4}-\d\d-\d\d($|[ T]\d)", text) for text in texts):
        return ["timestamp"]
    return found


def is_serial(texts: Sequence[str]) -> bool:
    """Whether all of these texts may be days as Excel counts them: 46296.39861."""
    if not texts or not all(re.fullmatch(r"\s*\d{5}(\.\d+)?\s*", text) for text in texts):
        return False
    return all(_SERIALS[0] <= float(text) < _SERIALS[1] for text in texts)


def number_sql(name: str, texts: Sequence[str]) -> str | None:
    """The SQL that reads all of these texts of a column as numbers; null where there is no digit.

    None where there is no such SQL, and where they may be meant in two ways: 1,234 alone.

    ("price", ["1.001,50", "9"]) →
    "try_cast(replace(regexp_replace(price, '[^0-9,-]', ''), ',', '.') AS DOUBLE)"
    """
    column = sql_name(name)
    texts = [text.strip() for text in texts if re.search(r"\d", text)]
    found = dict[str, list[float]]()
    for point, pattern in _WRITTEN_NUMBERS.items():
        if not texts or not all(re.fullmatch(pattern, text) for text in texts):
            continue
        kept = f"[^0-9{point}-]"
        sql = f"regexp_replace({column}, '{kept}', '')"
        sql = f"replace({sql}, ',', '.')" if point == "," else sql
        found[f"try_cast({sql} AS DOUBLE)"] = [
            float(re.sub(kept, "", text).replace(",", ".")) for text in texts
        ]
    numbers = list(found.values())
    return next(iter(found)) if numbers and numbers[0] == numbers[-1] else None


# By the decimal point: digits, also in groups of three, between a currency's letters or sign.
_WRITTEN_NUMBERS = {
    point: rf"[^\d.,-]*-?(\d+|\d{{1,3}}([{group}' \u2019\xa0\u202f]\d{{3}})+)([{point}]\d+)?"
    r"[^\d.,-]*"
    for point, group in ((".", ","), (",", "."))
}


def _fits(text: str, micros: float) -> bool:
    try:
        seconds = float(text) * micros / 1e6
    except ValueError:
        return False
    first, last = (datetime(year, 1, 1) - datetime(1970, 1, 1) for year in (FIRST_YEAR, LAST_YEAR))
    return first.total_seconds() <= seconds < last.total_seconds()


def _matching(patterns: Mapping[str, str], texts: Sequence[str]) -> list[str]:
    return [name for name, pattern in patterns.items() if all(_matches(t, pattern) for t in texts)]


def _matches(text: str, pattern: str) -> bool:
    try:
        return FIRST_YEAR <= datetime.strptime(text, pattern).year <= LAST_YEAR
    except ValueError:
        return False


def _without_blanks(text: Column) -> Column:
    # The first look takes half as long as a pattern does, and is all that most ids need.
    has_other_letters = F.octet_length(text) != F.char_length(text)
    is_plain = ~has_other_letters & (F.translate(text, _CONTROLS, "") == text)
    return F.when(is_plain, text).otherwise(F.regexp_replace(text, _BLANKS, ""))


def sql_name(name: str) -> str:
    """A column's name as it stands in SQL: in backticks where it has other signs than letters."""
    return name if re.fullmatch(r"[A-Za-z_]\w*", name) else _in_backticks(name)


def _quoted(name: str) -> Column:
    return F.col(_in_backticks(name))


def _in_backticks(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
