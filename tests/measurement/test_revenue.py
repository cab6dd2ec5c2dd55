import numpy as np
import pandas as pd
import pytest

from ncf_spark.measurement.revenue import (
    PARTS,
    _sums_of_blocks,
    build_revenue_sums,
    revenue_lift,
    revenue_means,
)
from tests.conftest import rows

USERS = "arm string, user_key long, revenue double"
SIZES = {"model": 400, "holdout": 300}


@pytest.fixture(scope="module")
def paying() -> dict[str, np.ndarray]:
    """Half of 400 users pay about 30, a third of 300 about 20."""
    draw = np.random.default_rng(8)
    return {
        "model": np.round(draw.gamma(2.0, 15.0, 200), 2),
        "holdout": np.round(draw.gamma(2.0, 10.0, 100), 2),
    }


@pytest.fixture(scope="module")
def users(paying) -> pd.DataFrame:
    draw = np.random.default_rng(9)
    of_arms = [
        pd.DataFrame(
            {"arm": arm, "user_key": draw.integers(2**62, size=len(paid)), "revenue": paid}
        )
        for arm, paid in paying.items()
    ]
    return pd.concat(of_arms, ignore_index=True)


def means_of(users: pd.DataFrame, samples=200, seed=1):
    """The means of the users' sums; see the next function for the same by Spark."""
    [*sums] = _sums_of_blocks([users], samples=samples, seed=seed)
    parts = [(arm, found) for part in sums for arm, found in part.to_numpy()]
    return revenue_means(parts, SIZES, NUM_WITH, samples=samples, seed=seed)


def means_by_spark(users, sizes=SIZES, num_with=None, samples=50):
    sums = build_revenue_sums(users, samples=samples, seed=1).collect()
    assert len(sums) <= 2 * PARTS
    parts = [(row["arm"], row["sums"]) for row in sums]
    return revenue_means(parts, sizes, num_with or NUM_WITH, samples=samples, seed=1)


NUM_WITH = {"model": 200, "holdout": 100}


def test_sums_by_hand(spark):
    table = [("model", 7, 2.5), ("model", 8, 0.5), ("model", 9, 0.0), ("holdout", 5, -1.0)]
    found = build_revenue_sums(spark.createDataFrame(table, USERS), samples=50, seed=1)
    totals = {"model": np.zeros(102), "holdout": np.zeros(102)}
    for arm, sums in rows(found):
        totals[arm] += sums
    assert (totals["model"][0], totals["model"][51]) == (2.0, 3_000_000.0)
    assert (totals["holdout"][0], totals["holdout"][51]) == (1.0, -1_000_000.0)
    # One user: the revenue of each replicate is that of the copies.
    assert list(totals["holdout"][51:] * -1e-6) == list(totals["holdout"][:51])
    assert len(set(totals["holdout"][1:51])) > 1


def test_the_mean_is_over_all_users_of_the_arm(users, paying):
    means = means_of(users)
    assert {arm: len(of_arm) for arm, of_arm in means.items()} == {"model": 201, "holdout": 201}
    assert means["model"][0] == pytest.approx(paying["model"].sum() / 400, abs=1e-9)
    assert means["holdout"][0] == pytest.approx(paying["holdout"].sum() / 300, abs=1e-9)


def test_the_interval_is_that_of_a_plain_bootstrap_over_all_users(users, paying):
    means = means_of(users, samples=4000)
    found = revenue_lift(means["model"], means["holdout"])
    draw, plain = np.random.default_rng(0), {}
    for arm, size in SIZES.items():
        everyone = np.concatenate([paying[arm], np.zeros(size - len(paying[arm]))])
        plain[arm] = everyone[draw.integers(0, size, (4000, size))].mean(axis=1)
    differences = plain["model"] - plain["holdout"]
    lifts = differences / plain["holdout"]
    for low, high, drawn in (
        (found.difference_low, found.difference_high, differences),
        (found.lift_low, found.lift_high, lifts),
    ):
        plain_low, plain_high = np.percentile(drawn, [2.5, 97.5])
        width = plain_high - plain_low
        assert low == pytest.approx(plain_low, abs=0.05 * width)
        assert high == pytest.approx(plain_high, abs=0.05 * width)
    assert found.p_value is None


def test_partitions_and_the_order_of_rows_change_no_digit_and_parts_are_few(spark, users):
    expected = means_of(users, samples=50)
    table = spark.createDataFrame(list(users.itertuples(index=False, name=None)), USERS)
    for rows_ in (table.repartition(20, "revenue"), table.coalesce(1).orderBy("revenue")):
        found = means_by_spark(rows_)
        assert all(np.array_equal(found[arm], expected[arm]) for arm in SIZES)


def test_the_seed_changes_the_interval_and_not_the_value(users):
    ones, others = (means_of(users, seed=seed)["model"] for seed in (1, 2))
    assert ones[0] == others[0]
    assert not np.array_equal(ones, others)


def test_nobody_pays(spark):
    none = spark.createDataFrame([], USERS)
    means = means_by_spark(none, SIZES, dict.fromkeys(SIZES, 0))
    assert {float(of_arm.max()) for of_arm in means.values()} == {0.0}
    found = revenue_lift(means["model"], means["holdout"])
    assert found == (0.0, 0.0, 0.0, None, None, None, None)


def test_of_one_user_who_does_not_pay_some_replicates_have_nobody():
    means = revenue_means([], {"model": 1}, {"model": 0}, samples=200, seed=1)["model"]
    assert 0 < np.isnan(means).sum() < 200
    found = revenue_lift(means, means)
    assert (found.difference, found.difference_low, found.difference_high) == (0.0, 0.0, 0.0)


def test_more_refunds_than_revenue_have_no_lift(users):
    base = np.full(51, -2.0)
    found = revenue_lift(np.full(51, 1.0), base)
    assert found == (3.0, 3.0, 3.0, None, None, None, None)
