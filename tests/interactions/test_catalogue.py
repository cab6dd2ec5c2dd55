import pytest

from ncf_spark.interactions.catalogue import build_catalogue
from tests.conftest import rows

NAMES = ("item", "title", "category", "price", "url", "image_url", "updated_at")
COLUMNS = {**dict.fromkeys(NAMES), "item": "id", "title": "name", "price": "price"}
RAW = "id string, name string, price string, changed int, followers string"


def build(table, *features: str, **columns: str):
    return rows(build_catalogue(table, {**COLUMNS, **columns}, features))


def test_rows_are_in_our_terms_and_what_is_not_given_is_null(spark):
    raw = spark.createDataFrame([(7, "Tea", 2.5)], "id int, name string, price double")
    table = build_catalogue(raw, COLUMNS, [])
    assert table.columns == ["item_id", "title", "category", "price", "url", "image_url"]
    assert rows(table) == [("7", "Tea", None, 2.5, None, None)]


@pytest.mark.parametrize("order", [1, -1])
def test_of_several_rows_the_latest_counts_as_a_whole(spark, order):
    raw = [
        ("a", "new", None, 3, "1"),
        ("a", "old", "9", 2, "7"),
        ("a", "unknown age", "9", None, "8"),
        ("b", "tie", "1", 5, "1"),
        ("b", "tie", "2", 5, "1"),
        (None, "no id", "1", 9, "1"),
    ][::order]
    found = build(spark.createDataFrame(raw, RAW), "followers", updated_at="changed")
    assert found == [
        ("a", "new", None, None, None, None, 1.0),
        ("b", "tie", None, 2.0, None, None, 1.0),
    ]


def test_a_category_of_blanks_is_none(spark):
    raw = spark.createDataFrame([("a", "  "), ("b", " Tea")], "id string, kind string")
    found = build(raw, title=None, price=None, category="kind")
    assert [row[2] for row in found] == [None, " Tea"]


@pytest.mark.parametrize("order", [1, -1])
def test_without_a_time_of_change_the_greatest_row_counts(spark, order):
    raw = [("a", "x", "1", 1, "1"), ("a", "y", "0", 1, "1")][::order]
    assert build(spark.createDataFrame(raw, RAW)) == [("a", "y", None, 0.0, None, None)]


def test_what_is_no_finite_number_is_a_missing_price_or_a_feature_of_0(spark):
    numbers = [None, "", "many", "NaN", "Infinity", "-Infinity", "3.5", "-2"]
    raw = [(str(n), None, number, 1, number) for n, number in enumerate(numbers)]
    found = build(spark.createDataFrame(raw, RAW), "followers")
    assert [row[3] for row in found] == [None, None, None, None, None, None, 3.5, -2.0]
    assert [row[6] for row in found] == [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.5, -2.0]


def test_columns_may_have_blanks_and_dots(spark):
    raw = spark.createDataFrame([("a", "Tea", 3)], "`item id` string, `name.en` string, `n f` int")
    found = build(raw, "n f", item="item id", title="name.en", price=None)
    assert found == [("a", "Tea", None, None, None, None, 3.0)]


def test_no_rows_are_no_items(spark):
    assert build(spark.createDataFrame([], RAW)) == []
