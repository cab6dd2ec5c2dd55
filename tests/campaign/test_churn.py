import pytest

from ncf_spark.campaign.churn import build_churn, build_full_lists


def lists(spark, *users: tuple[int, list[int]]):
    """(user_index, rank, item_index) of each user's items, best first."""
    shown = [(u, rank, i) for u, items in users for rank, i in enumerate(items, 1)]
    return spark.createDataFrame(shown, "user_index int, rank int, item_index int")


def churn(before, after, k):
    (row,) = build_churn(before, after, k=k).collect()
    return row.num_users, row.churn


BEFORE = (0, [7, 5, 9]), (1, [4])
AFTER = (0, [5, 7, 2]), (1, [4, 8]), (2, [3, 6, 1])


def test_it_is_the_mean_share_of_new_items_of_users_with_both_lists(spark):
    before, after = lists(spark, *BEFORE), lists(spark, *AFTER)
    assert churn(before, after, 3) == (2, pytest.approx((1 / 3 + 1 / 2) / 2, abs=1e-12))


def test_the_first_k_of_both_nights_count(spark):
    # k = 2: both of [5, 7] are known, one of [4, 8] is new. k = 1: 5 is new, 4 is not.
    before, after = lists(spark, *BEFORE), lists(spark, *AFTER)
    assert churn(before, after, 2) == (2, 0.25)
    assert churn(before, after, 1) == (2, 0.5)


def test_the_order_within_a_list_and_of_the_rows_does_not_matter(spark):
    before = lists(spark, *[(u, [u + 1, u + 2, u + 3]) for u in range(30)])
    after = lists(spark, *[(u, [u + 3, u + 2, u + 9 if u % 3 else u + 1]) for u in range(30)])
    shuffled = after.repartition(3, "item_index")
    assert churn(before, after, 3) == churn(before, shuffled, 3)
    assert churn(before, after, 3) == (30, pytest.approx(2 / 9, abs=1e-12))


@pytest.mark.parametrize(("before", "after"), [([], AFTER), (BEFORE, []), ([(9, [1])], AFTER)])
def test_without_a_user_with_both_lists_there_is_no_churn(spark, before, after):
    assert churn(lists(spark, *before), lists(spark, *after), 3) == (0, None)


@pytest.mark.parametrize(("k", "num_full"), [(1, 3), (2, 2), (3, 1), (4, 0)])
def test_users_with_k_items_are_counted_of_all_that_were_trained(spark, k, num_full):
    topk = lists(spark, (0, [7, 5, 9]), (1, [4, 8]), (2, [3]))
    train = spark.createDataFrame(
        [(u, i) for u in range(4) for i in (1, 2)], "user_index int, i int"
    )
    assert tuple(build_full_lists(topk, train, k=k).first()) == (num_full, 4)
