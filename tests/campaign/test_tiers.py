from datetime import datetime, timezone

import pytest
from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.campaign import slots, tiers
from tests.conftest import at, rows

ENDS_AT = datetime(2026, 11, 24, tzinfo=timezone.utc)
ITEMS = "item_id string, item_index int, is_pinned boolean, boost double, reason string"
SHOP = [
    ("tea", 0, False, 0.0, None),
    ("rum", 1, False, 0.0, None),
    ("ice", 2, False, 5.0, None),
    ("gone", 3, True, 0.0, "out_of_stock"),
    ("new", None, True, 0.0, None),
    ("novel", None, True, 0.0, None),
]


def shop(spark, order=1):
    return spark.createDataFrame(SHOP[::order], ITEMS)


@pytest.mark.parametrize("order", [1, -1])
def test_pinned_items_are_everyones_the_first_by_their_ids(spark, order):
    found = tiers.build_pinned(shop(spark, order), k=1)
    assert rows(found) == [(None, tiers.PIN, 0.0, "new", None, "pin")]
    assert tiers.build_pinned(shop(spark), k=9).count() == 2


@pytest.mark.parametrize("order", [1, -1])
def test_the_models_list_is_ordered_by_score_and_boost(spark, order):
    topk = [(0, 1, 0, 9.0, "model"), (0, 2, 1, 8.0, "model"), (0, 3, 2, 5.0, "model")]
    topk += [(0, 4, 3, 4.0, "model"), (7, 1, 0, 1.0, "model")]
    found = tiers.build_from_model(
        spark.createDataFrame(topk[::order], schemas.USER_TOPK), shop(spark, order)
    )
    ordered = found.orderBy("sort_key").select("user_index", "tier", "item_id", "score", "source")
    assert [tuple(row) for row in ordered.collect()] == [
        (0, tiers.MODEL, "ice", 5.0, "model"),
        (0, tiers.MODEL, "tea", 9.0, "model"),
        (0, tiers.MODEL, "rum", 8.0, "model"),
        (7, tiers.MODEL, "tea", 1.0, "model"),
    ]


def bought(user, item, when="2026-11-20", is_bought=True):
    moment = at(when) if when else None
    return (user, item, moment, when is None, is_bought, moment if is_bought else None, False)


@pytest.mark.parametrize("order", [1, -1])
def test_similar_items_are_the_neighbours_of_the_latest_purchases(spark, order):
    history = [
        bought("ana", "tea", "2026-11-20"),
        bought("ana", "rum", "2026-11-10"),
        bought("ana", "ice", "2026-11-01"),  # the third last
        bought("ben", "ice", None),
        bought("cem", "tea", is_bought=False),
        bought("dora", "tea"),  # is not asked for
    ]
    of_vectors, of_buyers = ("embedding", None), ("co_purchase", 3)
    near = [
        (item, method, rank, other, score, support)
        for (method, support), found in {
            of_vectors: [
                (0, 1, 1, 0.5),
                (0, 2, 2, 0.4),
                (1, 1, 2, 0.9),
                (2, 1, 0, 0.8),
                (2, 2, 3, 0.7),
            ],
            of_buyers: [(0, 1, 2, 0.1), (2, 1, 1, 0.2)],
        }.items()
        for item, rank, other, score in found
    ]
    users = [("ana",), ("ben",), ("cem",)]
    found = tiers.build_similar(
        spark.createDataFrame(users[::order], "user_id string"),
        spark.createDataFrame(history[::order], schemas.HISTORY),
        spark.createDataFrame(near[::order], schemas.ITEM_TOPK),
        shop(spark, order),
        last=2,
    )
    ordered = found.orderBy("user_id", "tier", "sort_key").collect()
    assert [(r.user_id, r.item_id, round(r.score, 3), r.source) for r in ordered] == [
        ("ana", "ice", 0.1, "bought_together"),
        ("ana", "ice", 0.9, "similar"),  # by tea it would be 0.4
        ("ana", "rum", 0.5, "similar"),
        ("ben", "rum", 0.2, "bought_together"),
        ("ben", "tea", 0.8, "similar"),
    ]


HISTORY = [
    *[bought(user, "tea") for user in ("a", "b", "c")],
    *[bought(user, "rum") for user in ("d", "e")],
    *[bought(user, "ice", "2026-01-01") for user in ("a", "b", "c", "d")],
    bought("a", "new"),
    bought("b", "gone"),
    bought("f", "rum", is_bought=False),
]
GROUPS = [("a", "DE"), ("b", "DE"), ("d", "NL"), ("e", None)]


def best_sellers(spark, order=1, **settings):
    found = tiers.build_best_sellers(
        spark.createDataFrame(HISTORY[::order], schemas.HISTORY),
        spark.createDataFrame(GROUPS[::order], "user_id string, group string"),
        shop(spark, order),
        **{"depth": 9, "days": None, "ends_at": ENDS_AT, **settings},
    )
    assert found.columns == ["group", "rank", "item_id", "num_buyers"]
    return found


@pytest.mark.parametrize("order", [1, -1])
def test_best_sellers_are_counted_by_group_and_for_everyone(spark, order):
    assert rows(best_sellers(spark, order)) == [
        (None, 1, "ice", 4),
        (None, 2, "tea", 3),
        (None, 3, "rum", 2),
        (None, 4, "new", 1),
        ("DE", 1, "ice", 2),
        ("DE", 2, "tea", 2),
        ("DE", 3, "new", 1),
        ("NL", 1, "ice", 1),
        ("NL", 2, "rum", 1),
    ]


def test_best_sellers_of_some_days_and_of_some_depth(spark):
    assert rows(best_sellers(spark, days=30, depth=1)) == [
        (None, 1, "tea", 3),
        ("DE", 1, "tea", 2),
        ("NL", 1, "rum", 1),
    ]


def test_best_sellers_are_candidates_of_their_group(spark):
    found = tiers.build_best_candidates(best_sellers(spark, depth=2))
    assert rows(found) == [
        (None, tiers.BEST_SELLERS, 1.0, "ice", 4.0, "bestseller"),
        (None, tiers.BEST_SELLERS, 2.0, "tea", 3.0, "bestseller"),
        ("DE", tiers.GROUP_BEST_SELLERS, 1.0, "ice", 2.0, "bestseller_here"),
        ("DE", tiers.GROUP_BEST_SELLERS, 2.0, "tea", 2.0, "bestseller_here"),
        ("NL", tiers.GROUP_BEST_SELLERS, 1.0, "ice", 1.0, "bestseller_here"),
        ("NL", tiers.GROUP_BEST_SELLERS, 2.0, "rum", 1.0, "bestseller_here"),
    ]


def test_a_user_gets_those_of_the_own_group_first(spark):
    users = spark.createDataFrame(
        [("x", "NL"), ("y", None), ("z", "FR"), ("excluded", "NL")], "user_id string, group string"
    )
    found = filled(spark, users, best_sellers(spark, depth=7), F.col("user_id") != "excluded")
    here, everywhere = "bestseller_here", "bestseller"
    of_all = [(item, everywhere) for item in ("ice", "tea", "rum", "new")]
    assert tried(found) == {
        "x": [("ice", here), ("rum", here), *of_all],
        "y": of_all,
        "z": of_all,
        "excluded": [],
    }


def tried(users):
    """(item_id, source) of each user's candidates, one after the other."""
    return {
        row.user_id: [(one.item_id, one.source) for some in row.candidates for one in some]
        for row in users.collect()
    }


def test_nobody_bought_anything(spark):
    empty = spark.createDataFrame([], schemas.HISTORY)
    users = spark.createDataFrame(GROUPS, "user_id string, group string")
    best = tiers.build_best_sellers(empty, users, shop(spark), depth=9, days=None, ends_at=ENDS_AT)
    assert best.collect() == []
    assert tried(filled(spark, users, best)) == {name: [] for name, _ in GROUPS}


def filled(spark, users, best, where=None):
    """`users` with the best-sellers of their group and everyone's as their only candidates."""
    facts = shop(spark).selectExpr(
        "item_id", "'c' as category", "'b' as brand", "cast(null as array<string>) as countries"
    )
    lists = slots.build_gathered(
        tiers.build_best_candidates(best), facts, slots.SlotRules(3), by="group"
    )
    here, everywhere = lists.where("group is not null"), lists.where("group is null").drop("group")
    first = slots.with_candidates(users, here, by="group", where=where)
    return slots.with_candidates(first, everywhere, by=None, where=where)
