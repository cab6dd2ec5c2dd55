import numpy as np
import pytest

from ncf_spark.evaluation.bootstrap import (
    PARTS,
    Figure,
    build_differences,
    build_intervals,
    build_sums,
    with_parts,
)
from tests.conftest import rows

FIGURES = [Figure("hr", 10, "hr_10", "num_lists"), Figure("share", 5, "above", "below")]
LISTS = (
    "model string, protocol string, segment string, user_index int, "
    "hr_10 double, num_lists double, above double, below double"
)


@pytest.fixture(scope="module")
def lists(spark):
    """400 users with one to three lists each, of two models; model b is better by a little."""
    draw = np.random.default_rng(3)
    table = []
    for user in range(400):
        for _ in range(draw.integers(1, 4)):
            value, shown = draw.random(), float(draw.integers(1, 4))
            for model, more in (("a", 0.0), ("b", 0.02 + 0.01 * draw.random())):
                row = (value + more, 1.0, shown * value, shown)
                table.append((model, "full", "all", user, *row))
    return spark.createDataFrame(table, LISTS)


def intervals(lists, samples=200, seed=1):
    return rows(build_intervals(build_sums(lists, FIGURES, samples=samples, seed=seed), FIGURES))


def test_means_by_hand_and_no_interval_without_replicates(spark):
    table = [
        ("m", "full", "all", 0, 1.0, 1.0, 1.0, 4.0),
        ("m", "full", "all", 1, 0.0, 1.0, 2.0, 2.0),
        ("m", "full", "all", 1, 0.5, 1.0, 0.0, 2.0),
        ("m", "full", "users few", 0, 1.0, 1.0, 1.0, 4.0),
        ("m", "sampled_99", "all", 0, 0.25, 1.0, 0.0, 4.0),
    ]
    assert intervals(spark.createDataFrame(table, LISTS), samples=0) == [
        ("m", "full", "hr", 10, "all", 0.5, None, None),
        ("m", "full", "hr", 10, "users few", 1.0, None, None),
        ("m", "full", "share", 5, "all", 0.375, None, None),
        ("m", "full", "share", 5, "users few", 0.25, None, None),
        ("m", "sampled_99", "hr", 10, "all", 0.25, None, None),
        ("m", "sampled_99", "share", 5, "all", 0.0, None, None),
    ]


def test_a_figure_that_counts_nothing_has_no_row(spark):
    table = spark.createDataFrame([("m", "full", "all", 0, 1.0, 1.0, 0.0, 0.0)], LISTS)
    assert [row[2] for row in intervals(table)] == ["hr"]


def test_no_lists_give_no_figures(spark):
    none = spark.createDataFrame([], LISTS)
    assert intervals(none) == []
    sums = build_sums(none, FIGURES, samples=2, seed=1)
    assert rows(build_differences(sums, FIGURES, to="m")) == []


def test_equal_lists_have_an_interval_without_width_also_of_one_user(spark):
    table = [
        ("m", "full", f"of {n}", user, 0.5, 1.0, 1.0, 4.0) for n in (1, 9) for user in range(n)
    ]
    found = intervals(spark.createDataFrame(table, LISTS))
    assert [row[5:] for row in found] == [(0.5,) * 3, (0.5,) * 3, (0.25,) * 3, (0.25,) * 3]


def test_the_interval_is_that_of_a_plain_bootstrap_over_users(lists):
    found = {(row[0], row[2]): row[5:] for row in intervals(lists, samples=4000)}
    for (model, metric), (value, low, high) in found.items():
        of_model = lists.where(lists["model"] == model).toPandas()
        figure = next(figure for figure in FIGURES if figure.metric == metric)
        users = of_model.groupby("user_index")[list(figure[2:])].sum().to_numpy()
        draws = np.random.default_rng(0).integers(0, len(users), (4000, len(users)))
        above, below = users[draws].sum(axis=1).T
        plain_low, plain_high = np.percentile(above / below, [2.5, 97.5])
        assert value == pytest.approx(users[:, 0].sum() / users[:, 1].sum(), abs=1e-8)
        assert low < value < high
        width = plain_high - plain_low
        assert low == pytest.approx(plain_low, abs=0.05 * width)
        assert high == pytest.approx(plain_high, abs=0.05 * width)


@pytest.mark.usefixtures("two_partitions")
def test_partitions_and_the_order_of_rows_change_no_digit(lists):
    expected = intervals(lists)
    assert intervals(lists.repartition(7, "hr_10")) == expected
    assert intervals(lists.coalesce(1).orderBy("hr_10")) == expected
    assert intervals(with_parts(lists)) == expected


def test_the_seed_changes_the_interval_and_not_the_value(lists):
    ones, others = intervals(lists, seed=1), intervals(lists, seed=2)
    assert [row[:6] for row in ones] == [row[:6] for row in others]
    assert all(one[6] != other[6] for one, other in zip(ones, others, strict=True))


def test_sums_of_parts_are_few_however_many_partitions_there_are(lists):
    parts = with_parts(lists.repartition(40))
    assert build_sums(parts, FIGURES, samples=1, seed=1).count() <= 2 * PARTS


def test_differences_are_paired(lists):
    sums = build_sums(lists, FIGURES, samples=200, seed=1)
    ((*key, value, low, high), (*_, same, same_low, same_high)) = rows(
        build_differences(sums, FIGURES, to="a")
    )
    assert key == ["b", "full", "hr", 10, "all"]
    assert 0.02 < low < value < high < 0.03
    # Their own intervals overlap.
    (of_a, of_b) = (row for row in intervals(lists) if row[2] == "hr")
    assert of_b[6] < of_a[7]
    assert (same, same_low, same_high) == (0.0, 0.0, 0.0)
