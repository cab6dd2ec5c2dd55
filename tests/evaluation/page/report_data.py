"""What the tests of the report put into it: small, with every kind of hole."""

import math
from dataclasses import replace

from ncf_spark.evaluation.page.render import ReportData

HOSTILE = "<script>alert('x')</script> & \"q\" $a$ {{ 7 * 7 }}"


def metric(model, protocol, metric, k, value, low=None, high=None, segment="all"):
    return {
        "model": model,
        "protocol": protocol,
        "metric": metric,
        "k": k,
        "segment": segment,
        "value": value,
        "low": low,
        "high": high,
    }


METRICS = [
    metric("popularity", "full", "ndcg", 10, 0.05, 0.04, 0.06),
    metric("popularity", "full", "hr", 10, 0.31, 0.3, 0.32),
    metric("als", "full", "ndcg", 10, 0.123449, 0.1, 0.14),
    metric("als", "full", "hr", 10, 0.31004, 0.3, 0.32),
    metric("mf", "full", "ndcg", 10, math.nan),
    metric("mf", "full", "hr", 10, 0.2),
    metric("neumf", "full", "ndcg", 10, 0.2, 0.19, 0.21),
    metric("neumf", "full", "hr", 10, 0.3, 0.29, 0.31),
    metric("neumf", "full", "ndcg", 5, 0.15, 0.14, 0.16),
    metric("neumf", "full", "coverage", 10, 0.4),
    metric("als", "full", "coverage", 10, 0.6),
    metric("neumf", "sampled_99", "ndcg", 10, 0.4),
    metric("als", "sampled_99", "ndcg", 10, 0.45),
    metric("neumf", "full", "ndcg", 10, 0.11, 0.1, 0.12, "users few"),
    metric("als", "full", "ndcg", 10, 0.12, 0.11, 0.13, "users few"),
    metric("neumf", "full", "ndcg", 10, 0.3, segment="users many"),
    metric("neumf", "full", "ndcg", 10, 0.2, segment="category=Tea"),
    metric("als", "full", "ndcg", 10, 0.25, segment="category=Tea"),
    metric("neumf", "full", "ndcg", 10, 0.3, segment=f"category={HOSTILE}"),
    metric("als", "full", "ndcg", 10, 0.1, segment=f"category={HOSTILE}"),
    metric("neumf", "full", "ndcg", 10, 0.9, segment="category=Cups"),
]


def epoch(number, loss, phase=None, **figures):
    record = {"epoch": number, "loss": loss, "seconds": 12.34, "samples": 1234567}
    return record | ({"phase": phase} if phase else {}) | figures


HISTORY = [
    epoch(1, 0.6, "gmf", **{"ndcg@10": 0.1}),
    epoch(2, 0.5, "gmf"),
    epoch(1, 0.4, "neumf", **{"ndcg@10": 0.3, "ndcg@5": 0.2, "hr@10": 0.5}),
    epoch(2, 0.3, "neumf", **{"ndcg@10": 0.25}),
]
POPULARITY = [
    {
        "model": model,
        "decile": decile,
        "share_of_recommendations": decile / 55,
        "share_of_items": 0.1,
        "share_of_interactions": decile**2 / 385,
    }
    for model in ("als", "neumf")
    for decile in range(1, 11)
]
EMPTY = ReportData(
    run_name="2026-11-01.1", run_date="2026-11-01", split="S.", selection="Chosen.", own="neumf"
)
DATA = replace(
    EMPTY,
    metrics=METRICS,
    histories={"neumf": HISTORY, "mf": [epoch(1, 0.7), epoch(2, 0.6)]},
    chosen_epochs={"neumf": 1},
    popularity=POPULARITY,
    facts=[("Users", 1234567), ("Seconds", 61.27), ("torch", "2.13.0"), ("Share", 0.01)],
    notes=["17 items have no category."],
    baselines=["popularity", "als"],
)
