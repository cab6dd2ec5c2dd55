"""What each user did with each item, and the pairs of it."""

import pytest

from ncf_spark import schemas
from ncf_spark.preparation import interactions
from ncf_spark.schemas.results import DROP_REASONS
from tests.conftest import at, rows

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
    history = interactions.build_history(clicks, drop_duplicates=drop)
    assert rows(history.transform(interactions.build_interactions)) == [
        ("a", "x", num_events, weight, at("2026-11-01"), at("2026-11-03")),
        ("a", "y", 1, 1.0, None, None),
        ("b", "x", 1, 0.0, at("2026-11-09"), at("2026-11-09")),
    ]


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
    found = interactions.build_history(
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
    found = interactions.build_history(spark.createDataFrame(given, EVENTS), drop_duplicates=True)
    assert rows(found.select("is_bought", "is_wanted")) == [(True, False)]


REASONS = [*DROP_REASONS]


def test_dropped_events_are_history_where_they_are_what_the_user_did(spark):
    dropped = [
        (None if r == "no_user" else "a", r, at("2026-11-09"), "view", None, 1.0, "9", r)
        for r in REASONS
    ]
    found = interactions.build_history(spark.createDataFrame(dropped, EVENTS), drop_duplicates=True)
    nobodys = {"after_run_date", "no_item", "no_user", "where"}
    expected = [("a", reason) for reason in sorted(set(REASONS) - nobodys)]
    assert rows(found.select("user_id", "item_id")) == expected


def test_no_events_are_no_interactions(spark):
    nothing = spark.createDataFrame([], EVENTS)
    history = interactions.build_history(nothing, drop_duplicates=True)
    pairs = history.transform(interactions.build_interactions)
    assert pairs.columns == schemas.INTERACTIONS.names
    assert pairs.collect() == []


PAIRS = "user_id string, item_id string, num_events long"


def test_ids_with_fewer_rows_are_found_and_their_rows_taken_out(spark):
    pairs = spark.createDataFrame([("a", "x", 9), ("a", "y", 1), ("b", "x", 9)], PAIRS)
    rare = interactions.build_rare_ids(pairs, "user_id", at_least=2)
    assert rare.columns == ["user_id"]
    assert rows(rare) == [("b",)]
    assert rows(interactions.build_rare_ids(pairs, "item_id", at_least=2)) == [("y",)]
    assert rows(interactions.build_rare_ids(pairs, "item_id", at_least=1)) == []
    left = interactions.filter_out_ids(pairs, rare.union(rare))
    assert left.columns == pairs.columns
    assert rows(left) == [("a", "x", 9), ("a", "y", 1)]
    assert interactions.build_rare_ids(pairs.where("false"), "user_id", at_least=2).collect() == []
