from datetime import datetime, timezone

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from ncf_spark.preparation import split
from tests.conftest import at, rows

PAIR = "user_index int, item_index int"
PAIR_NAMES = ["user_index", "item_index"]
INDEXED = "user_index int, item_index int, first_event_at timestamp, last_event_at timestamp"


def indexed(spark, table: list[tuple], known: list[tuple[int, int]] | None = None):
    """Rows of INDEXED with `was_trained`: true for the pairs that are known."""
    trained = None if known is None else spark.createDataFrame(known, PAIR)
    return split.with_was_trained(spark.createDataFrame(table, INDEXED), trained)


def pairs(spark, *days: tuple[int, int, int, int], known: list[tuple[int, int]] | None = None):
    """(user_index, item_index, first day, last day of November)."""
    table = [(u, i, at(f"2026-11-{f:02}"), at(f"2026-11-{n:02}")) for u, i, f, n in days]
    return indexed(spark, table, known)


# --- leave one out ------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, -1])
def test_each_users_last_pair_is_held_out_and_a_single_pair_is_not(spark, order):
    days = [(0, 5, 1, 9), (0, 6, 3, 4), (0, 7, 8, 8), (1, 5, 1, 1), (2, 6, 1, 2), (2, 5, 1, 3)]
    held_out = split.with_last_event_held_out(pairs(spark, *days[::order]), seed=20)
    assert rows(held_out.where("is_holdout").select("user_index", "item_index")) == [(0, 5), (2, 5)]
    assert held_out.count() == 6
    assert held_out.columns == [
        *INDEXED.replace(" int", "").replace(" timestamp", "").split(", "),
        "was_trained",
        "is_holdout",
    ]


def test_ties_are_broken_the_same_way_whatever_the_order(spark):
    days = [(user, item, 1, 1) for user in range(40) for item in range(3)]
    found = [
        rows(split.with_last_event_held_out(pairs(spark, *d), seed=20).where("is_holdout"))
        for d in (days, days[::-1])
    ]
    assert found[0] == found[1]
    assert len(found[0]) == 40
    assert {row[1] for row in found[0]} == {0, 1, 2}  # not always the first item


def test_pairs_without_times_come_before_those_with(spark):
    table = [(0, 1, None, None), (0, 2, at("2026-11-01"), at("2026-11-01")), (0, 3, None, None)]
    held_out = split.with_last_event_held_out(indexed(spark, table), seed=20)
    assert rows(held_out.where("is_holdout").select("item_index")) == [(2,)]


PAIRS = st.dictionaries(
    st.tuples(st.integers(0, 5), st.integers(0, 6)), st.integers(1, 9), max_size=30
)


@settings(max_examples=5)
@given(last_day=PAIRS, seed=st.integers(0, 2**31 - 1))
def test_exactly_one_pair_of_each_user_with_two_is_held_out_and_none_is_later(
    spark, last_day, seed
):
    table = pairs(spark, *[(u, i, 1, day) for (u, i), day in last_day.items()])
    held_out = split.with_last_event_held_out(table, seed=seed).where("is_holdout").collect()
    days = {user: [d for (u, _), d in last_day.items() if u == user] for user, _ in last_day}
    assert sorted(row.user_index for row in held_out) == sorted(
        user for user in days if len(days[user]) > 1
    )
    for row in held_out:
        assert row.last_event_at.day == max(days[row.user_index])


# --- validation ---------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, -1])
def test_the_last_train_pair_of_each_user_with_two_is_for_validation(spark, order):
    # User 0's last is held out and 6 comes before it; users 1 and 2 have one train pair left.
    days = [(0, 5, 1, 9), (0, 6, 3, 4), (0, 7, 1, 3), (1, 5, 1, 1), (2, 6, 1, 2), (2, 5, 1, 3)]
    table = split.with_last_event_held_out(pairs(spark, *days[::order]), seed=20)
    marked = split.with_validation_held_out(table, seed=20)
    assert marked.columns == [*table.columns, "is_validation"]
    assert rows(marked.where("is_validation").select("user_index", "item_index")) == [(0, 6)]
    assert marked.count() == 6


def test_a_temporal_split_keeps_the_last_pair_before_the_cutoff(spark):
    days = [(0, 5, 1, 2), (0, 6, 4, 4), (0, 7, 9, 9), (0, 8, 9, 9)]
    table = split.with_recent_held_out(
        pairs(spark, *days), cutoff_at=datetime(2026, 11, 8, tzinfo=timezone.utc)
    )
    marked = split.with_validation_held_out(table, seed=20)
    assert rows(marked.where("is_validation").select("item_index")) == [(6,)]


def test_without_times_a_hash_chooses_the_same_one_whatever_the_order(spark):
    table = [(user, item, None, None) for user in range(40) for item in range(4)]
    found = []
    for given_rows in (table, table[::-1]):
        held_out = split.with_last_event_held_out(indexed(spark, given_rows), seed=2)
        marked = split.with_validation_held_out(held_out, seed=2)
        found.append(rows(marked.where("is_validation").select("user_index", "item_index")))
    assert found[0] == found[1]
    assert [user for user, _ in found[0]] == list(range(40))
    assert {item for _, item in found[0]} == {0, 1, 2, 3}


@settings(max_examples=5)
@given(last_day=PAIRS, seed=st.integers(0, 2**31 - 1))
def test_validation_is_never_held_out_and_never_trained_on(spark, last_day, seed):
    table = pairs(spark, *[(u, i, 1, day) for (u, i), day in last_day.items()])
    held_out = split.with_last_event_held_out(table, seed=seed)
    marked = split.with_validation_held_out(held_out, seed=seed)
    found = {
        name: {(row.user_index, row.item_index) for row in part.collect()}
        for name, part in {
            "train": split.build_train(marked, num_shards=2),
            "validation": marked.where("is_validation"),
            "holdout": marked.where("is_holdout"),
        }.items()
    }
    assert sum(len(part) for part in found.values()) == len(last_day)
    assert set().union(*found.values()) == set(last_day)
    for user, item in found["validation"]:
        others = [last_day[pair] for pair in found["train"] if pair[0] == user]
        assert others
        assert last_day[user, item] >= max(others)


# --- what an earlier model knows ----------------------------------------------------------------


@pytest.mark.parametrize("order", [1, -1])
def test_what_the_earlier_model_was_trained_on_is_never_held_out(spark, order):
    """User 0 bought 5 again after 6 and 7; user 1 has one new pair, user 2 none."""
    days = [(0, 5, 1, 9), (0, 6, 3, 4), (0, 7, 8, 8), (0, 8, 2, 2), (1, 5, 1, 9), (1, 6, 3, 3)]
    days += [(2, 5, 1, 1), (2, 6, 2, 2)]
    known = [(0, 5), (1, 5), (2, 5), (2, 6), (3, 9)]
    table = pairs(spark, *days[::order], known=known[::order])
    held_out = split.with_last_event_held_out(table, seed=20)
    marked = split.with_validation_held_out(held_out, seed=20)
    assert rows(marked.where("is_holdout").select(PAIR_NAMES)) == [(0, 7), (1, 6)]
    assert rows(marked.where("is_validation").select(PAIR_NAMES)) == [(0, 6)]
    assert marked.count() == len(days)


def test_nor_by_the_temporal_split(spark):
    """Its first event fell out of the window: by the second it is as if first seen now."""
    table = pairs(spark, (0, 5, 9, 9), (0, 6, 9, 9), (0, 7, 1, 1), known=[(0, 6)])
    cutoff_at = datetime(2026, 11, 8, tzinfo=timezone.utc)
    held_out = split.with_recent_held_out(table, cutoff_at=cutoff_at)
    assert rows(held_out.where("is_holdout").select(PAIR_NAMES)) == [(0, 5)]


# --- temporal -----------------------------------------------------------------------------------


def test_pairs_first_seen_at_the_cutoff_or_later_are_held_out(spark):
    days = [(0, 5, 16, 20), (0, 6, 17, 17), (1, 5, 23, 23)]
    cutoff_at = datetime(2026, 11, 17, tzinfo=timezone.utc)
    held_out = split.with_recent_held_out(pairs(spark, *days), cutoff_at=cutoff_at)
    assert rows(held_out.select("user_index", "item_index", "is_holdout")) == [
        (0, 5, False),
        (0, 6, True),
        (1, 5, True),
    ]


# --- train --------------------------------------------------------------------------------------

SPLIT = "user_index int, item_index int, is_holdout boolean, is_validation boolean"


@pytest.mark.parametrize("order", [1, -1])
def test_train_is_what_is_not_held_out_with_the_users_shard(spark, order):
    train_pairs = [(0, 5), (3, 5), (4, 7), (7, 1)]
    table = [(*pair, False, False) for pair in train_pairs]
    table += [(0, 6, True, False), (3, 2, False, True)]
    train = split.build_train(spark.createDataFrame(table[::order], SPLIT), num_shards=4)
    assert train.columns == ["user_index", "item_index", "shard"]
    assert rows(train) == [(0, 5, 0), (3, 5, 3), (4, 7, 0), (7, 1, 3)]


@pytest.mark.usefixtures("two_partitions")
def test_a_shard_lies_in_one_partition_sorted_by_user_and_item(spark):
    table = [(user, item, False, False) for item in (2, 9, 4) for user in range(12, -1, -1)]
    train = split.build_train(spark.createDataFrame(table, SPLIT).repartition(2), num_shards=3)
    partitions = [[tuple(row) for row in part] for part in train.rdd.glom().collect()]
    assert [part for part in partitions if part != sorted(part, key=lambda r: (r[2], *r))] == []
    assert sorted(shard for part in partitions for shard in {row[2] for row in part}) == [0, 1, 2]


# --- holdout ------------------------------------------------------------------------------------


def build_holdout(table, num_shards=4, **settings):
    users = split.build_user_items(table, num_shards=num_shards)
    defaults = {"held_out": "holdout", "num_items": 50, "num_negatives": 10, "seed": 20}
    return split.build_holdout(users, **{**defaults, **settings})


@pytest.mark.parametrize("order", [1, -1])
def test_a_users_items_stand_in_one_row_with_what_is_held_out(spark, order):
    table = [(5, 1, False, True), (5, 2, True, False), (5, 7, False, False), (6, 3, True, False)]
    users = split.build_user_items(spark.createDataFrame(table[::order], SPLIT), num_shards=4)
    arrays = [F.sort_array(name).alias(name) for name in ("known", "holdout", "validation")]
    assert rows(users.select("shard", "user_index", "num_train", *arrays)) == [
        (1, 5, 1, [1, 2, 7], [2], [1]),
        (2, 6, 0, [3], [3], []),
    ]


def test_a_held_out_pair_has_its_shard_and_different_negatives_in_range(spark):
    table = spark.createDataFrame(
        [(5, 1, False, True), (5, 2, True, False), (5, 3, False, False), (6, 3, False, False)],
        SPLIT,
    )
    held_out = build_holdout(table)
    assert held_out.columns == ["user_index", "item_index", "negatives", "shard"]
    (row,) = held_out.collect()
    assert (row.user_index, row.item_index, row.shard) == (5, 2, 1)
    assert len(set(row.negatives)) == 10
    assert all(0 <= item < 50 for item in row.negatives)
    (row,) = build_holdout(table, held_out="validation").collect()
    assert (row.user_index, row.item_index, len(row.negatives)) == (5, 1, 10)


@pytest.mark.usefixtures("two_partitions")
def test_a_rerun_and_a_shuffle_draw_the_same_and_another_seed_does_not(spark):
    table = [(user, item, item == user, False) for user in range(6) for item in range(6)]
    one = rows(build_holdout(spark.createDataFrame(table, SPLIT)))
    assert rows(build_holdout(spark.createDataFrame(table[::-1], SPLIT).repartition(3))) == one
    assert rows(build_holdout(spark.createDataFrame(table, SPLIT), seed=21)) != one


@pytest.mark.parametrize("num_items", [8, 10, 11, 12, 25])
def test_who_knows_nearly_all_items_gets_all_that_are_left(spark, num_items):
    table = [(0, item, item == 3, False) for item in range(8)]
    (row,) = build_holdout(spark.createDataFrame(table, SPLIT), num_items=num_items).collect()
    assert len(row.negatives) == min(num_items - 8, 10)
    assert set(row.negatives) <= set(range(8, num_items))


@pytest.mark.parametrize("num_present", [12, 13, 14])  # 13 is a prime
def test_negatives_are_drawn_from_the_items_that_are_present(spark, num_present):
    known, left = [3, 60, 77], range(100, 97 + num_present)
    items = spark.createDataFrame([(i,) for i in [*left, *known]], "item_index int")
    table = spark.createDataFrame([(u, i, i == 60, False) for u in (0, 1) for i in known], SPLIT)
    some, all_left = (
        build_holdout(table, num_items=num_present, present=items, num_negatives=n).collect()
        for n in (5, 99)
    )
    assert [len({*row.negatives} & {*left}) for row in some] == [5, 5]
    assert some[0].negatives != some[1].negatives
    assert [sorted(row.negatives) for row in all_left] == [[*left], [*left]]


def test_a_user_without_a_train_pair_is_not_judged(spark):
    table = [(0, 1, True, False), (1, 1, True, False), (1, 2, False, False)]
    held_out = build_holdout(spark.createDataFrame(table, SPLIT))
    assert rows(held_out.select("user_index", "item_index")) == [(1, 1)]


def test_nothing_held_out_is_an_empty_holdout(spark):
    table = spark.createDataFrame([(0, 1, False, False)], SPLIT)
    assert build_holdout(table).collect() == []
    assert build_holdout(table.where("false")).collect() == []


def test_each_unknown_item_is_equally_likely(spark):
    """The bound is five standard deviations of a share, 0.014 of 0.2."""
    num_users, num_known, num_items, num_negatives = 20_000, 20, 120, 20
    users = spark.range(num_users).select(F.col("id").cast("int").alias("user_index"))
    known = F.explode(F.sequence(F.lit(0), F.lit(num_known - 1))).alias("item_index")
    is_holdout = (F.col("item_index") == 0).alias("is_holdout")
    table = users.select("*", known).select("*", is_holdout, F.lit(False).alias("is_validation"))
    drawn = build_holdout(table, num_items=num_items, num_negatives=num_negatives)
    counted = drawn.select(F.explode("negatives").alias("item")).groupBy("item").count().collect()
    shares = np.array([row["count"] for row in counted]) / num_users
    share = num_negatives / (num_items - num_known)
    assert {row.item for row in counted} == set(range(num_known, num_items))
    assert np.abs(shares - share).max() < 5 * np.sqrt(share * (1 - share) / num_users)


@settings(max_examples=4)
@given(
    known=st.dictionaries(
        st.integers(0, 4), st.sets(st.integers(0, 29), min_size=2, max_size=12), min_size=1
    ),
    seed=st.integers(0, 2**31 - 1),
)
def test_negatives_are_never_the_users_own_items(spark, known, seed):
    table = [
        (user, item, item == min(items), False) for user, items in known.items() for item in items
    ]
    found = build_holdout(spark.createDataFrame(table, SPLIT), num_items=30, seed=seed).collect()
    assert {(row.user_index, row.item_index) for row in found} == {
        (user, min(items)) for user, items in known.items()
    }
    for row in found:
        assert len(row.negatives) == len(set(row.negatives)) == 10
        assert not set(row.negatives) & known[row.user_index]


# --- a provided test set ------------------------------------------------------------------------


def test_given_negatives_are_numbered_in_their_order(spark):
    provided = [(0, 5, ["c", "a"]), (6, 5, ["b", "a", "c"])]
    table = split.build_provided_holdout(
        spark.createDataFrame(provided, "user_index int, item_index int, negatives array<string>"),
        spark.createDataFrame([("a", 0), ("b", 1), ("c", 2)], "item_id string, item_index int"),
        num_shards=4,
    )
    assert table.columns == ["user_index", "item_index", "negatives", "shard"]
    assert rows(table) == [(0, 5, [2, 0], 0), (6, 5, [1, 0, 2], 2)]
