import math

import numpy as np
import pytest

from ncf_spark.errors import ConfigError
from ncf_spark.measurement import statistics
from ncf_spark.measurement.statistics import check_installed, rate_lift, sample_ratio_p


def test_two_rates_by_hand():
    """Pooled rate 0.15: z = 0.1 / sqrt(0.15 * 0.85 * 2 / 200) = 2.8006, p = 0.0051."""
    found = rate_lift(40, 200, 20, 200)
    assert (found.difference, found.lift) == (pytest.approx(0.1), pytest.approx(1.0))
    z = 0.1 / math.sqrt(0.15 * 0.85 * 2 / 200)
    assert found.p_value == pytest.approx(math.erfc(z / math.sqrt(2)))
    # Newcombe's method 10, from the Wilson intervals of 40 of 200 and 20 of 200.
    (low, high), (base_low, base_high) = wilson(40, 200), wilson(20, 200)
    assert found.difference_low == pytest.approx(0.1 - math.hypot(0.2 - low, base_high - 0.1))
    assert found.difference_high == pytest.approx(0.1 + math.hypot(high - 0.2, 0.1 - base_low))
    # exp(log(40.5 / 20.5) -+ 1.96 * sqrt(1 / 40.5 + 1 / 20.5 - 2 / 200.5)) - 1
    width = 1.959964 * math.sqrt(1 / 40.5 + 1 / 20.5 - 2 / 200.5)
    assert found.lift_low == pytest.approx(40.5 / 20.5 * math.exp(-width) - 1, abs=1e-5)
    assert found.lift_high == pytest.approx(40.5 / 20.5 * math.exp(width) - 1, abs=1e-5)


def wilson(count: int, size: int) -> tuple[float, float]:
    z, rate = 1.959964, count / size
    middle = (rate + z * z / (2 * size)) / (1 + z * z / size)
    half = z / (1 + z * z / size) * math.sqrt(rate * (1 - rate) / size + z * z / (4 * size * size))
    return middle - half, middle + half


def test_the_sides_may_be_exchanged():
    one, other = rate_lift(40, 200, 30, 300), rate_lift(30, 300, 40, 200)
    assert one.difference == pytest.approx(-other.difference)
    assert one.difference_low == pytest.approx(-other.difference_high)
    assert 1 + one.lift_low == pytest.approx(1 / (1 + other.lift_high))
    assert one.p_value == pytest.approx(other.p_value)


def test_nothing_to_compare_with_has_a_difference_and_no_lift():
    found = rate_lift(5, 100, 0, 100)
    assert (found.difference, found.lift, found.lift_low, found.lift_high) == (
        0.05,
        None,
        None,
        None,
    )
    assert 0 < found.difference_low < 0.05 < found.difference_high
    assert 0 < found.p_value < 0.05


@pytest.mark.parametrize("counts", [(0, 7, 0, 9), (7, 7, 9, 9), (0, 1, 0, 1)])
def test_all_or_none_is_not_tested(counts):
    found = rate_lift(*counts)
    assert (found.difference, found.p_value) == (0.0, None)
    assert found.difference_low < 0 < found.difference_high


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "counts",
    [(0, 100, 5, 100), (100, 100, 50, 100), (1, 1, 1, 2), (7, 1000, 1, 12), (1, 2_000_000, 1, 3)],
)
def test_every_interval_holds_its_value(counts):
    found = rate_lift(*counts)
    assert found.difference_low <= found.difference <= found.difference_high
    assert -1 <= found.lift_low <= found.lift <= found.lift_high


def test_a_planted_lift_lies_in_an_interval_without_0():
    """20 % and 22 %, 50,000 users each: the power is above 0.9999."""
    draw = np.random.default_rng(5)
    found = rate_lift(draw.binomial(50_000, 0.22), 50_000, draw.binomial(50_000, 0.20), 50_000)
    assert 0 < found.lift_low < 0.1 < found.lift_high
    assert 0 < found.difference_low < 0.02 < found.difference_high
    assert found.p_value < 0.001


def test_without_an_effect_five_of_a_hundred_seeds_find_one():
    draws = (np.random.default_rng(seed).binomial(50_000, 0.2, 2) for seed in range(100))
    p_values = [rate_lift(own, 50_000, base, 50_000).p_value for own, base in draws]
    assert 90 <= sum(p_value >= 0.05 for p_value in p_values) <= 99


HALVES = {"model": 0.5, "popular": 0.0, "holdout": 0.5}


def test_sizes_far_from_the_shares_have_a_small_p_value():
    """52:48 of 100,000: chi-square 2 * 2000^2 / 50000 = 160, one degree of freedom."""
    p_value = sample_ratio_p({"model": 52_000, "holdout": 48_000}, HALVES)
    assert p_value == pytest.approx(math.erfc(math.sqrt(160 / 2)), rel=1e-6)
    assert p_value < 0.001
    assert sample_ratio_p({"model": 1000}, HALVES) < 0.001  # a missing arm is empty


TENTHS = {"model": 0.8, "popular": 0.1, "holdout": 0.1}


@pytest.mark.parametrize(
    ("sizes", "shares", "p_value"),
    [
        ({"model": 50_000, "holdout": 50_000}, HALVES, 1.0),
        ({"holdout": 10, "popular": 10, "model": 80}, TENTHS, 1.0),
        # Users in an arm without a share.
        ({"model": 10, "popular": 1, "holdout": 10}, HALVES, 0.0),
        # One arm, or none, has no ratio.
        ({"model": 10}, {"model": 1.0, "popular": 0.0, "holdout": 0.0}, None),
        ({}, HALVES, None),
    ],
)
def test_the_p_value_of_the_sizes(sizes, shares, p_value):
    assert sample_ratio_p(sizes, shares) == p_value


def test_a_missing_library_is_named_with_the_remedy(monkeypatch):
    check_installed()
    monkeypatch.setattr(statistics, "find_spec", lambda name: None if name == "scipy" else 1)
    with pytest.raises(ConfigError, match=r"^scipy: not installed, .*ncf-spark\[measure\]"):
        check_installed()
