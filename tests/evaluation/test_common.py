import math

import pytest

from ncf_spark import schemas
from ncf_spark.evaluation.common import common_metrics
from tests.evaluation.test_judging import metrics_of

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


def common(ranks, a, b, *, protocol, metric, k):
    """Both values and the number of users, among those of other cut-offs."""
    found = common_metrics(ranks, a, b, ks=[k, k + 1])
    [row] = [r for r in found if (r.protocol, r.metric, r.k) == (protocol, metric, k)]
    return row.champion, row.last_night, row.num_users


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
    ranks = spark.createDataFrame(RANKS[::order], schemas.RANKS)
    ours, theirs, num_users = common(ranks, "neumf", "last_night", **how)
    assert (ours, num_users) == (pytest.approx(expected[0]), expected[2])
    assert expected[1] is None or theirs == pytest.approx(expected[1])
    turned = common(ranks, "last_night", "neumf", **how)
    assert turned == (theirs, ours, num_users)


def test_a_model_with_itself_is_as_in_the_metrics(spark):
    ranks = spark.createDataFrame(RANKS, schemas.RANKS)
    metrics = metrics_of(
        ranks,
        spark.createDataFrame([(0, 0, 0)], schemas.TRAIN),
        spark.createDataFrame([], "item_index int, category string"),
        spark.createDataFrame([(item, 1) for item in range(5)], schemas.ITEM_POPULARITY),
        ks=[3],
        segment_bounds=[1, 2],
        bootstrap_samples=0,
        seed=1,
    )
    found = {
        (row["protocol"], row["metric"]): row["value"]
        for row in metrics.where("model = 'neumf' and segment = 'all'").collect()
    }
    for protocol, num_users in (("full", 3), ("sampled_99", 2)):
        for metric in ("hr", "ndcg", "recall", "mrr", "map"):
            how = {"protocol": protocol, "metric": metric, "k": 3}
            ours, same, counted = common(ranks, "neumf", "neumf", **how)
            assert ours == same == pytest.approx(found[protocol, metric], abs=1e-8)
            assert counted == num_users


def test_nothing_in_common_has_no_value(spark):
    apart = [row for row in RANKS if (row[0], row[2]) in {("neumf", 1), ("last_night", 3)}]
    ranks = spark.createDataFrame(apart, schemas.RANKS)
    assert common_metrics(ranks, "neumf", "last_night", ks=[3]) == []
    assert common_metrics(ranks, "neumf", "unknown", ks=[3]) == []
