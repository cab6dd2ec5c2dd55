"""What a campaign says of rules and keys that do not do what they seem to."""

import re

import pytest

from ncf_spark.campaign.eligibility import warn_of_unmatched_rules
from ncf_spark.campaign.files.profiles import PROFILES
from ncf_spark.campaign.files.writing import count_changed
from tests.campaign.files.lists import ANA, BEN, campaign_lists

ITEMS = "item_id string, is_pinned boolean, reason string"


@pytest.mark.parametrize(
    ("deny", "pin", "expected"),
    [
        (["tea"], "price < 3", []),
        (["tea", "no", "non"], None, ["2 ids are of no item .*, e.g. \\['no', 'non'\\]"]),
        ([], "price < 3", []),
    ],
)
def test_denied_ids_that_no_item_has_are_said(spark, caplog, deny, pin, expected):
    items = spark.createDataFrame([("tea", False, "denied"), ("rum", True, None)], ITEMS)
    warn_of_unmatched_rules(items, deny, pin)
    assert_said(caplog, expected)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("tea", False, None)], ["lists.pin: no item is one"]),
        ([("tea", True, "out_of_stock"), ("rum", True, None)], ["pin: 1 of 2 items may not be"]),
        ([("rum", True, None), ("tea", False, "out_of_stock")], []),
    ],
)
def test_pins_that_show_nothing_are_said(spark, caplog, rows, expected):
    warn_of_unmatched_rules(spark.createDataFrame(rows, ITEMS), [], "price < 3")
    assert_said(caplog, expected)


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ("klaviyo", ["klaviyo: 1 recipients have a key that a spreadsheet would run"]),
        ("generic_jsonl", []),
    ],
)
def test_keys_with_an_apostrophe_are_said(spark, caplog, profile, expected):
    """The address of BEN begins with =."""
    count_changed(campaign_lists(spark, [ANA, BEN]), PROFILES[profile])
    assert_said(caplog, expected)


def assert_said(caplog, expected):
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == len(expected)
    for message, pattern in zip(said, expected, strict=True):
        assert re.search(pattern, message), message
