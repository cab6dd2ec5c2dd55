"""Lines that hold no record of their own."""

import pytest
from pyspark.sql import functions as F

from ncf_spark.inputs.lines import PROBLEMS, build_flags
from ncf_spark.inputs.text import Options


def problems(spark, values, source_format="csv", options=None, num_cells=3) -> list[str]:
    """What is wrong with each line: a problem, `fine`, or `none` where there is no record."""
    lines = spark.createDataFrame(list(enumerate(values)), "n INT, value STRING")
    flagged = build_flags(lines, source_format, Options(options or {}), num_cells)
    problem = F.coalesce(*[F.when(F.col(name), name) for name in PROBLEMS], F.lit("fine"))
    shown = F.when(F.col("is_record"), problem).otherwise("none")
    return [row[0] for row in flagged.orderBy("n").select(shown).collect()]


def test_cells_are_counted_as_the_reader_counts_them(spark):
    expected = {
        "a;b;c": "fine",
        ";;": "fine",
        'a;"b; and d";c': "fine",
        'a;"b ""quoted"" x";c': "fine",
        'a;24" wide, 30" deep;c': "fine",
        '"a";"b";"c"': "fine",
        '"";"";""': "fine",
        'a;"24" monitor";c': "fine",
        "a;b": "ragged",
        "a;b;c;d": "ragged",
        'a;b";"c;d': "open_quote",
        'a;"b': "open_quote",
        'a;b;"c; and': "open_quote",
        'a;"b ""': "open_quote",
        "a;b\u2028x;c": "fine",
        "": "none",
        "   ": "none",
    }
    assert problems(spark, expected, options={"sep": ";"}) == list(expected.values())


@pytest.mark.parametrize(
    ("options", "line", "problem"),
    [
        ({"escape": "\\"}, 'a,"b \\"x\\", y",c', "fine"),
        ({"escape": "\\"}, 'a,"b \\"', "open_quote"),
        ({"quote": "'"}, "a,'b, c',d", "fine"),
        ({"quote": ""}, 'a,"b,c', "fine"),
        ({"sep": "::"}, 'a::"b::c"::d', "fine"),
        ({"sep": "|"}, "a|b|c", "fine"),
        ({"comment": "#"}, "# of the shop", "none"),
        ({"mode": "PERMISSIVE"}, "a,b", "fine"),
        ({"mode": "PERMISSIVE"}, 'a,"b', "open_quote"),
        ({"multiLine": "true"}, 'a,"b', "fine"),
        ({"ignoreLeadingWhiteSpace": "true"}, 'a, "b, c",d', "fine"),
        ({}, 'a, "b, c",d', "ragged"),
    ],
)
def test_options_of_the_reader_are_those_of_the_check(spark, options, line, problem):
    assert problems(spark, [line], options=options) == [problem]


def test_json_records_lie_on_a_line_each(spark):
    lines = ['{"user": "a"}', '{"user": ', "user a", "  "]
    assert problems(spark, lines, "json") == ["fine", "bad_json", "bad_json", "none"]


def test_bytes_that_are_no_letters_of_the_encoding(spark):
    rows = ["Müller", "\ufffd"]
    texts = spark.createDataFrame([(row.encode(),) for row in rows] + [(b"M\xfcller",)], "b BINARY")
    lines = texts.select(F.col("b").cast("string").alias("value"))
    for encoding, expected in (("utf-8", [False, False, True]), ("latin1", [False] * 3)):
        flagged = build_flags(lines, "csv", Options({"encoding": encoding}), 0)
        found = flagged.select("bad_encoding", "is_utf_8", "is_other").collect()
        assert [row[0] for row in found] == expected
        assert [row[1:] for row in found] == [(True, False), (True, False), (False, True)]
