import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from ncf_spark.campaign.files import cells


def applied(spark, function, values, data_type="string"):
    """What becomes of each value, in their order."""
    table = spark.createDataFrame(list(enumerate(values)), f"nth int, value {data_type}")
    found = table.select("nth", function(F.col("value")).alias("value"))
    return [row.value for row in sorted(found.collect())]


CLEAN = {
    "Tea": "Tea",
    "Tea\r\n  set\t": "Tea set",
    "a\n \t\x00b": "a b",
    "two  blanks stay": "two  blanks stay",
    "\x85a\x9fb\u2028c\u2029d\x7f": "a b c d",
    "  Tea ": "Tea",
    " \t\r\n": None,
    "\u202e": None,
    "": None,
    # Overrides and isolates go without a blank, text from right to left and its marks stay.
    "\u2067שלום\u2069, tea": "שלום, tea",
    "\u202eevil\u202c\u200f": "evil\u200f",
    "مرحبا 😀\u200d": "مرحبا 😀\u200d",
}


def test_a_text_is_put_on_one_line(spark):
    assert applied(spark, cells.clean, [*CLEAN, None]) == [*CLEAN.values(), None]


GUARDED = {
    "=1+1": "'=1+1",
    "+49": "'+49",
    "-5": "'-5",
    "@SUM(A1)": "'@SUM(A1)",
    "\tx": "'\tx",
    "\rx": "'\rx",
    "a=1": "a=1",
    "'=1": "'=1",
    " =1": " =1",
    "": "",
    "שלום": "שלום",
}


def test_what_a_spreadsheet_would_run_gets_an_apostrophe(spark):
    assert applied(spark, cells.escaped, [*GUARDED, None]) == [*GUARDED.values(), None]


@pytest.mark.parametrize(
    ("text", "truncated"),
    [
        ("abcdef", "abcdef"),
        ("abcdefg", "abcdef"),
        ("abcdé", "abcdé"),  # 6 bytes
        ("abcdeé", "abcde"),
        ("abc€", "abc€"),
        ("abcd€", "abcd"),
        ("ab😀", "ab😀"),
        ("abc😀", "abc"),
        ("abcd😀", "abcd"),
        ("abcde😀", "abcde"),
        ("abcdef😀", "abcdef"),
        ("e\u0301abce\u0301", "e\u0301abc"),
        ("abcdee\u0301", "abcdee"),  # a letter parted from its mark
        (None, None),
    ],
)
def test_a_long_text_is_cut_between_characters(spark, text, truncated):
    assert applied(spark, lambda column: cells.truncated(column, 6), [text]) == [truncated]


def test_a_cell_doubles_its_quotes(spark):
    texts = ["Tea", 'a "b"', "a,b\r\n", "", None]
    assert applied(spark, cells.quoted, texts) == ['"Tea"', '"a ""b"""', '"a,b\r\n"', '""', ""]


NUMBERS = {
    2.5: "2.50",
    0.0: "0.00",
    1.0: "1.00",
    0.005: "0.005",
    19.99: "19.99",
    -3.25: "-3.25",
    1e7: "10000000.00",
    12345678.9: "12345678.90",
    123456789.125: "123456789.125",
    1e22: "10000000000000000000000.00",
    1e-7: "0.0000001",
    -1.25e-7: "-0.000000125",
    9999999.5: "9999999.50",
}


def test_numbers_have_two_decimals_or_more_and_no_exponent(spark):
    values = [*NUMBERS, None, float("nan"), float("inf"), float("-inf")]
    expected = [*NUMBERS.values(), None, None, None, None]
    assert applied(spark, cells.plain_number, values, "double") == expected


FINITE = {"allow_nan": False, "allow_infinity": False}


@settings(max_examples=5)
@given(
    st.lists(st.floats(**FINITE), min_size=60, max_size=200),
    st.lists(st.floats(width=32, **FINITE), min_size=60, max_size=200),
)
@example([5e-324, 1.7976931348623157e308, 2e23, 0.001, 0.0009999999999999998], [1e-45])
def test_a_number_reads_back_to_the_same(spark, doubles, floats):
    for values, kind, name in ((doubles, float, "double"), (floats, np.float32, "float")):
        texts = applied(spark, cells.plain_number, values, name)
        assert [kind(text) for text in texts] == [kind(value) for value in values]
        assert all(re.fullmatch(r"-?\d+\.\d\d+", text) for text in texts)
