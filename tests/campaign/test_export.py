from datetime import date

import pytest
from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.campaign import export
from tests.conftest import rows

NIGHT = date(2026, 11, 23)
SLOTS = "slots array<struct<item_id:string,category:string,score:float,source:string>>"
DETAILS = "email string, locale string, country string, segment string, arm string"
LISTS = f"user_id string, {DETAILS}, {SLOTS}"
REJECTED = "array<struct<item_id:string,source:string,reason:string>>"
TEA, RUM, ICE = (
    ("tea", "hot", 2.5, "model"),
    ("rum", None, 1.5, "model"),
    ("ice", "hot", None, "pin"),
)
ITEMS = [
    ("tea", "Tea", "https://shop.example/tea", None, 2.5),
    ("rum", "Rum, 40 %", None, "https://shop.example/rum.png", None),
]


def lists(spark, order=1):
    given = [
        ("ana", "ana@x.example", "de", "DE", "vip", "model", [ICE, TEA]),
        ("ben", None, None, None, None, "popular", [RUM]),
    ]
    return spark.createDataFrame(given[::order], LISTS)


def filled(spark, order=1):
    items = spark.createDataFrame(
        ITEMS[::order], "item_id string, title string, url string, image_url string, price double"
    )
    found = export.build_campaign_lists(lists(spark, order), items)
    return schemas.conform(found, schemas.CAMPAIGN_LISTS, "lists")


ANA = ("autumn", NIGHT, "ana", "ana@x.example", "de", "DE", "vip", "model")
BEN = ("autumn", NIGHT, "ben", None, None, None, None, "popular")
ICE_CELLS = ("ice", None, None, None, None, None, "pin")  # not in the catalogue
TEA_CELLS = ("tea", "Tea", "https://shop.example/tea", None, 2.5, 2.5, "model")
RUM_CELLS = ("rum", "Rum, 40 %", None, "https://shop.example/rum.png", None, 1.5, "model")


@pytest.mark.parametrize("order", [1, -1])
def test_the_lists_have_the_slots_in_their_order_with_the_items_metadata(spark, order):
    found = {
        row[:-1]: [tuple(slot) for slot in row.slots] for row in filled(spark, order).collect()
    }
    assert found == {ANA[2:]: [ICE_CELLS, TEA_CELLS], BEN[2:]: [RUM_CELLS]}


def test_the_long_form_has_a_row_for_each_slot(spark):
    found = export.build_campaign_long(filled(spark), "autumn", NIGHT)
    assert rows(schemas.conform(found, schemas.CAMPAIGN_LONG, "campaign_long")) == [
        (*ANA, 1, *ICE_CELLS),
        (*ANA, 2, *TEA_CELLS),
        (*BEN, 1, *RUM_CELLS),
    ]


def test_the_wide_form_has_one_row_a_recipient_and_nulls_in_empty_slots(spark):
    wide = export.build_campaign(filled(spark), "autumn", NIGHT, k=2)
    assert rows(schemas.conform(wide, schemas.campaign_schema(2), "campaign")) == [
        (*ANA, *ICE_CELLS, *TEA_CELLS),
        (*BEN, *RUM_CELLS, *[None] * 7),
    ]


@pytest.mark.parametrize(
    ("slots", "min_items", "min_categories", "expected"),
    [
        ([TEA], 1, 1, True),
        ([TEA], 2, 1, False),
        ([TEA, ICE], 2, 2, False),
        ([TEA, RUM], 2, 2, True),
        ([RUM, RUM], 2, 2, True),  # no category is one of its own
        ([], 1, 1, False),
        (None, 1, 1, False),
    ],
)
def test_a_list_has_enough_items_and_categories(spark, slots, min_items, min_categories, expected):
    table = spark.createDataFrame([(slots,)], SLOTS)
    found = export.meets_minimum(min_items=min_items, min_categories=min_categories)
    assert table.select(found).first()[0] is expected


def test_every_recipient_stands_there_with_the_arm_or_the_reason(spark):
    users = [
        ("ana", "model", None),
        ("ben", "popular", None),
        ("cem", None, "no_consent"),
        ("dora", "holdout", None),
        ("eva", "holdout", None),
        ("finn", "model", None),
    ]
    filled = [("ana", [ICE, TEA]), ("ben", [RUM]), ("dora", [TEA, RUM]), ("eva", []), ("finn", [])]
    table = spark.createDataFrame(filled, f"user_id string, {SLOTS}")
    found = export.build_campaign_recipients(
        spark.createDataFrame(users, "user_id string, arm string, reason string"),
        table,
        export.meets_minimum(min_items=1, min_categories=1),
        "autumn",
        NIGHT,
    )
    found = schemas.conform(found, schemas.CAMPAIGN_RECIPIENTS, "campaign_recipients")
    assert rows(found.drop("campaign_id", "run_date")) == [
        ("ana", "model", None, 2),
        ("ben", "popular", None, 1),
        ("cem", None, "no_consent", 0),
        ("dora", "holdout", None, 0),
        ("eva", "holdout", "too_few_items", 0),
        ("finn", "model", "too_few_items", 0),
    ]


def test_the_report_counts_whatever_was_left_out_and_sent(spark):
    outcomes = [("ana", "model", None), ("ben", "model", None), ("cem", None, "no_consent")]
    rejected = [
        ([("x", "model", "bought"), ("y", "model", "brand")],),
        ([("x", "s", "bought")],),
        ([],),
    ]
    found = export.build_report(
        spark.createDataFrame(outcomes, "user_id string, arm string, reason string"),
        spark.createDataFrame([("x", "denied"), ("y", None)], "item_id string, reason string"),
        spark.createDataFrame(rejected, f"rejected {REJECTED}"),
        spark.range(3).select(F.lit("model").alias("source")),
        spark.createDataFrame([(["left"],), ([],), (["gone", "left"],)], "lists array<string>"),
    )
    assert rows(schemas.conform(found, schemas.CAMPAIGN_REPORT, "campaign_report")) == [
        ("arm", "model", 2),
        ("item", "denied", 1),
        ("list", "gone", 1),
        ("list", "left", 2),
        ("pair", "bought", 2),
        ("pair", "brand", 1),
        ("recipient", "no_consent", 1),
        ("slot", "model", 3),
    ]
