from datetime import date, datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ncf_spark.preparation import activity
from tests.conftest import at, rows

ENDS_AT = datetime(2026, 11, 24, tzinfo=timezone.utc)
PAIRS = (
    "user_index int, item_index int, num_events long, "
    "first_event_at timestamp, last_event_at timestamp, is_train boolean"
)


# --- counts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, -1])
def test_events_count_half_after_each_half_life(spark, order):
    pairs = [
        (0, 7, 4, at("2026-11-01"), at("2026-11-24"), True),  # 4
        (1, 7, 4, at("2026-10-01"), at("2026-11-14"), True),  # 4 / 2
        (2, 7, 4, at("2026-11-04"), at("2026-11-04"), True),  # 4 / 4
        (0, 8, 3, None, None, True),
    ][::order]
    counts = activity.build_item_counts(spark.createDataFrame(pairs, PAIRS), ENDS_AT, 10.0)
    assert counts.columns == [
        *["item_index", "num_users", "num_events", "recent_events", "first_seen_at"]
    ]
    assert rows(counts) == [(7, 3, 12, 7.0, at("2026-10-01")), (8, 1, 3, 3.0, None)]


def test_what_is_held_out_does_not_count(spark):
    pairs = [
        (0, 7, 4, at("2026-11-24"), at("2026-11-24"), True),
        (1, 7, 5, at("2026-11-20"), at("2026-11-24"), False),
        (1, 8, 3, at("2026-11-22"), at("2026-11-24"), False),
    ]
    counts = activity.build_item_counts(spark.createDataFrame(pairs, PAIRS), ENDS_AT, 10.0)
    assert rows(counts) == [(7, 1, 4, 4.0, at("2026-11-20")), (8, 0, 0, 0.0, at("2026-11-22"))]


def test_no_pairs_are_no_items(spark):
    empty = spark.createDataFrame([], PAIRS)
    items = activity.build_item_counts(empty, ENDS_AT, 10.0)
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
        date(2026, 11, 23),
        new_item_days,
    )
    return [row.is_new for row in items.collect()]


def test_items_are_new_for_the_configured_days_and_without_times_never(spark):
    days = ["2026-11-16 23:59:59", "2026-11-17 00:00:00", "2026-11-23 23:59:59", None]
    assert new(spark, days, 7) == [False, True, True, False]
    assert new(spark, days, 0) == [False, False, False, False]


# --- distributions ------------------------------------------------------------------------------

ITEMS = "item_index int, activity double, activity_by_counts double, is_new boolean, num_users long"
SHOP = [
    (0, 0.0, 0.8, False, 1),
    (1, 0.5, 1.0, False, 2),
    (2, 1.0, 0.0, False, 5),
    (3, 0.0, 0.0, True, 2),
]


def drawn(spark, items, distribution) -> list[float]:
    table = activity.with_distributions(spark.createDataFrame(items, ITEMS))
    return [row[distribution] for row in table.orderBy("item_index").collect()]


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        ("uniform", [0.25, 0.25, 0.25, 0.25]),
        ("popularity", [0.1, 0.2, 0.5, 0.2]),
        ("low_activity", [2 / 3, 1 / 3, 0.0, 0.0]),
        ("low_activity_by_counts", [1 / 6, 0.0, 5 / 6, 0.0]),
    ],
)
def test_each_distribution_draws_in_its_proportion(spark, distribution, expected, order):
    assert drawn(spark, SHOP[::order], distribution) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("items", "distribution"),
    [
        ([(0, 0.0, 0.0, True, 1), (1, 0.9, 0.9, True, 4)], "low_activity"),
        ([(0, 1.0, 0.0, False, 1), (1, 1.0, 0.5, False, 4)], "low_activity"),
        ([(0, 0.0, 1.0, False, 1), (1, 0.5, 1.0, False, 4)], "low_activity_by_counts"),
        ([(0, 0.0, 1.0, False, 0), (1, 0.5, 1.0, False, 0)], "popularity"),
    ],
)
def test_where_no_item_has_a_weight_the_distribution_is_uniform(spark, items, distribution):
    assert drawn(spark, items, distribution) == [0.5, 0.5]


FEATURE = st.one_of(st.none(), st.floats(0, 1e9, allow_subnormal=False))
ITEM = st.tuples(FEATURE, FEATURE, st.booleans(), st.integers(0, 10**6))


@settings(max_examples=5)
@given(shop=st.lists(ITEM, min_size=1, max_size=20))
def test_activity_is_a_share_and_distributions_sum_to_1(spark, shop):
    items = spark.createDataFrame(
        [(number, *item) for number, item in enumerate(shop)],
        "item_index int, followers double, posts double, is_new boolean, num_users long",
    )
    table = (
        items.transform(activity.with_activity, {"followers": 1.0, "posts": 0.3})
        .transform(activity.with_activity, {"num_users": 1.0}, into="activity_by_counts")
        .transform(activity.with_distributions)
    )
    found = table.collect()
    assert len(found) == len(shop)
    assert all(0 <= row.activity <= 1 and 0 <= row.activity_by_counts <= 1 for row in found)
    for name in ("low_activity", "low_activity_by_counts", "uniform", "popularity"):
        assert sum(row[name] for row in found) == pytest.approx(1)
        assert min(row[name] for row in found) >= 0
    inactive = sum(1 - r.activity for r in found if not r.is_new)
    if inactive > 1e-6:
        for row in found:
            expected = 0.0 if row.is_new else (1 - row.activity) / inactive
            assert row.low_activity == pytest.approx(expected, abs=1e-9)
