"""Ids and times in all the types that exports have."""

import re
from datetime import datetime
from decimal import Decimal

import pytest
from pyspark.sql import functions as F

from ncf_spark.inputs import columns
from tests.conftest import rows

NAN, INF = float("nan"), float("inf")


def ids(spark, data_type, *values):
    table = spark.createDataFrame([(value,) for value in values], f"`the id` {data_type}")
    return [row[0] for row in table.select(columns.id_column(table, "the id")).collect()]


@pytest.mark.parametrize(
    ("data_type", "value", "expected"),
    [
        ("double", 1001.0, "1001"),
        ("double", 12345678902.0, "12345678902"),
        ("double", 9007199254740991.0, "9007199254740991"),
        ("double", -0.0, "0"),
        ("double", -7.0, "-7"),
        ("double", NAN, None),
        ("double", None, None),
        ("float", 16777215.0, "16777215"),
        ("decimal(10,2)", Decimal("1001.00"), "1001"),
        ("decimal(38,10)", Decimal("12345678901234567890.0"), "12345678901234567890"),
        ("decimal(20,0)", Decimal("12345678901234567890"), "12345678901234567890"),
        ("long", 9223372036854775807, "9223372036854775807"),
        ("string", "0012", "0012"),
        ("string", "1001.0", "1001.0"),
        ("string", " A-002 ", "A-002"),
        ("string", "\u00a0A\u0000-\u00072\t\u200b", "A-2"),
        ("string", "\u0000 A 2 \u0000", "A 2"),
        ("string", "Jörg 👩\u200d👧", "Jörg 👩\u200d👧"),
        ("string", "\u0000", None),
        ("string", " \u00a0", None),
        ("string", "NaN", "NaN"),
    ],
)
def test_an_id_is_the_same_text_in_every_type(spark, data_type, value, expected):
    assert ids(spark, data_type, value) == [expected]


@pytest.mark.parametrize(
    ("data_type", "values"),
    [
        ("double", [17.5, INF, -INF, 2.0**53, -(2.0**53), 1e300]),
        ("float", [17.5, INF, 2.0**24]),
        ("decimal(10,2)", [Decimal("17.50")]),
    ],
)
def test_what_is_no_exact_whole_number_is_known(spark, data_type, values):
    whole = [Decimal(7)] if "decimal" in data_type else [7.0, -0.0, NAN]
    table = spark.createDataFrame([(v,) for v in [*values, *whole, None]], f"id {data_type}")
    found = table.where(columns.is_fraction(F.col("id"), table.schema["id"].dataType))
    assert [row[0] for row in found.collect()] == values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *[("NaN", "word"), ("null", "word"), ("None", "word"), ("\\N", "word"), ("NULL ", "word")],
        *[("1001.0", "number"), ("1.2345678902E10", "number"), ("1,23457E+10", "number")],
        *[(" A", "blank"), ("A\u0000", "blank"), ("\u200b", "blank")],
        *[("A", None), ("", None), (None, None), ("1.05", None), ("A.0", None), ("Ä b", None)],
    ],
)
def test_ids_are_odd_in_a_way_that_is_named(spark, text, expected):
    table = spark.createDataFrame([(text,)], "id string")
    assert rows(table.select(columns.id_finding(table, "id"))) == [(expected,)]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["1790843100", "1790848740"], ["epoch_seconds"]),
        (["1790843100.5"], ["epoch_seconds"]),
        (["1.7908431E12"], ["epoch_millis"]),
        (["1790843100000000"], ["epoch_micros"]),
        (["1790843100000000000"], ["epoch_nanos"]),
        (["20261001"], ["yyyyMMdd"]),
        (["20261001082500"], ["yyyyMMddHHmmss"]),
        (["28.09.2026", "03.10.2026"], ["dd.MM.yyyy"]),
        (["03/04/2026"], ["dd/MM/yyyy", "MM/dd/yyyy"]),
        (["03/04/2026", "03/28/2026"], ["MM/dd/yyyy"]),
        (["2026-10-01T08:25:00Z"], ["timestamp"]),
        (["3.10.2026 9:05", "13.10.2026 14:05"], ["d.M.yyyy H:mm"]),
        (["10/3/2026 14:05", "10/13/2026 9:05"], ["M/d/yyyy H:mm"]),
        (["10/01/26 9:34 AM", "10/13/26 12:00 pm"], ["M/d/yy h:mm a"]),
        (["3-10-2026"], ["d-M-yyyy"]),
        (["2026/1/5 9:05:07"], ["yyyy/M/d H:mm:ss"]),
        (["31.1.26"], ["d.M.yy"]),
        (["1790843100", "soon"], []),
        (["5"], []),
        (["-1790843100"], []),
        ([], []),
    ],
)
def test_the_formats_that_fit_some_texts_are_found(texts, expected):
    assert columns.fitting_time_formats(texts) == expected


@pytest.mark.parametrize("number", [1, 11])
def test_spark_reads_what_each_pattern_is_named_for(spark, number):
    moment = datetime(2026, 10, number, number + 2, 5, 7)
    patterns = {**columns._PATTERNS, **columns._LOOSE_PATTERNS}
    texts = {spark_s: moment.strftime(python_s) for spark_s, python_s in patterns.items()}
    # A digit where one is enough: 01 becomes 1.
    texts |= {
        name: re.sub(r"(?<=[ /.-])0(?=\d([ /.:-]|$))|^0", "", texts[name])
        for name in columns._LOOSE_PATTERNS
    }
    schema = ", ".join(f"c{n} string" for n in range(len(texts)))
    table = spark.createDataFrame([tuple(texts.values())], schema)
    read = [columns.time_column(table, f"c{n}", name) for n, name in enumerate(texts)]
    found = table.select(*[F.date_format(one, "yyyy-MM-dd HH:mm:ss") for one in read]).first()
    for (name, text), at in zip(texts.items(), found, strict=True):
        expected = datetime.strptime(text, patterns[name])
        assert at == expected.strftime("%Y-%m-%d %H:%M:%S"), (name, text)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["46296.39861", "46297"], True),
        (["20261001"], False),
        (["46296", "soon"], False),
        (["12345"], False),
        ([], False),
    ],
)
def test_days_as_excel_counts_them(texts, expected):
    assert columns.is_serial(texts) == expected


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["1.001,50", "9", "12,5"], [1001.5, 9.0, 12.5]),
        (["10.00 EUR", "EUR 7.5", "1,001.50"], [10.0, 7.5, 1001.5]),
        (["1.001,50 €", "-3,25", "ask us"], [1001.5, -3.25, None]),
        (["CHF 1'001.50", "9.5"], [1001.5, 9.5]),
        (["1 001,50", "1\xa0001,50"], [1001.5, 1001.5]),
        (["$1,234", "$5"], None),
        (["$1,234", "$5.10"], [1234.0, 5.1]),
        (["9,50", "9.50"], None),
        (["Rs. 100"], None),
        (["2x 10,00"], None),
        (["10,-"], None),
        (["ask us"], None),
        ([], None),
    ],
)
def test_the_sql_that_reads_texts_as_numbers(spark, texts, expected):
    sql = columns.number_sql("Price (net)", texts)
    if expected is None:
        assert sql is None
    else:
        table = spark.createDataFrame([(text,) for text in texts], "`Price (net)` string")
        assert [row[0] for row in table.select(F.expr(sql)).collect()] == expected


def test_a_plain_name_stands_in_the_sql_without_backticks():
    assert columns.number_sql("price", ["10.00 EUR"]) == (
        "try_cast(regexp_replace(price, '[^0-9.-]', '') AS DOUBLE)"
    )


@pytest.mark.parametrize("value", ["1790843100123", "1790843100007"])
def test_no_millisecond_is_lost(spark, value):
    table = spark.createDataFrame([(value,)], "at string")
    read = columns.time_column(table, "at", "epoch_millis")
    assert rows(table.select(F.unix_millis(read))) == [(int(value),)]
