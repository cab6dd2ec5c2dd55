from datetime import date, datetime, timezone

import pytest

from ncf_spark.inputs import events
from ncf_spark.schemas.results import DROP_REASONS
from tests.conftest import at, rows

COLUMNS = {"user": "u", "item": "i", "time": "t", "type": "k", "value": "v"}
RAW = "u string, i string, t string, k string, v string"
SETTINGS = {
    "columns": COLUMNS,
    "time_format": "timestamp",
    "event_weights": {},
    "min_value": None,
    "where": None,
    "starts_at": None,
    "ends_at": datetime(2026, 11, 24, tzinfo=timezone.utc),
}


def build(raw, **settings):
    return events.build_events(raw, **{**SETTINGS, **settings})


# --- raw events ---------------------------------------------------------------------------------

NOON, OK = "2026-11-20 12:00:00", ("2026-11-20 12:00:00", "view", "5")


@pytest.mark.parametrize("order", [1, -1])
def test_each_event_is_dropped_for_the_first_reason_that_holds(spark, order):
    cases = [
        (("a", "x", *OK), None),
        (("a", "bot", *OK), "where"),
        (("a", None, *OK), "where"),  # where is null
        ((None, "x", *OK), "no_user"),
        ((" ", "", *OK), "no_user"),
        (("a", "", *OK), "no_item"),
        (("a", "x", None, "view", "5"), "no_time"),
        (("a", "x", " ", "view", "5"), "no_time"),
        (("a", "x", "yesterday", "view", "5"), "bad_time"),
        (("a", "x", "12:30", "view", "5"), "bad_time"),
        (("a", "x", "2026-02-30 10:00:00", "hover", "5"), "bad_time"),
        (("a", "x", NOON, "hover", None), "unknown_type"),
        (("a", "x", NOON, None, "5"), "unknown_type"),
        (("a", "x", NOON, "view", None), "no_value"),
        (("a", "x", NOON, "view", "five"), "no_value"),
        (("a", "x", NOON, "view", "NaN"), "no_value"),
        (("a", "x", NOON, "view", "3.9"), "low_value"),
        (("a", "x", NOON, "view", "4.0"), None),
        (("a", "x", "2026-11-24T00:00:00Z", "view", "5"), "after_run_date"),
        (("a", "x", "2026-11-24T00:30:00+01:00", "view", "5"), None),
        (("a", "x", "2026-11-16 23:59:59", "view", "5"), "before_window"),
        (("a", "x", "2026-11-17", "view", "5"), None),
    ][::order]
    raw = spark.createDataFrame([case for case, _ in cases], RAW)
    built = build(
        raw,
        event_weights={"view": 1.0},
        min_value=4.0,
        where="i <> 'bot'",
        starts_at=datetime(2026, 11, 17, tzinfo=timezone.utc),
    )
    assert [row.drop_reason for row in built.collect()] == [reason for _, reason in cases]


def test_without_settings_only_ids_times_and_the_run_date_count(spark):
    raw = spark.createDataFrame(
        [("a", "x", NOON, None, None), ("b", "y", "1999-01-01", "hover", "-1")], RAW
    )
    assert rows(build(raw).select("user_id", "item_id", "event_at", "weight", "drop_reason")) == [
        ("a", "x", at(NOON), 1.0, None),
        ("b", "y", at("1999-01-01"), 1.0, None),
    ]


def test_columns_that_are_not_configured_are_null(spark):
    raw = spark.createDataFrame([(7, 8)], "`user.id` int, i int")
    columns = {**dict.fromkeys(COLUMNS), "user": "user.id", "item": "i"}
    assert rows(build(raw, columns=columns)) == [("7", "8", *[None] * 3, 1.0, *[None] * 5)]


def test_weights_come_from_the_type_and_may_be_zero(spark):
    raw = spark.createDataFrame([("a", "x", NOON, k, None) for k in ("buy", "view", "no")], RAW)
    built = build(raw, event_weights={"buy": 5, "view": 0.0})
    assert [row.weight for row in built.collect()] == [5.0, 0.0, None]


@pytest.mark.parametrize(
    ("data_type", "value", "time_format"),
    [
        ("string", "2026-11-23T09:30:00+01:00", "timestamp"),
        ("string", " 2026-11-23 08:30:00 ", "timestamp"),
        ("timestamp", datetime(2026, 11, 23, 8, 30), "timestamp"),
        ("timestamp_ntz", datetime(2026, 11, 23, 8, 30), "epoch_seconds"),
        ("long", 1795422600, "epoch_seconds"),
        ("string", "1795422600", "epoch_seconds"),
        ("double", 1795422600000.0, "epoch_millis"),
        ("string", "1795422600000000", "epoch_micros"),
        ("long", 1795422600000000000, "epoch_nanos"),
        ("long", 202611230830, "yyyyMMddHHmm"),
        ("double", 202611230830.0, "yyyyMMddHHmm"),
        ("string", "23/11/2026 08:30", "dd/MM/yyyy HH:mm"),
    ],
)
def test_every_way_to_write_a_time_is_the_same_moment(spark, data_type, value, time_format):
    raw = spark.createDataFrame(
        [("a", "x", value, None, None)], RAW.replace("t string", f"t {data_type}")
    )
    (event,) = build(raw, time_format=time_format).collect()
    assert (event.event_at, event.drop_reason) == (at("2026-11-23 08:30"), None)


def test_a_date_is_its_first_moment(spark):
    raw = spark.createDataFrame([("a", "x", date(2026, 11, 23))], "u string, i string, t date")
    built = build(raw, columns={**COLUMNS, "type": None, "value": None})
    assert built.first().event_at == at("2026-11-23")


@pytest.mark.parametrize("value", ["-1", "253402300800", "soon"])
def test_epochs_before_1970_or_after_9999_are_bad_times(spark, value):
    raw = spark.createDataFrame([("a", "x", value, None, None)], RAW)
    assert build(raw, time_format="epoch_seconds").first().drop_reason == "bad_time"


EVENTS = (
    "user_id string, item_id string, event_at timestamp, type string, value double, "
    "weight double, raw_time string, drop_reason string"
)
CLICKS = [
    *[("a", "x", at("2026-11-03"), "view", None, 0.1, "3", None)] * 7,
    ("b", "x", None, "view", None, 1.0, "soon", "bad_time"),
    ("c", "z", None, "view", None, 1.0, "soon", "bad_time"),
    (None, "x", at("2026-11-09"), "view", None, 1.0, "9", "no_user"),
]


def test_raw_events_are_counted_by_what_becomes_of_them(spark):
    counts = events.count_raw()
    row = spark.createDataFrame(CLICKS, EVENTS).agg(*[c.alias(n) for n, c in counts.items()])
    found = row.first().asDict()
    assert list(found) == ["kept", *DROP_REASONS]
    assert {name: count for name, count in found.items() if count} == {
        "kept": 7,
        "no_user": 1,
        "bad_time": 2,
    }


def test_times_of_another_age_and_odd_ids_are_counted_but_where_they_are_left_out(spark):
    given = [
        ("NaN", "1001.0", "1970-01-21"),
        (" a", "i\u0000", "2100-01-01"),
        ("null", "x", "1990-01-01"),
        ("null", "out", "1970-01-01"),
    ]
    raw = spark.createDataFrame(given, "u string, i string, t string")
    built = build(raw, columns={**COLUMNS, "type": None, "value": None}, where="i <> 'out'")
    found = built.agg(*[c.alias(n) for n, c in events.count_odd().items()]).first().asDict()
    assert found == {"implausible": 2, "odd_ids": 3}
