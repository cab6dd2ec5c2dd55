import pytest

from ncf_spark.campaign.eligibility import build_consenting, build_eligible_items
from tests.conftest import rows

ACTIVITY = [("x", 0), ("y", 1), ("z", 2)]


@pytest.mark.parametrize(
    ("in_catalogue", "expected"), [(True, [(0,), (2,)]), (False, [(0,), (1,), (2,)])]
)
def test_items_stand_in_the_catalogue_where_there_is_one(spark, in_catalogue, expected):
    activity = spark.createDataFrame(ACTIVITY, "item_id string, item_index int")
    catalogue = spark.createDataFrame([("z",), ("z",), ("x",), ("other",)], "item_id string")
    found = build_eligible_items(activity, catalogue, in_catalogue=in_catalogue)
    assert (found.columns, rows(found)) == (["item_index"], expected)


def test_an_empty_catalogue_that_must_hold_the_items_leaves_none(spark):
    activity = spark.createDataFrame(ACTIVITY, "item_id string, item_index int")
    catalogue = spark.createDataFrame([], "item_id string")
    assert build_eligible_items(activity, catalogue, in_catalogue=True).collect() == []


RECIPIENTS = "user_id string, email string, country string, consent boolean"


@pytest.mark.parametrize("order", [1, -1])
def test_only_a_user_whose_every_row_consents_is_written_to(spark, order):
    recipients = [
        ("ana", "ana@x.example", "DE", True),
        ("ben", "ben@x.example", "DE", False),
        ("cem", "cem@x.example", "TR", None),
        ("dora", "dora@x.example", "GR", True),
        ("dora", "dora@x.example", "GR", False),
        ("eva", "eva@x.example", "FR", None),
        ("eva", "eva@x.example", "FR", True),
        ("finn", None, None, True),
        (None, "nobody@x.example", "DE", True),
    ][::order]
    consenting = build_consenting(spark.createDataFrame(recipients, RECIPIENTS))
    assert consenting.columns == ["user_id", "email", "country"]
    assert rows(consenting) == [("ana", "ana@x.example", "DE"), ("finn", None, None)]


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_addresses_one_is_taken_with_its_own_country(spark, order):
    recipients = [("ana", "a@x.example", "NL", True), ("ana", "b@x.example", "DE", True)][::order]
    consenting = build_consenting(spark.createDataFrame(recipients, RECIPIENTS))
    assert rows(consenting) == [("ana", "b@x.example", "DE")]


def test_no_recipients_are_nobody(spark):
    assert build_consenting(spark.createDataFrame([], RECIPIENTS)).collect() == []
