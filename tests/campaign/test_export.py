from datetime import date

import pytest

from ncf_spark import schemas
from ncf_spark.campaign.export import build_campaign, build_campaign_long
from tests.conftest import rows

NIGHT = date(2026, 11, 23)
TOPK = [
    (0, 1, 12, 2.5, "model"),
    (0, 2, 10, 1.5, "model"),
    (0, 3, 11, 0.5, "model"),
    (1, 1, 11, 9.0, "model"),
    (2, 1, 10, 1.0, "model"),  # has not consented
    (2, 2, 11, 0.0, "model"),
]
CATALOGUE = [
    ("tea", "Tea", "hot", 2.5, "https://shop.example/tea", None),
    ("rum", "Rum, 40 %", None, None, None, None),
]


def build(spark, order=1, recipients=None, **settings):
    if recipients is None:
        recipients = [
            ("ana", "ana@x.example", "DE"),
            ("ben", None, None),
            ("zoe", "z@x.example", "FR"),
        ]
    users, items = [("ana", 0), ("ben", 1), ("cem", 2)], [("tea", 10), ("rum", 11), ("ice", 12)]
    return build_campaign_long(
        spark.createDataFrame(TOPK[::order], schemas.USER_TOPK),
        spark.createDataFrame(users[::order], schemas.USER_INDEX),
        spark.createDataFrame(items[::order], schemas.ITEM_INDEX),
        spark.createDataFrame(CATALOGUE[::order], schemas.CATALOGUE),
        spark.createDataFrame(recipients[::order], "user_id string, email string, country string"),
        **{"campaign_id": "autumn", "run_date": NIGHT, "k": 2, "min_items": 1, **settings},
    )


ANA = ("autumn", NIGHT, "ana", "ana@x.example", "DE", "model")
BEN = ("autumn", NIGHT, "ben", None, None, "model")
ICE_1 = ("ice", None, None, None)  # not in the catalogue
TEA_2 = ("tea", "Tea", 2.5, "https://shop.example/tea")
RUM = ("rum", "Rum, 40 %", None, None)


@pytest.mark.parametrize("order", [1, -1])
def test_each_recipient_gets_the_first_k_with_their_metadata(spark, order):
    table = build(spark, order)
    assert table.columns == schemas.CAMPAIGN_LONG.names
    assert rows(table) == [
        (*ANA, 1, *ICE_1, 2.5, "model"),
        (*ANA, 2, *TEA_2, 1.5, "model"),
        (*BEN, 1, *RUM, 9.0, "model"),
    ]


def test_recipients_with_too_few_recommendations_get_no_row(spark):
    assert {row.user_id for row in build(spark, min_items=2).collect()} == {"ana"}
    # Of ana's three only k count.
    assert build(spark, k=2, min_items=3).collect() == []


def test_without_recipients_nobody_gets_a_row(spark):
    long = build(spark, recipients=[])
    assert long.collect() == []
    assert build_campaign(long, k=2).collect() == []


@pytest.mark.parametrize("order", [1, -1])
def test_the_wide_form_has_one_row_a_recipient_and_nulls_in_empty_slots(spark, order):
    long = spark.createDataFrame(build(spark).collect()[::order], schemas.CAMPAIGN_LONG)
    wide = build_campaign(long, k=2)
    assert wide.columns == schemas.campaign_schema(2).names
    assert rows(wide) == [
        (*ANA, *ICE_1, 2.5, "model", *TEA_2, 1.5, "model"),
        (*BEN, *RUM, 9.0, "model", *[None] * 6),
    ]
