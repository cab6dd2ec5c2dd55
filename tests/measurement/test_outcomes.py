from datetime import date

import pytest

from ncf_spark import schemas
from ncf_spark.measurement.outcomes import (
    DROP_REASONS,
    build_arms,
    build_event_counts,
    build_outcome_counts,
    build_user_outcomes,
    with_drop_reason,
)
from tests.conftest import at, rows

TYPES = {"opened": ["open", "click"], "clicked": ["click"], "bought": ["buy", "subscribe"]}
EVENTS = "user_id string, type string, event_at timestamp, value double, campaign_id string"
ARMS = [("ana", "model"), ("bob", "popular"), ("cy", "holdout"), ("dee", "model")]
FIRST, LAST = "2026-11-02 00:00:00", "2026-11-08 23:59:59.999"


@pytest.fixture(scope="module")
def arms(spark):
    return spark.createDataFrame(ARMS, "user_id string, arm string")


def events_of(spark, *given):
    """Events of (user_id, type, time as text, value, campaign_id)."""
    table = [(u, t, None if a is None else at(a), v, c) for u, t, a, v, c in given]
    return spark.createDataFrame(table, EVENTS)


def marked_events(events, arms):
    return with_drop_reason(
        events,
        arms,
        types=TYPES,
        campaign_id="spring",
        starts_at=at(FIRST),
        ends_at=at("2026-11-09 00:00"),
    )


def test_arms_have_users_who_got_email_or_would_have_got_it(spark):
    night = date(2026, 11, 1)
    recipients = [
        ("spring", night, "ana", "model", None, 5),
        ("spring", night, "bob", "holdout", None, 0),
        ("spring", night, "cy", "model", "no_items", 0),
        ("spring", night, "dee", None, "no_consent", 0),
        ("spring", night, "eve", "popular", None, 5),
        ("autumn", night, "fay", "model", None, 5),
    ]
    table = spark.createDataFrame(recipients, schemas.CAMPAIGN_RECIPIENTS)
    found = build_arms(table, campaign_id="spring")
    assert found.columns == ["user_id", "arm"]
    assert rows(found) == [("ana", "model"), ("bob", "holdout"), ("eve", "popular")]


def test_an_event_counts_under_the_first_reason_that_holds(spark, arms):
    events = events_of(
        spark,
        ("ana", "buy", FIRST, 1.0, None),
        ("ana", "buy", LAST, 1.0, "spring"),
        (None, None, None, None, None),
        ("ana", "other", None, None, "autumn"),
        ("zoe", "other", "2026-11-01 23:59:59", None, "autumn"),
        ("ana", "other", "2026-11-01 23:59:59", None, "autumn"),
        ("ana", "other", "2026-11-01 23:59:59", None, None),
        ("ana", "other", "2026-11-09 00:00", None, None),
        ("ana", "other", FIRST, None, None),
        ("ana", None, FIRST, None, None),
    )
    found = marked_events(events, arms)
    expected = [*DROP_REASONS, "other_type", None, None]
    assert sorted(map(str, expected)) == sorted(str(row["drop_reason"]) for row in found.collect())
    by_event = {(r["type"], str(r["event_at"])): r["drop_reason"] for r in found.collect()}
    assert by_event["buy", FIRST] is None
    assert by_event["buy", "2026-11-08 23:59:59.999000"] is None
    assert by_event["other", "2026-11-09 00:00:00"] == "after_window"


def test_events_are_counted_by_reason_and_without_a_value(spark, arms):
    events = events_of(
        spark,
        ("ana", "buy", FIRST, 1.0, None),
        ("ana", "buy", FIRST, None, None),
        ("bob", "buy", FIRST, float("nan"), None),
        ("bob", "click", FIRST, None, None),
        ("zoe", "buy", FIRST, None, None),
    )
    found = build_event_counts(marked_events(events, arms), bought=TYPES["bought"])
    assert rows(found) == [(None, 4, 2), ("no_arm", 1, 1)]


def user_outcomes(events, arms):
    return build_user_outcomes(marked_events(events, arms), types=TYPES)


def test_a_user_counts_once_and_revenue_adds_up(spark, arms):
    events = events_of(
        spark,
        ("ana", "buy", FIRST, 7.5, None),
        ("ana", "buy", FIRST, 7.5, None),
        ("ana", "subscribe", LAST, -2.25, None),
        ("ana", "click", FIRST, 99.0, None),
        ("bob", "open", FIRST, None, None),
        ("cy", "buy", FIRST, None, None),
        ("cy", "buy", FIRST, float("nan"), None),
        ("cy", "buy", FIRST, float("inf"), None),
        ("zoe", "buy", FIRST, 5.0, None),
    )
    found = user_outcomes(events, arms)
    assert found.columns == ["arm", "user_key", "opened", "clicked", "bought", "revenue"]
    assert rows(found.drop("user_key")) == [
        ("holdout", 0, 0, 1, 0.0),
        ("model", 1, 1, 1, 12.75),
        ("popular", 1, 0, 0, 0.0),
    ]
    assert "ana" not in str(found.collect())


def test_revenue_does_not_depend_on_the_order_of_the_events(spark, arms):
    paid = [("ana", "buy", FIRST, value, None) for value in (1 / 3, 1 / 7, 1e8, 2 / 3)]
    one = rows(user_outcomes(events_of(spark, *paid), arms))
    other = rows(user_outcomes(events_of(spark, *reversed(paid)).repartition(4), arms))
    assert one == other
    # 333,333 + 142,857 + 10^14 + 666,667 millionths
    assert one[0][-1] == 100000001.142857


def test_users_of_each_arm_and_those_with_each_outcome(spark, arms):
    events = events_of(
        spark,
        ("dee", "buy", FIRST, 3.0, None),
        ("ana", "buy", FIRST, 1.0, None),
        ("ana", "buy", FIRST, -1.0, None),
        ("bob", "click", FIRST, None, None),
    )
    names = ["clicked", "bought", "revenue"]
    found = build_outcome_counts(arms, user_outcomes(events, arms), outcomes=names)
    expected = [
        ("holdout", "bought", 1, 0),
        ("holdout", "clicked", 1, 0),
        ("holdout", "revenue", 1, 0),
        ("model", "bought", 2, 2),
        ("model", "clicked", 2, 0),
        ("model", "revenue", 2, 1),
        ("popular", "bought", 1, 0),
        ("popular", "clicked", 1, 1),
        ("popular", "revenue", 1, 0),
    ]
    assert found.columns == ["arm", "outcome", "num_users", "num_with"]
    assert rows(found) == expected
    shuffled = user_outcomes(events.orderBy("value").repartition(3, "type"), arms.repartition(5))
    assert rows(build_outcome_counts(arms, shuffled, outcomes=names)) == expected


def test_without_events_every_arm_has_its_users_and_without_users_there_is_no_arm(spark, arms):
    nothing, nobody = events_of(spark), arms.where("false")
    found = build_outcome_counts(arms, user_outcomes(nothing, arms), outcomes=["bought"])
    assert rows(found) == [
        ("holdout", "bought", 1, 0),
        ("model", "bought", 2, 0),
        ("popular", "bought", 1, 0),
    ]
    found = build_outcome_counts(nobody, user_outcomes(nothing, nobody), outcomes=["bought"])
    assert rows(found) == []
