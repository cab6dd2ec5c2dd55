"""What stands in a step's record, and how others read it."""

import pytest

from ncf_spark.errors import DataError
from ncf_spark.schemas.results import ItemLists, counts_of, find_result, read_result

RECORD = {"step": "similar_items", "result": {"items_with_similar_ones": 7}, "notes": {}}


def test_a_result_is_read_as_it_was_written():
    assert read_result(RECORD, ItemLists) == ItemLists(items_with_similar_ones=7)


@pytest.mark.parametrize("record", [None, {}, {"step": "similar_items", "notes": {"old": 1}}])
def test_a_record_of_an_older_version_has_no_result(record):
    assert find_result(record, ItemLists) is None
    with pytest.raises(DataError, match=r"older version of ncf_spark ran it\. Run it again with"):
        read_result(record, ItemLists)


def test_what_is_counted_is_named_and_everything_else_left_out():
    result = {"input": "s3a://shop", "events": {"raw": 3, "dropped": {"no_user": 1, "no_time": 0}}}
    others = {"churn": 0.5, "is_large": True, "empty": {}, "nothing": 0, "full_lists": None}
    record = {"result": {**result, **others}, "notes": {"odd rows": 2}}
    assert dict(counts_of(record)) == {
        "events": {"raw": 3, "dropped": {"no_user": 1}},
        "odd rows": 2,
    }
    assert dict(counts_of({"notes": {}})) == {}
