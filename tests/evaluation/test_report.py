from pyspark.sql import Row

from ncf_spark.evaluation.report import build_rank_counts, metric_rows
from tests.conftest import rows

RANKS = [
    ("neumf", "full", 1),
    ("neumf", "full", 3),
    ("neumf", "full", 11),
    ("neumf", "full", 4000),
    ("neumf", "full", 3),
    ("neumf", "sampled_99", 10),
    ("popularity", "full", 12),
]
COUNTS = [
    ("neumf", "full", 1, 1),
    ("neumf", "full", 3, 2),
    ("neumf", "full", 11, 2),
    ("neumf", "sampled_99", 10, 1),
    ("popularity", "full", 11, 1),
]


def test_ranks_are_counted_by_model_and_protocol(spark):
    ranks = spark.createDataFrame(RANKS, "model string, protocol string, rank int")
    assert rows(build_rank_counts(ranks, max_k=10)) == COUNTS


def test_no_ranks_give_no_counts(spark):
    ranks = spark.createDataFrame([], "model string, protocol string, rank int")
    assert rows(build_rank_counts(ranks, max_k=10)) == []


def test_figures_come_by_model_and_protocol_in_order():
    collected = [
        Row(model=model, protocol=protocol, rank=rank, num_rows=num_rows)
        for model, protocol, rank, num_rows in [
            ("popularity", "full", 4, 8),
            ("neumf", "sampled_99", 2, 1),
            ("neumf", "full", 3, 2),
            ("neumf", "full", 1, 1),
            ("neumf", "full", 4, 1),
        ]
    ]
    figures = metric_rows(collected, [3, 1])
    assert [(*figure[:5], round(figure[5], 6)) for figure in figures] == [
        # (1 / log2 2 + 2 / log2 4) / 4
        ("neumf", "full", "hr", 3, "all", 0.75),
        ("neumf", "full", "ndcg", 3, "all", 0.5),
        ("neumf", "full", "hr", 1, "all", 0.25),
        ("neumf", "full", "ndcg", 1, "all", 0.25),
        ("neumf", "sampled_99", "hr", 3, "all", 1.0),
        ("neumf", "sampled_99", "ndcg", 3, "all", 0.63093),
        ("neumf", "sampled_99", "hr", 1, "all", 0.0),
        ("neumf", "sampled_99", "ndcg", 1, "all", 0.0),
        ("popularity", "full", "hr", 3, "all", 0.0),
        ("popularity", "full", "ndcg", 3, "all", 0.0),
        ("popularity", "full", "hr", 1, "all", 0.0),
        ("popularity", "full", "ndcg", 1, "all", 0.0),
    ]
    assert {figure[6:] for figure in figures} == {(None, None)}


def test_without_ranks_there_are_no_figures():
    assert metric_rows([], [10]) == []
