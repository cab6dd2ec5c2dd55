import math

import pytest

from ncf_spark import schemas
from ncf_spark.evaluation.common import common_users_metric

# Under full user 0 has two held-out items; user 1 is judged by neumf alone, user 3 by last_night.
RANKS = [
    ("neumf", "full", 0, 2, 1, [2]),
    ("neumf", "full", 0, 1, 3, None),
    ("neumf", "full", 1, 2, 1, [2]),
    ("neumf", "full", 2, 4, 8, [1]),
    ("last_night", "full", 0, 2, 2, [1]),
    ("last_night", "full", 0, 1, 9, None),
    ("last_night", "full", 2, 4, 2, [1]),
    ("last_night", "full", 3, 4, 1, [4]),
    ("als", "full", 0, 2, 5, [1]),
    ("neumf", "sampled_99", 0, 2, 1, None),
    ("neumf", "sampled_99", 0, 1, 2, None),
    ("neumf", "sampled_99", 1, 2, 1, None),
    ("last_night", "sampled_99", 0, 2, 7, None),
    ("last_night", "sampled_99", 0, 1, 1, None),
]
NDCG_OF_BOTH_FOUND = (1 + 0.5) / (1 + 1 / math.log2(3))


def common(spark, a, b, rows=RANKS, **how):
    return common_users_metric(spark.createDataFrame(rows, schemas.RANKS), a, b, **how)


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"protocol": "full", "metric": "hr", "k": 1}, (0.5, 0.0, 2)),
        ({"protocol": "full", "metric": "hr", "k": 3}, (0.5, 1.0, 2)),
        ({"protocol": "full", "metric": "recall", "k": 3}, (0.5, 0.75, 2)),
        ({"protocol": "full", "metric": "ndcg", "k": 3}, (NDCG_OF_BOTH_FOUND / 2, None, 2)),
        # Each held-out pair is a list of its own.
        ({"protocol": "sampled_99", "metric": "hr", "k": 1}, (0.5, 0.5, 1)),
        ({"protocol": "sampled_99", "metric": "mrr", "k": 7}, (0.75, (1 / 7 + 1) / 2, 1)),
    ],
)
def test_the_users_of_both_alone_count(spark, order, how, expected):
    ours, theirs, num_users = common(spark, "neumf", "last_night", RANKS[::order], **how)
    assert (ours, num_users) == (pytest.approx(expected[0]), expected[2])
    assert expected[1] is None or theirs == pytest.approx(expected[1])
    turned = common(spark, "last_night", "neumf", RANKS[::order], **how)
    assert turned == (theirs, ours, num_users)


def test_nothing_in_common_has_no_value(spark):
    how = {"protocol": "full", "metric": "hr", "k": 3}
    apart = [row for row in RANKS if (row[0], row[2]) in {("neumf", 1), ("last_night", 3)}]
    assert common(spark, "neumf", "last_night", apart, **how) == (None, None, 0)
    assert common(spark, "neumf", "unknown", **how) == (None, None, 0)
