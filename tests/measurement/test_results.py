import numpy as np
import pytest

from ncf_spark.measurement.results import Row, result_rows, sample_ratio_sentence, table_text
from ncf_spark.measurement.statistics import Lift, rate_lift

COUNTS = [
    ("holdout", "bought", 100, 10),
    ("model", "bought", 400, 60),
    ("popular", "bought", 100, 10),
    ("model", "revenue", 400, 60),
    ("holdout", "revenue", 100, 10),
]
REVENUE = {"model": np.full(51, 3.0), "holdout": np.full(51, 2.0)}


def test_model_comes_first_and_is_compared_with_each_other_arm():
    found = result_rows(COUNTS, REVENUE)
    assert [(row.outcome, row.arm, row.num_users, row.num_with, row.value) for row in found] == [
        ("bought", "model", 400, 60, 0.15),
        ("bought", "popular", 100, 10, 0.1),
        ("bought", "holdout", 100, 10, 0.1),
        ("revenue", "model", 400, 60, 3.0),
        ("revenue", "holdout", 100, 10, 2.0),
    ]
    assert found[0].lift == found[3].lift == Lift()
    assert found[1].lift == found[2].lift == rate_lift(60, 400, 10, 100)
    assert found[4].lift == Lift(1.0, 1.0, 1.0, 0.5, 0.5, 0.5)


def test_the_order_of_the_arms_changes_nothing():
    assert result_rows(COUNTS[2::-1], {}) == result_rows(COUNTS[:3], {})


def test_without_the_arm_model_rates_stand_alone():
    (row,) = result_rows([("holdout", "opened", 4, 1)], {})
    assert (row.value, row.lift) == (0.25, Lift())
    assert result_rows([], {}) == []


def test_a_row_has_the_columns_of_the_table():
    lift = Lift(0.1, 0.05, 0.15, 0.5, 0.2, 0.8, 0.01)
    assert Row("popular", "bought", 10, 2, 0.2, lift).cells == {
        "arm": "popular",
        "outcome": "bought",
        "num_users": 10,
        "num_with": 2,
        "value": 0.2,
        "difference": 0.1,
        "difference_low": 0.05,
        "difference_high": 0.15,
        "lift": 0.5,
        "lift_low": 0.2,
        "lift_high": 0.8,
        "p_value": 0.01,
    }


def test_the_table_for_a_person():
    rows = [
        Row("model", "bought", 40_000, 8_800, 0.22, Lift()),
        Row(
            "holdout", "bought", 5_000, 1_000, 0.2, Lift(0.02, 0.008, 0.032, 0.1, 0.04, 0.16, 1e-5)
        ),
        Row("holdout", "revenue", 5_000, 1_000, 3.25, Lift(-0.5, -1.0, 0.25)),
        Row("popular", "opened", 9, 0, 0.0, Lift(0.1, 0.0, 0.2, p_value=0.0471)),
    ]
    assert table_text(rows).splitlines() == [
        "outcome  arm       users  with it   value     difference    95 % interval      lift"
        "    95 % interval        p",
        "bought   model    40,000    8,800  22.00%",
        "bought   holdout   5,000    1,000  20.00%   +2.00 points   +0.80 to +3.20  +10.00 %"
        "  +4.00 to +16.00  < 0.001",
        "revenue  holdout   5,000    1,000   3.250          -0.50   -1.00 to +0.25",
        "opened   popular       9        0   0.00%  +10.00 points  +0.00 to +20.00"
        "                               0.047",
    ]


SHARES = {"model": 0.5, "popular": 0.0, "holdout": 0.5}


@pytest.mark.parametrize(
    ("sizes", "shares", "p_value", "expected"),
    [
        (
            *({"model": 51, "holdout": 49}, SHARES, 0.8412),
            "The sizes of the arms match their shares: model 51 (50 expected), "
            "holdout 49 (50 expected); p = 0.841.",
        ),
        (
            *({"model": 52_000, "holdout": 48_000}, SHARES, 1.1e-36),
            "SAMPLE RATIO MISMATCH: the sizes of the arms do not match their shares: model 52,000 "
            "(50,000 expected), holdout 48,000 (50,000 expected); p = 1e-36. ",
        ),
        ({"model": 1, "holdout": 1}, SHARES, 0.00099, "SAMPLE RATIO MISMATCH: "),
        ({"model": 1, "holdout": 1}, SHARES, 0.001, "The sizes of the arms match"),
        # An arm without a share is named when it has users.
        (
            *({"model": 4, "popular": 2, "holdout": 4}, SHARES, 0.0),
            "SAMPLE RATIO MISMATCH: the sizes of the arms do not match their shares: "
            "model 4 (5 expected), popular 2 (0 expected), ",
        ),
        (
            *({"model": 5}, {"model": 1.0}, None),
            "There is only one arm: set campaign.arms to compare it with others.",
        ),
    ],
)
def test_a_sentence_says_whether_the_sizes_match(sizes, shares, p_value, expected):
    assert sample_ratio_sentence(sizes, shares, p_value).startswith(expected)
