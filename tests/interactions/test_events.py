from datetime import date, datetime, timezone

import pytest

from ncf_spark import schemas
from ncf_spark.interactions import events
from ncf_spark.schemas import SchemaError
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
    assert rows(build(raw, columns=columns)) == [("7", "8", None, None, None, 1.0, None, None)]


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


def test_columns_that_cannot_serve_are_named_together(spark):
    raw = spark.createDataFrame(
        [(["a"], "x", 1, None, None)], "u array<string>, i string, t int, k string, v string"
    )
    with pytest.raises(SchemaError, match="column u") as raised:
        build(raw)
    assert str(raised.value).splitlines() == [
        "input: column u (input.columns.user) is array<string>, expected a plain value.",
        "input: column t (input.columns.time) is int, expected a text or a timestamp "
        "(or input.time_format epoch_seconds or epoch_millis).",
    ]


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
    pair_events = events.build_pair_events(clicks, drop_duplicates=drop)
    assert rows(pair_events.transform(events.build_interactions)) == [
        ("a", "x", num_events, weight, at("2026-11-01"), at("2026-11-03")),
        ("a", "y", 1, 1.0, None, None),
        ("b", "x", 1, 0.0, at("2026-11-09"), at("2026-11-09")),
    ]


@pytest.mark.parametrize(("drop", "num_buys"), [(True, 2), (False, 3)])
def test_every_event_is_counted_by_pair_type_and_drop_reason(spark, drop, num_buys):
    clicks = spark.createDataFrame(CLICKS, EVENTS)
    found = events.build_pair_events(clicks, drop_duplicates=drop)
    found = schemas.conform(found, schemas.PAIR_EVENTS, "pair_events")
    names = ("user_id", "item_id", "type", "drop_reason", "num_raw", "num_events", "has_undated")
    assert rows(found.select(*names)) == [
        (None, None, None, "no_user", 1, 1, True),
        ("a", "x", "buy", None, 3, num_buys, False),
        ("a", "x", "view", None, 2, 2, False),
        ("a", "y", None, None, 1, 1, True),
        ("b", "x", "view", None, 1, 1, False),
        ("b", "x", "view", "bad_time", 1, 1, True),
        ("c", "z", "view", "bad_time", 1, 1, True),
    ]


REASONS = [*events.DROP_REASONS]


def test_dropped_events_keep_their_ids_where_they_are_what_the_user_did(spark):
    dropped = [
        (
            "a" if reason != "no_user" else None,
            "x",
            at("2026-11-09"),
            "view",
            None,
            1.0,
            "9",
            reason,
        )
        for reason in REASONS
    ]
    found = events.build_pair_events(spark.createDataFrame(dropped, EVENTS), drop_duplicates=True)
    assert rows(found.select("user_id", "item_id", "type", "drop_reason")) == [
        *[
            (None, None, None, reason)
            for reason in ("after_run_date", "no_item", "no_user", "where")
        ],
        *[
            ("a", "x", "view", reason)
            for reason in sorted(set(REASONS) - {"after_run_date", "no_item", "no_user", "where"})
        ],
    ]


def test_no_events_are_no_interactions(spark):
    built = build(spark.createDataFrame([], RAW))
    pair_events = events.build_pair_events(built, drop_duplicates=True)
    interactions = pair_events.transform(events.build_interactions)
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
