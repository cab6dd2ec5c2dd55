from datetime import datetime, timezone

import pytest

from ncf_spark.inputs.catalogue import build_catalogue
from tests.conftest import rows

ENDS_AT = datetime(2026, 11, 24, tzinfo=timezone.utc)
PLAIN = ("item_id", "title", "category", "price", "url", "image_url")
FOR_SALE = ("brand", "in_stock", "is_active", "countries")
NAMES = (
    *("item", "title", "category", "price", "url", "image_url", "updated_at"),
    *("brand", "in_stock", "active_from", "active_until", "countries"),
)
COLUMNS = {**dict.fromkeys(NAMES), "item": "id", "title": "name", "price": "price"}
RAW = "id string, name string, price string, changed int, followers string"


def build_whole(table, *features: str, time_format: str = "timestamp", **columns: str):
    return build_catalogue(
        table, {**COLUMNS, **columns}, features, ends_at=ENDS_AT, time_format=time_format
    )


def build(table, *features: str, **settings: str):
    return rows(build_whole(table, *features, **settings).select(*PLAIN, *features))


def test_rows_are_in_our_terms_and_what_is_not_given_is_null(spark):
    raw = spark.createDataFrame([(7, "Tea", 2.5)], "id int, name string, price double")
    table = build_whole(raw)
    assert table.columns == [*PLAIN, *FOR_SALE]
    assert rows(table) == [("7", "Tea", None, 2.5, None, None, *[None] * 4)]


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


@pytest.mark.parametrize(
    ("data_type", "older", "newer", "time_format"),
    [
        ("string", "28.09.2026", "03.10.2026", "dd.MM.yyyy"),
        ("string", "2026-10-01 10:00:00+09:00", "2026-10-01 02:00:00Z", "timestamp"),
        ("string", "999999999", "1790843100", "epoch_seconds"),
        ("int", 28092026, 3102026, "timestamp"),
        ("double", 1.5, float("nan"), "timestamp"),
        ("int", 20260928, 20261003, "yyyyMMdd"),
        ("string", "no time", "2026-10-01", "timestamp"),
    ],
)
def test_the_latest_row_is_that_of_the_latest_time(spark, data_type, older, newer, time_format):
    raw = [("a", "older", older), ("a", "newer", newer)]
    table = spark.createDataFrame(raw, f"id string, name string, changed {data_type}")
    found = build(table, price=None, updated_at="changed", time_format=time_format)
    is_number = time_format == "timestamp" and data_type in ("int", "double")  # of a version
    assert found[0][1] == ("older" if is_number else "newer")


def test_ids_are_those_of_the_events_whatever_they_are_stored_as(spark):
    raw = spark.createDataFrame([(1001.0,), (None,), (float("nan"),)], "id double")
    assert [row[0] for row in build(raw, title=None, price=None)] == ["1001"]
    raw = spark.createDataFrame([("A-002 ",), ("A\u0000-003",), (" ",)], "id string")
    assert [row[0] for row in build(raw, title=None, price=None)] == ["A-002", "A-003"]


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
    whole = build_whole(raw, "n f", item="item id", title="name.en", price=None)
    found = rows(whole.select(*PLAIN, "`n f`"))
    assert found == [("a", "Tea", None, None, None, None, 3.0)]


def test_no_rows_are_no_items(spark):
    assert build(spark.createDataFrame([], RAW)) == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *[("3", True), ("0", False), ("-1", False), ("0.5", True), ("yes", True), ("true", True)],
        *[("no", False), ("F", False), ("", False), (None, False), ("some", False)],
        *[("in_stock", True), ("In Stock", True), ("InStock", True), ("in-stock ", True)],
        *[("https://schema.org/InStock", True), ("http://schema.org/OutOfStock", False)],
        *[("out_of_stock", False), ("sold out", False), ("discontinued", False)],
        *[("preorder", True), ("Pre-order", True), ("backorder", True), ("onbackorder", True)],
        *[("unavailable", False), ("available", True), ("NaN", False), ("nan", False)],
    ],
)
def test_what_cannot_be_read_as_in_stock_is_not(spark, value, expected):
    raw = spark.createDataFrame([("a", value)], "id string, stock string")
    [row] = build_whole(raw, title=None, price=None, in_stock="stock").collect()
    assert row.in_stock is expected


def test_stock_may_be_given_as_truth_or_number(spark):
    raw = [("a", True, 0, float("nan")), ("b", False, 7, 0.5)]
    raw = spark.createDataFrame(raw, "id string, t boolean, n int, d double")
    for name, expected in (("t", [True, False]), ("n", [False, True]), ("d", [False, True])):
        found = build_whole(raw, title=None, price=None, in_stock=name)
        assert [row.in_stock for row in found.orderBy("item_id").collect()] == expected


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (None, None, True),
        ("", " ", True),
        ("2026-11-24", "2026-11-25", True),
        ("2026-11-24T00:00:01Z", None, False),
        (None, "2026-11-24", False),
        ("soon", None, False),
        (None, "later", False),
    ],
)
def test_an_item_is_active_between_its_dates(spark, since, until, expected):
    raw = spark.createDataFrame([("a", since, until)], "id string, f string, u string")
    found = build_whole(raw, title=None, price=None, active_from="f", active_until="u")
    assert found.first().is_active is expected
    # With one of the two alone, that one decides.
    [row] = build_whole(raw, title=None, price=None, active_from="f").collect()
    assert row.is_active is (since in (None, "", "2026-11-24"))


def test_dates_of_activity_follow_the_time_format(spark):
    raw = spark.createDataFrame(
        [("a", "24.11.2026", 1795564800), ("b", "25.11.2026", 1795478400)],
        "id string, f string, u long",
    )
    since = build_whole(
        raw, title=None, price=None, active_from="f", time_format="dd.MM.yyyy"
    ).orderBy("item_id")
    assert [row.is_active for row in since.collect()] == [True, False]
    until = build_whole(
        raw, title=None, price=None, active_until="u", time_format="epoch_seconds"
    ).orderBy("item_id")
    assert [row.is_active for row in until.collect()] == [True, False]


def test_countries_are_a_list_or_a_text_of_codes(spark):
    raw = [("a", "de, AT;ch", ["fr ", "DE"]), ("b", "", []), ("c", None, None)]
    table = spark.createDataFrame(raw, "id string, text string, list array<string>")
    for name, expected in (("text", ["AT", "CH", "DE"]), ("list", ["DE", "FR"])):
        found = build_whole(table, title=None, price=None, countries=name)
        assert [row.countries for row in found.orderBy("item_id").collect()] == [
            *[expected, None, None]
        ]
