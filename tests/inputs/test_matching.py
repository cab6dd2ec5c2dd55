"""Ids that match those of another table, and those that nearly do."""

import pytest

from ncf_spark.inputs.matching import build_matches, count_matches, differences
from tests.conftest import rows


def matches(spark, asked, known):
    tables = (spark.createDataFrame([(one,) for one in ids], "id string") for ids in (asked, known))
    return build_matches(*tables)


@pytest.mark.parametrize("order", [1, -1])
def test_ids_are_matched_as_they_are_and_but_for_how_they_are_written(spark, order):
    asked = ["'C-01", "C-02", "c-03\u00a0", "0004", "5.0", "6", "6", None, "C-09"][::order]
    known = ["C-01", "C-02", "C-02", "C-03", "4", "5", "6", "7", None][::order]
    found = matches(spark, asked, known)
    assert rows(found) == [
        *[(0, 0, None, "7"), (1, 0, "'C-01", "C-01"), (1, 0, "0004", "4"), (1, 0, "5.0", "5")],
        *[(1, 0, "C-09", None), (1, 0, "c-03\u00a0", "C-03"), (1, 1, None, "C-02")],
        (2, 2, None, "6"),
    ]
    assert count_matches(found) == (8, 3, 4)


def test_an_id_that_is_known_is_no_near_match_of_another(spark):
    assert count_matches(matches(spark, ["07", "7"], ["7"])) == (2, 1, 1)
    assert count_matches(matches(spark, ["07", "7"], ["7", "07"])) == (2, 2, 0)


def test_zeros_that_fill_a_number_up_are_a_near_match(spark):
    asked = ["C-016", "1.05", "A0", "C-100"]
    assert count_matches(matches(spark, asked, ["C-16", "1.5", "A", "C-1"])) == (4, 0, 1)


def test_nothing_matches_nothing(spark):
    assert count_matches(matches(spark, [], [])) == (0, 0, 0)
    assert count_matches(matches(spark, [], ["1"])) == (0, 0, 0)
    assert count_matches(matches(spark, ["1"], [])) == (1, 0, 0)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("'C-01", "C-01", ["a leading apostrophe"]),
        ("C-01\u00a0", "C-01", ["white space or characters that cannot be seen"]),
        ("c-01", "C-01", ["upper and lower case"]),
        ("0017", "17", ["leading zeros"]),
        ("C-016", "C-16", ["leading zeros"]),
        ("C-100", "C-1", []),
        ("C-0", "C-", []),
        ("1.05", "1.5", []),
        ("17", "17.0", ["a trailing .0"]),
        ("'0017", "17.0", ["a leading apostrophe", "a trailing .0", "leading zeros"]),
        ("17", "18", []),
    ],
)
def test_what_keeps_two_ids_apart_is_named(one, other, expected):
    assert differences(one, other) == expected
