from datetime import datetime, timezone

import pytest

from ncf_spark import schemas
from ncf_spark.campaign import pairs
from tests.conftest import at, rows

ENDS_AT = datetime(2026, 11, 24, tzinfo=timezone.utc)

HISTORY = [
    ("ana", "seen", at("2026-11-20"), False, False, None, False),
    ("ana", "bought", at("2026-11-20"), False, True, at("2026-11-20"), False),
    ("ana", "bought long ago", at("2025-01-01"), False, True, at("2025-01-01"), False),
    ("ana", "bought, unknown when", None, True, True, None, False),
    ("ana", "wanted", at("2026-11-20"), False, False, None, True),
    ("ana", "used up", at("2026-10-01"), False, True, at("2026-10-01"), False),
    ("ana", "in use", at("2026-11-20"), False, True, at("2026-11-20"), False),
]
ITEMS = [("used up", True), ("in use", True), ("seen", False)]
RULES = {
    **{"known": False, "bought": False, "bought_days": None, "consumable_days": 30},
    **{"wanted": False, "ends_at": ENDS_AT},
}


def blocked(spark, sent=None, order=1, **rules):
    found = pairs.build_blocked_pairs(
        spark.createDataFrame(HISTORY[::order], schemas.HISTORY),
        spark.createDataFrame(ITEMS[::order], "item_id string, is_consumable boolean"),
        sent,
        **{**RULES, **rules},
    )
    return {row.item_id: row.reason for row in found.collect()}


BOUGHT = ["bought", "bought long ago", "bought, unknown when", "in use"]


@pytest.mark.parametrize("order", [1, -1])
def test_each_rule_keeps_its_pairs_from_the_user(spark, order):
    assert blocked(spark, order=order) == {}
    assert blocked(spark, order=order, bought=True) == dict.fromkeys(BOUGHT, "bought")
    assert blocked(spark, order=order, wanted=True) == {"wanted": "wanted"}
    everything = dict.fromkeys(["seen", "wanted", *BOUGHT], "known")
    assert blocked(spark, order=order, known=True) == everything


def test_a_purchase_before_the_window_may_come_again_but_not_one_at_an_unknown_time(spark):
    found = blocked(spark, bought=True, bought_days=30)
    assert sorted(found) == ["bought", "bought, unknown when", "in use"]
    # The purchase of what is consumed lies in a longer window, and is used up all the same.
    assert "used up" not in blocked(spark, bought=True, bought_days=300)


def test_a_consumable_returns_after_its_days(spark):
    assert "used up" in blocked(spark, known=True, consumable_days=100)
    assert "used up" not in blocked(spark, known=True, consumable_days=53)


def test_what_was_sent_lately_is_not_sent_again(spark):
    log = [
        ("ana", "seen", None, at("2026-11-17 00:00")),
        ("ana", "new", None, at("2026-11-23 23:59")),
        ("ana", "new", None, at("2026-11-20")),
        ("ana", "old", None, at("2026-11-16 23:59")),
        ("ana", "later", None, at("2026-11-24 00:00")),
        ("ana", None, None, at("2026-11-20")),
        ("ana", "unknown", None, None),
    ]
    sent = pairs.build_sent(spark.createDataFrame(log, schemas.SEND_LOG), days=7, ends_at=ENDS_AT)
    assert rows(sent) == [("ana", "new"), ("ana", "seen")]
    assert blocked(spark, sent) == {"new": "sent", "seen": "sent"}


@pytest.mark.parametrize("order", [1, -1])
def test_items_for_other_countries_are_kept_from_scoring(spark, order):
    users = [("ana", "DE"), ("ben", " at "), ("cem", "FR"), ("dora", None)][::order]
    items = [
        (0, ["AT", "DE"], None),
        (1, ["FR"], None),
        (2, None, None),
        (3, ["FR"], "out_of_stock"),
        (None, ["FR"], None),
    ][::order]
    found = pairs.build_other_country_items(
        spark.createDataFrame(users, "user_id string, country string"),
        spark.createDataFrame(items, "item_index int, countries array<string>, reason string"),
    )
    assert rows(found) == [("ana", [1]), ("ben", [1]), ("cem", [0]), ("dora", [0, 1])]


def test_pairs_are_gathered_by_user(spark):
    given = [("ana", "tea", "bought"), ("ana", "tea", "sent"), ("ben", "rum", "known")]
    table = spark.createDataFrame(given, "user_id string, item_id string, reason string")
    found = {
        row.user_id: sorted(map(tuple, row.blocked))
        for row in pairs.build_blocked_items(table).collect()
    }
    assert found == {"ana": [("tea", "bought"), ("tea", "sent")], "ben": [("rum", "known")]}


@pytest.mark.parametrize(("known", "ana"), [(True, [0, 1, 2]), (False, [2])])
def test_scoring_leaves_out_what_a_user_never_gets(spark, known, ana):
    users = spark.createDataFrame([(0, [0, 1]), (1, [1])], "user_index int, seen array<int>")
    blocked_pairs = spark.createDataFrame(
        [
            ("ana", "ice", "bought"),
            ("ana", "ice", "sent"),
            ("ana", "pinned", "bought"),
            ("?", "tea", "known"),
        ],
        "user_id string, item_id string, reason string",
    )
    index = spark.createDataFrame([("ana", 0), ("ben", 1)], "user_id string, user_index int")
    items = spark.createDataFrame(
        [("tea", 0), ("rum", 1), ("ice", 2), ("pinned", None)], "item_id string, item_index int"
    )
    found = pairs.with_excluded(users, blocked_pairs, None, index, items, known=known)
    assert found.columns == ["user_index", "profile", "seen"]
    assert [
        (r.user_index, r.profile, sorted(r.seen)) for r in found.orderBy("user_index").collect()
    ] == [
        (0, [0, 1], ana),
        (1, [1], [1] if known else []),
    ]


def test_scoring_leaves_out_what_is_for_other_countries(spark):
    users = spark.createDataFrame([(0, [0]), (1, [1])], "user_index int, seen array<int>")
    none = spark.createDataFrame([], "user_id string, item_id string, reason string")
    other_country_items = spark.createDataFrame(
        [("ana", [5, 6])], "user_id string, other_country_items array<int>"
    )
    index = spark.createDataFrame([("ana", 0), ("ben", 1)], "user_id string, user_index int")
    items = spark.createDataFrame([("tea", 0)], "item_id string, item_index int")
    found = pairs.with_excluded(users, none, other_country_items, index, items, known=True)
    seen = {row.user_index: sorted(row.seen) for row in found.collect()}
    assert seen == {0: [0, 5, 6], 1: [1]}
