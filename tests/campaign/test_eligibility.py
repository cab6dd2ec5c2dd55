"""Warnings about rules that match nothing."""

import re

import pytest

from ncf_spark.campaign.eligibility import warn_of_unmatched_rules

TEA, RUM = ("tea", False, None), ("rum", True, None)


@pytest.mark.parametrize(
    ("rows", "deny", "pin", "expected"),
    [
        ([TEA, RUM], ["tea"], "price < 3", []),
        ([TEA, RUM], ["tea", "no", "non"], None, ["2 ids match no item .* \\['no', 'non'\\]"]),
        ([TEA], [], "price < 3", ["lists.pin: matches no item"]),
        ([("tea", True, "price"), RUM], [], "price < 3", ["pin: 1 of 2 items are not shown"]),
        ([("tea", False, "price"), RUM], [], "price < 3", []),
    ],
)
def test_rules_that_match_no_shown_item_give_a_warning(spark, caplog, rows, deny, pin, expected):
    items = spark.createDataFrame(rows, "item_id string, is_pinned boolean, reason string")
    warn_of_unmatched_rules(items, deny, pin)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == len(expected)
    for message, pattern in zip(messages, expected, strict=True):
        assert re.search(pattern, message), message
