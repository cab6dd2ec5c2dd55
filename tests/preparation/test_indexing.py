from hypothesis import given, settings
from hypothesis import strategies as st

from ncf_spark.preparation.indexing import append_index, with_index, with_indexes
from ncf_spark.schemas import ITEM_NUMBERS, USER_INDEX, USER_NUMBERS, conform
from tests.conftest import rows


def append(spark, ids: list[str], previous: dict[str, int]) -> dict[str, int]:
    """The numbers, after a check of who is present."""
    table = append_index(
        spark.createDataFrame([(i,) for i in ids], "user_id string"),
        spark.createDataFrame(list(previous.items()), USER_NUMBERS),
        "user_id",
        "user_index",
        num_known=len(previous),
    )
    assert conform(table, USER_INDEX, "user_index").columns == table.columns
    found = table.collect()
    assert len({row.user_id for row in found}) == len(found)
    assert {row.user_id for row in found if row.is_present} == set(ids)
    return {row.user_id: row.user_index for row in found}


def test_new_ids_are_numbered_on_from_the_end(spark):
    assert append(spark, ["b", "c", "c"], {"a": 0, "b": 1}) == {"a": 0, "b": 1, "c": 2}


def test_the_first_night_counts_from_0(spark):
    assert sorted(append(spark, ["b", "a", "c", "a"], {}).values()) == [0, 1, 2]


def test_no_new_ids_change_nothing_and_none_at_all_are_none(spark):
    assert append(spark, [], {"a": 0}) == {"a": 0}
    assert append(spark, [], {}) == {}


def test_shuffled_ids_get_the_same_numbers(spark):
    ids = [f"user {n}" for n in range(1500)]  # several ids to each hash bucket
    numbers = append(spark, ids, {"user 7": 0})
    assert append(spark, ids[::-1] + ids, {"user 7": 0}) == numbers
    assert sorted(numbers.values()) == list(range(1500))


def test_five_nights_with_arrivals_departures_and_returns(spark):
    nights = [
        (["a"], [("a", 0, True)]),
        (["b", "a"], [("a", 0, True), ("b", 1, True)]),
        (["b"], [("a", 0, False), ("b", 1, True)]),
        (["c"], [("a", 0, False), ("b", 1, False), ("c", 2, True)]),
        (["d", "a"], [("a", 0, True), ("b", 1, False), ("c", 2, False), ("d", 3, True)]),
    ]
    index = spark.createDataFrame([], USER_INDEX)
    for ids, expected in nights:
        tonight = spark.createDataFrame([(i,) for i in ids], "user_id string")
        names, known = ("user_id", "user_index"), index.drop("is_present")
        table = append_index(tonight, known, *names, num_known=known.count())
        assert rows(table) == expected
        index = spark.createDataFrame(table.collect(), USER_INDEX)


NIGHTS = st.lists(st.lists(st.sampled_from("abcdefghijé"), min_size=1), min_size=3, max_size=3)


@settings(max_examples=2)
@given(nights=NIGHTS)
def test_over_nights_numbers_are_contiguous_and_an_id_keeps_its_number(spark, nights):
    index: dict[str, int] = {}
    for ids in nights:
        before, index = index, append(spark, ids, index)
        assert before.items() <= index.items()
        assert set(index) == {*before, *ids}
        assert sorted(index.values()) == list(range(len(index)))


def test_ids_are_replaced_by_their_numbers_and_unknown_ones_left_out(spark):
    events = [("a", 10), ("z", 11), (None, 12), ("b", 13), ("a", 14)]
    indexed = with_index(
        spark.createDataFrame(events, "user_id string, n int"),
        spark.createDataFrame([("a", 0), ("b", 1), ("c", 2)], USER_NUMBERS),
        "user_id",
    )
    assert rows(indexed.select("user_index", "n")) == [(0, 10), (0, 14), (1, 13)]
    assert "user_id" not in indexed.columns


def test_who_is_present_is_no_column_of_the_rows(spark):
    index = spark.createDataFrame([("a", 0, True)], USER_INDEX)
    assert with_index(
        spark.createDataFrame([("a",)], "user_id string"), index, "user_id"
    ).columns == ["user_index"]


def test_a_pair_of_which_one_id_is_unknown_is_left_out(spark):
    pairs = spark.createDataFrame(
        [("a", "x", 1), ("a", "q", 2), ("q", "x", 3)], "user_id string, item_id string, n int"
    )
    users = spark.createDataFrame([("a", 4)], USER_NUMBERS)
    items = spark.createDataFrame([("x", 7)], ITEM_NUMBERS)
    indexed = with_indexes(pairs, users, items)
    assert rows(indexed.select("user_index", "item_index", "n")) == [(4, 7, 1)]
    assert sorted(indexed.columns) == ["item_index", "n", "user_index"]
