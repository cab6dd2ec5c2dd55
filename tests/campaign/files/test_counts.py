from ncf_spark.campaign.files.counts import (
    build_changed_counts,
    build_list_counts,
    build_unfit_items,
)
from ncf_spark.campaign.files.profiles import PROFILES
from tests.campaign.files.lists import ANA, BEN, campaign_lists
from tests.conftest import rows

LONG = "é" * 127  # 254 bytes
ITEMS = [
    ("=tea", "=1+1", "http://x", None, "+cat"),
    ("rum", LONG + "e", "http://x", None, None),
    ("ice", LONG + "é", None, "http://" + LONG, None),
    ("gin", "=" + LONG, LONG + "é", LONG + "é", None),
    ("-fog", None, None, None, None),
]


def items(spark, order=1, made=ITEMS):
    columns = "item_id string, title string, url string, image_url string, category string"
    return spark.createDataFrame(made[::order], columns)


def test_items_are_counted_by_column(spark):
    found = build_changed_counts(items(spark), PROFILES["mailchimp"])
    # The apostrophe counts too: with it =ééé… has a byte too many.
    assert rows(found) == [("image_url", 0, 0), ("item_id", 2, 0), ("title", 2, 2), ("url", 0, 0)]


def test_recipients_are_counted_by_the_columns_that_the_profile_writes(spark):
    lists = campaign_lists(spark, [ANA, BEN])
    found = {name: rows(build_changed_counts(lists, profile)) for name, profile in PROFILES.items()}
    assert found["klaviyo"] == [("arm", 0, 0), ("email", 1, 0)]
    assert found["braze_csv"] == [("arm", 0, 0), ("user_id", 1, 0)]
    assert found["generic_csv"] == [
        *[("arm", 0, 0), ("country", 0, 0), ("email", 1, 0), ("locale", 0, 0)],
        *[("segment", 0, 0), ("user_id", 1, 0)],
    ]
    assert found["generic_jsonl"] == [(name, 0, 0) for name, *_ in found["generic_csv"]]


def test_the_cells_of_slots_are_counted_with_those_of_recipients(spark):
    formula = ("+tea", "=1+1", None, None, None, None, "model")
    long = ("rum", LONG + "é", None, None, None, None, "model")
    lists = campaign_lists(spark, [(*BEN[:6], [formula, long]), (*ANA[:6], [formula])])
    changed = {
        name: rows(build_list_counts(lists, PROFILES[name]).where("num_escaped + num_truncated > 0"))
        for name in ("mailchimp", "klaviyo", "generic_jsonl")
    }
    assert changed == {
        "mailchimp": [("email", 1, 0), ("item_id", 2, 0), ("title", 2, 1)],
        "klaviyo": [("email", 1, 0)],
        "generic_jsonl": [],
    }


def test_within_an_array_nothing_is_guarded(spark):
    found = build_changed_counts(items(spark), PROFILES["klaviyo"])
    assert rows(found) == [(name, 0, 0) for name in ("image_url", "item_id", "title", "url")]


def test_without_rows_all_counts_are_zero(spark):
    found = build_changed_counts(items(spark, made=[]).limit(0), PROFILES["mailchimp"])
    assert {tuple(row)[1:] for row in found.collect()} == {(0, 0)}


def test_items_whose_names_are_too_long_are_told(spark):
    for order in (1, -1):
        found = build_unfit_items(items(spark, order), PROFILES["mailchimp"])
        assert rows(found) == [("gin", "image_url"), ("gin", "url"), ("ice", "image_url")]
    assert rows(build_unfit_items(items(spark), PROFILES["braze_csv"])) == []


def test_items_without_addresses_are_judged_by_their_ids(spark):
    table = spark.createDataFrame(
        [("a" * 255,), ("a" * 256,), ("-" + "a" * 254 + "b",)], "item_id string"
    )
    assert [
        len(row.item_id) for row in build_unfit_items(table, PROFILES["mailchimp"]).collect()
    ] == [256, 256]
