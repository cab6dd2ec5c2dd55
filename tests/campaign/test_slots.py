import pytest

from ncf_spark.campaign.slots import SLOT_INPUTS, SlotRules, build_gathered, with_slots

CANDIDATES = "user_id string, tier int, sort_key double, item_id string, score float, source string"
ITEMS = "item_id string, category string, brand string, countries array<string>"
USERS = (
    "user_id string, country string, blocked array<struct<item_id:string,reason:string>>, "
    "unavailable_items array<string>"
)
SHOP = [
    ("tea", "hot", "own", None),
    ("cocoa", "hot", "own", None),
    ("coffee", "hot", "other", None),
    ("ice", "cold", "own", ["DE", "NL"]),
    ("soap", None, None, None),
    ("salt", None, None, None),
]


def model(item, sort_key, user="ana"):
    return (user, 1, float(sort_key), item, 10.0 - sort_key, "model")


def best(item, sort_key, user="ana"):
    return (user, 4, float(sort_key), item, 1.0, "bestseller")


def choose(
    spark, candidates, order=1, country="DE", blocked=None, unavailable=None, shop=SHOP, **rules
):
    asked = SlotRules(**{"k": 3, **rules})
    gathered = build_gathered(
        spark.createDataFrame(candidates[::order], CANDIDATES),
        spark.createDataFrame(shop[::order], ITEMS),
        asked,
        by="user_id",
    )
    users = spark.createDataFrame(
        [("ana", country, blocked, unavailable), ("new", None, None, None)], USERS
    )
    joined = users.join(gathered, on="user_id", how="left")
    found = with_slots(joined, asked).drop(*SLOT_INPUTS)
    lists = {
        row.user_id: (
            [slot.item_id for slot in row.slots],
            [(one.item_id, one.reason) for one in row.rejected],
        )
        for row in found.collect()
    }
    assert lists["new"] == ([], [])
    return lists["ana"]


@pytest.mark.parametrize("order", [1, -1])
def test_slots_are_filled_tier_by_tier_and_each_item_stands_once(spark, order):
    candidates = [best("tea", 1), best("soap", 2), model("salt", 2), model("tea", 1)]
    assert choose(spark, candidates, order) == (["tea", "salt", "soap"], [])
    assert choose(spark, candidates, order, k=2) == (["tea", "salt"], [])


def test_without_candidates_the_list_is_empty(spark):
    assert choose(spark, []) == ([], [])


@pytest.mark.parametrize("count", [1, 4, 5, 6, 13])
def test_every_candidate_is_tried_in_its_order_until_the_slots_are_filled(spark, count):
    names = [f"i{n:02}" for n in range(count)]
    shop = [(name, None, None, None) for name in names]
    candidates = [model(name, n) for n, name in enumerate(names)]
    assert choose(spark, candidates, -1, shop=shop, k=count) == (names, [])
    assert choose(spark, candidates, -1, shop=shop, k=count + 1) == (names, [])
    barred = [(name, "sent") for name in names[:-1]]
    assert choose(spark, candidates, -1, shop=shop, blocked=barred) == ([names[-1]], barred)


def test_a_blocked_item_is_rejected_with_its_first_reason(spark):
    candidates = [model("tea", 1), model("soap", 2), best("tea", 1), best("salt", 2)]
    found = choose(spark, candidates, blocked=[("tea", "bought"), ("tea", "sent"), ("x", "sent")])
    assert found == (["soap", "salt"], [("tea", "bought"), ("tea", "bought")])


@pytest.mark.parametrize(
    ("country", "shown"),
    [("DE", True), (" nl", True), ("FR", False), ("", False), (None, False)],
)
def test_an_item_for_some_countries_is_shown_only_there(spark, country, shown):
    slots, rejected = choose(spark, [model("ice", 1), model("tea", 2)], country=country)
    assert slots == (["ice", "tea"] if shown else ["tea"])
    assert rejected == ([] if shown else [("ice", "country")])


def test_an_unavailable_item_is_rejected(spark):
    found = choose(spark, [model("tea", 1), model("soap", 2)], unavailable=["tea"])
    assert found == (["soap"], [("tea", "max_exposures")])


def test_a_minimum_score_is_the_models_alone(spark):
    found = choose(spark, [model("tea", 1), model("soap", 2), best("salt", 9)], min_score=8.5)
    assert found == (["tea", "salt"], [("soap", "min_score")])


def test_at_most_so_many_of_a_category_and_a_brand(spark):
    candidates = [model(item, n) for n, (item, *_) in enumerate(SHOP)]
    assert choose(spark, candidates, max_per_category=1) == (
        ["tea", "ice", "soap"],
        [("cocoa", "category"), ("coffee", "category")],
    )
    assert choose(spark, candidates, k=4, max_per_brand=1) == (
        ["tea", "coffee", "soap", "salt"],
        [("cocoa", "brand"), ("ice", "brand")],
    )


def test_the_last_slots_are_kept_for_other_categories(spark):
    hot = [model("tea", 1), model("cocoa", 2), model("coffee", 3)]
    assert choose(spark, [*hot, model("ice", 4)], min_categories=2) == (
        ["tea", "cocoa", "ice"],
        [("coffee", "min_categories")],
    )
    # Items without a category are each of their own.
    assert choose(spark, [*hot, best("soap", 1), best("salt", 2)], min_categories=3)[0] == [
        *["tea", "soap", "salt"]
    ]
