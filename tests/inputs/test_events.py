from datetime import date, datetime, timezone

import pytest

from ncf_spark import schemas
from ncf_spark.inputs import events
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


# --- interactions -------------------------------------------------------------------------------

EVENTS = (
    "user_id string, item_id string, event_at timestamp, type string, value double, "
    "weight double, raw_time string, drop_reason string"
)
CLICKS = [
    ("a", "x", at("2026-11-03"), "view", None, 0.1, "3", None),
    ("a", "x", at("2026-11-01"), "view", None, 0.1, "1", None),
    ("a", "x", at("2026-11-02"), "buy", 3.0, 0.1, "2", None),
    ("a", "x", at("2026-11-02"), "buy", 3.0, 0.1, "02", None),  # the same but for the raw text
    ("a", "x", at("2026-11-02"), "buy", 4.0, 0.1, "2", None),
    ("a", "y", None, None, None, 1.0, None, None),
    ("b", "x", at("2026-11-09"), "view", None, 0.0, "9", None),
    ("b", "x", None, "view", None, 1.0, "soon", "bad_time"),
    ("c", "z", None, "view", None, 1.0, "soon", "bad_time"),
    (None, "x", at("2026-11-09"), "view", None, 1.0, "9", "no_user"),
]


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(("drop", "num_events", "weight"), [(True, 4, 0.4), (False, 5, 0.5)])
def test_a_pair_counts_its_events_with_or_without_duplicates(
    spark, drop, num_events, weight, order
):
    clicks = spark.createDataFrame(CLICKS[::order], EVENTS)
    history = events.build_history(clicks, drop_duplicates=drop)
    assert rows(history.transform(events.build_interactions)) == [
        ("a", "x", num_events, weight, at("2026-11-01"), at("2026-11-03")),
        ("a", "y", 1, 1.0, None, None),
        ("b", "x", 1, 0.0, at("2026-11-09"), at("2026-11-09")),
    ]


def test_raw_events_are_counted_by_what_becomes_of_them(spark):
    counts = events.count_raw()
    row = spark.createDataFrame(CLICKS, EVENTS).agg(*[c.alias(n) for n, c in counts.items()])
    found = row.first().asDict()
    assert list(found) == ["kept", *events.DROP_REASONS]
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


@pytest.mark.parametrize("order", [1, -1])
def test_history_gathers_what_a_user_did_with_an_item_by_type(spark, order):
    def event(item, type_, event_at, reason=None, user="ana"):
        return (user, item, event_at, type_, None, 0.5, None, reason)

    given = [
        event("tea", "buy", at("2026-11-01")),
        event("tea", "view", at("2026-11-03")),
        event("tea", "view", at("2026-11-04"), "low_value"),
        event("rum", "buy", at("2020-01-01"), "before_window"),
        event("rum", "buy", None, "bad_time"),
        event("ice", "wish", at("2026-11-02")),
        event("mug", "buy", None),
        event(None, "buy", at("2026-11-01"), "bad_time"),
        event("tea", "buy", at("2026-11-09"), "unknown_type", user=None),
    ][::order]
    found = events.build_history(
        spark.createDataFrame(given, EVENTS),
        drop_duplicates=True,
        bought_types=["buy"],
        wanted_types=["wish"],
    )
    found = schemas.conform(found, schemas.KEPT_HISTORY, "history")
    first, last, ice = at("2026-11-01"), at("2026-11-03"), at("2026-11-02")
    assert rows(found.select("item_id", *found.columns[2:])) == [
        ("ice", ice, False, False, None, True, 1, 0.5, ice, ice),
        ("mug", None, True, True, None, False, 1, 0.5, None, None),
        ("rum", at("2020-01-01"), True, True, at("2020-01-01"), False, 0, None, None, None),
        ("tea", at("2026-11-04"), False, True, first, False, 2, 1.0, first, last),
    ]


def test_without_types_every_event_is_a_purchase(spark):
    given = [("a", "x", None, None, None, 1.0, None, None), CLICKS[0]]
    found = events.build_history(spark.createDataFrame(given, EVENTS), drop_duplicates=True)
    assert rows(found.select("is_bought", "is_wanted")) == [(True, False)]


REASONS = [*events.DROP_REASONS]


def test_dropped_events_are_history_where_they_are_what_the_user_did(spark):
    dropped = [
        (None if r == "no_user" else "a", r, at("2026-11-09"), "view", None, 1.0, "9", r)
        for r in REASONS
    ]
    found = events.build_history(spark.createDataFrame(dropped, EVENTS), drop_duplicates=True)
    nobodys = {"after_run_date", "no_item", "no_user", "where"}
    expected = [("a", reason) for reason in sorted(set(REASONS) - nobodys)]
    assert rows(found.select("user_id", "item_id")) == expected


def test_no_events_are_no_interactions(spark):
    built = build(spark.createDataFrame([], RAW))
    history = events.build_history(built, drop_duplicates=True)
    interactions = history.transform(events.build_interactions)
    assert interactions.columns == schemas.INTERACTIONS.names
    assert interactions.collect() == []


PAIRS = "user_id string, item_id string, num_events long"


def test_ids_with_fewer_rows_are_found_and_their_rows_taken_out(spark):
    pairs = spark.createDataFrame([("a", "x", 9), ("a", "y", 1), ("b", "x", 9)], PAIRS)
    rare = events.build_rare_ids(pairs, "user_id", at_least=2)
    assert rare.columns == ["user_id"]
    assert rows(rare) == [("b",)]
    assert rows(events.build_rare_ids(pairs, "item_id", at_least=2)) == [("y",)]
    assert rows(events.build_rare_ids(pairs, "item_id", at_least=1)) == []
    left = events.filter_out_ids(pairs, rare.union(rare))
    assert left.columns == pairs.columns
    assert rows(left) == [("a", "x", 9), ("a", "y", 1)]
    assert events.build_rare_ids(pairs.where("false"), "user_id", at_least=2).collect() == []
