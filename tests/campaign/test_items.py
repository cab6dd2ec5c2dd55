import pytest

from ncf_spark import schemas
from ncf_spark.campaign.items import build_campaign_items, build_eligible_items
from tests.conftest import rows

ACTIVITY = [("tea", 0), ("rum", 1), ("ice", 2)]


def item(item_id, title="T", price=5.0, in_stock=None, is_active=None, brand=None, url="u"):
    return (item_id, title, "c", price, url, None, brand, in_stock, is_active, None)


def build(spark, catalogue, order=1, **settings):
    defaults = {
        **{"in_catalogue": True, "required": [], "deny": [], "min_price": None, "max_price": None},
        **{"where": None, "pin": None, "boost": None, "consumable": None, "max_bytes": None},
    }
    found = build_campaign_items(
        spark.createDataFrame(ACTIVITY[::order], "item_id string, item_index int"),
        spark.createDataFrame(catalogue[::order], schemas.CATALOGUE),
        **{**defaults, **settings},
    )
    return schemas.conform(found, schemas.CAMPAIGN_ITEMS, "campaign_items")


def reasons_of(found):
    return {row.item_id: row.reason for row in found.collect()}


@pytest.mark.parametrize("order", [1, -1])
def test_items_stand_in_the_catalogue_where_there_is_one(spark, order):
    catalogue = [item("tea"), item("ice"), item("new")]
    assert reasons_of(build(spark, catalogue, order)) == {
        **{"tea": None, "ice": None},
        **{"rum": "not_in_catalogue", "new": "no_events"},
    }
    without = build(spark, [], in_catalogue=False)
    assert reasons_of(without) == {"tea": None, "rum": None, "ice": None}
    assert rows(build_eligible_items(without)) == [(0,), (1,), (2,)]


@pytest.mark.parametrize(
    ("change", "settings", "reason"),
    [
        ({"in_stock": False}, {}, "out_of_stock"),
        ({"in_stock": True}, {}, None),
        ({"is_active": False}, {}, "not_active"),
        ({"is_active": True}, {}, None),
        ({"title": None}, {"required": ["url", "title"]}, "incomplete"),
        ({"title": "  "}, {"required": ["title"]}, "incomplete"),
        ({"title": None}, {"required": ["url"]}, None),
        ({}, {"required": ["image_url"]}, "incomplete"),
        ({"url": "u" * 256}, {"max_bytes": 255}, "too_long"),
        ({"url": "u" * 255}, {"max_bytes": 255}, None),
        ({"url": "ü" * 128}, {"max_bytes": 255}, "too_long"),
        ({"url": None}, {"max_bytes": 255}, None),
        ({}, {"deny": ["rum", "tea"]}, "denied"),
        ({"price": 4.99}, {"min_price": 5.0}, "price"),
        ({"price": 5.0}, {"min_price": 5.0, "max_price": 5.0}, None),
        ({"price": 5.01}, {"max_price": 5.0}, "price"),
        ({"price": None}, {"max_price": 5.0}, "price"),
        ({"price": None}, {}, None),
        ({"brand": "own"}, {"where": "brand = 'own'"}, None),
        ({"brand": None}, {"where": "brand = 'own'"}, "where"),
        ({"in_stock": False, "title": None}, {"required": ["title"]}, "out_of_stock"),
    ],
)
def test_each_rule_takes_its_items_out(spark, change, settings, reason):
    found = build(spark, [item("tea", **change), item("ice")], **settings)
    assert reasons_of(found)["tea"] == reason
    assert ((0,) in rows(build_eligible_items(found))) == (reason is None)


def test_a_pinned_item_needs_no_events_but_keeps_every_other_rule(spark):
    catalogue = [item("new", brand="own"), item("gone", brand="own", in_stock=False)]
    found = build(spark, catalogue, pin="brand = 'own'")
    assert reasons_of(found)["new"] is None
    assert reasons_of(found)["gone"] == "out_of_stock"
    # It has no number to be scored by.
    assert rows(build_eligible_items(found.where("item_id = 'new'"))) == []


def test_expressions_that_are_null_pin_nothing_and_add_nothing(spark):
    found = build(
        spark,
        [item("tea", brand=None), item("ice", brand="own")],
        pin="brand = 'own'",
        boost="case when brand = 'own' then 2 end",
        consumable="brand = 'own'",
    )
    chosen = found.where("item_id in ('tea', 'ice')")
    assert rows(chosen.select("item_id", "is_pinned", "is_consumable", "boost")) == [
        ("ice", True, True, 2.0),
        ("tea", False, False, 0.0),
    ]


def test_titles_are_on_one_line(spark):
    found = build(spark, [item("tea", title=" Green\n tea\t"), item("ice", title="\r\n")])
    titles = {row.item_id: row.title for row in found.collect()}
    assert (titles["tea"], titles["ice"]) == ("Green tea", None)
