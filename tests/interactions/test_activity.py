from datetime import date, datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ncf_spark.interactions import activity
from tests.conftest import at, rows

ENDS_AT = datetime(2026, 11, 24, tzinfo=timezone.utc)
PAIRS = (
    "user_id string, item_id string, num_events long, "
    "first_event_at timestamp, last_event_at timestamp"
)


# --- counts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, -1])
def test_events_count_half_after_each_half_life(spark, order):
    pairs = [
        ("a", "x", 4, at("2026-11-01"), at("2026-11-24")),  # 4
        ("b", "x", 4, at("2026-10-01"), at("2026-11-14")),  # 4 / 2
        ("c", "x", 4, at("2026-11-04"), at("2026-11-04")),  # 4 / 4
        ("a", "y", 3, None, None),
    ][::order]
    counts = activity.build_item_counts(
        spark.createDataFrame(pairs, PAIRS), ends_at=ENDS_AT, half_life_days=10.0
    )
    assert counts.columns == [
        *["item_id", "num_users", "num_events", "recent_events", "first_seen_at"]
    ]
    assert rows(counts) == [("x", 3, 12, 7.0, at("2026-10-01")), ("y", 1, 3, 3.0, None)]


def test_no_pairs_are_no_items(spark):
    empty = spark.createDataFrame([], PAIRS)
    items = activity.build_item_counts(empty, ends_at=ENDS_AT, half_life_days=10.0)
    assert activity.with_activity(items, {"num_users": 1.0}).collect() == []


# --- activity -----------------------------------------------------------------------------------


def scored(spark, items, features) -> dict[str, float]:
    table = spark.createDataFrame(items, "item_id string, followers double, posts double")
    return {row.item_id: row.activity for row in activity.with_activity(table, features).collect()}


@pytest.mark.parametrize("order", [1, -1])
def test_activity_is_the_log_scaled_to_0_and_1(spark, order):
    # log 1, log 4 and log 16: none, half and all of the way.
    items = [("x", 0.0, 9.0), ("y", 3.0, 9.0), ("z", 15.0, 9.0)][::order]
    found = scored(spark, items, {"followers": 2.0})
    assert found == {"x": 0.0, "y": pytest.approx(0.5), "z": 1.0}


def test_features_count_by_their_weights_and_an_equal_one_counts_half(spark):
    items = [("x", 0.0, 7.0), ("y", 15.0, 7.0)]
    found = scored(spark, items, {"followers": 3.0, "posts": 1.0})
    assert found == {"x": pytest.approx(0.125), "y": pytest.approx(0.875)}


def test_missing_and_negative_features_count_as_0(spark):
    found = scored(spark, [("x", None, 0.0), ("y", -5.0, 0.0), ("z", 1.0, 0.0)], {"followers": 1})
    assert found == {"x": 0.0, "y": 0.0, "z": 1.0}


def test_a_single_item_is_half_active(spark):
    assert scored(spark, [("x", 3.0, 4.0)], {"followers": 1.0, "posts": 1.0}) == {"x": 0.5}


# --- new items ----------------------------------------------------------------------------------


def new(spark, days: list[str | None], new_item_days: int) -> list[bool]:
    seen = [(None if day is None else at(day),) for day in days]
    items = activity.with_is_new(
        spark.createDataFrame(seen, "first_seen_at timestamp"),
        run_date=date(2026, 11, 23),
        new_item_days=new_item_days,
    )
    return [row.is_new for row in items.collect()]


def test_items_are_new_for_the_configured_days_and_without_times_never(spark):
    days = ["2026-11-16 23:59:59", "2026-11-17 00:00:00", "2026-11-23 23:59:59", None]
    assert new(spark, days, 7) == [False, True, True, False]
    assert new(spark, days, 0) == [False, False, False, False]


# --- probabilities ------------------------------------------------------------------------------

ITEMS = "item_id string, activity double, is_new boolean, num_users long"
SHOP = [("x", 0.0, False, 1), ("y", 0.5, False, 2), ("z", 1.0, False, 5), ("n", 0.0, True, 2)]


def drawn(spark, items, **weights) -> dict[str, float]:
    mixture = {"low_activity": 0.0, "uniform": 0.0, "popularity": 0.0, **weights}
    table = activity.with_negative_probability(spark.createDataFrame(items, ITEMS), **mixture)
    return {row.item_id: row.negative_probability for row in table.collect()}


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"uniform": 0.8}, {"x": 0.25, "y": 0.25, "z": 0.25, "n": 0.25}),
        ({"popularity": 3.0}, {"x": 0.1, "y": 0.2, "z": 0.5, "n": 0.2}),
        ({"low_activity": 1.0}, {"x": 2 / 3, "y": 1 / 3, "z": 0.0, "n": 0.0}),
        # 1/4 of the low-activity part, 3/4 of the uniform one
        ({"low_activity": 1, "uniform": 3}, {"x": 17 / 48, "y": 13 / 48, "z": 9 / 48, "n": 9 / 48}),
    ],
)
def test_each_part_of_the_mixture_draws_in_its_proportion(spark, weights, expected):
    assert drawn(spark, SHOP, **weights) == pytest.approx(expected)
    assert drawn(spark, SHOP[::-1], **weights) == drawn(spark, SHOP, **weights)


@pytest.mark.parametrize(
    "items",
    [[("x", 0.0, True, 1), ("y", 0.9, True, 4)], [("x", 1.0, False, 1), ("y", 1.0, False, 4)]],
)
def test_where_all_are_new_or_fully_active_the_low_activity_part_is_uniform(spark, items):
    assert drawn(spark, items, low_activity=1.0) == {"x": 0.5, "y": 0.5}


FEATURE = st.one_of(st.none(), st.floats(0, 1e9, allow_subnormal=False))
ITEM = st.tuples(FEATURE, FEATURE, st.booleans(), st.integers(1, 10**6))


@settings(max_examples=5)
@given(
    shop=st.lists(ITEM, min_size=1, max_size=20),
    weights=st.tuples(st.floats(0.01, 9), st.floats(0, 9), st.floats(0, 9)),
)
def test_activity_is_a_share_and_probabilities_sum_to_1(spark, shop, weights):
    items = spark.createDataFrame(
        [(str(number), *item) for number, item in enumerate(shop)],
        "item_id string, followers double, posts double, is_new boolean, num_users long",
    )
    low_activity, uniform, popularity = weights
    table = items.transform(activity.with_activity, {"followers": 1.0, "posts": 0.3}).transform(
        activity.with_negative_probability,
        low_activity=low_activity,
        uniform=uniform,
        popularity=popularity,
    )
    found = table.collect()
    assert len(found) == len(shop)
    assert all(0 <= row.activity <= 1 for row in found)
    assert sum(row.negative_probability for row in found) == pytest.approx(1)
    users, inactive = (
        sum(r.num_users for r in found),
        sum(1 - r.activity for r in found if not r.is_new),
    )
    if inactive > 1e-6:
        for row in found:  # new items have only the other two parts
            low = 0.0 if row.is_new else (1 - row.activity) / inactive
            parts = low_activity * low + uniform / len(shop) + popularity * row.num_users / users
            assert row.negative_probability == pytest.approx(parts / sum(weights), abs=1e-9)
