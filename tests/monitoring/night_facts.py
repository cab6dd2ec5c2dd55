"""What the steps of a small night recorded, for tests of what is told of it."""

from dataclasses import replace
from typing import Any

from ncf_spark.config import LAST_NIGHT
from ncf_spark.monitoring.summary import NightFacts

RECORDS: dict[str, dict[str, Any]] = {
    "build_interactions": {
        "seconds": 12.3,
        "tables": {
            "interactions": {"num_rows": 900},
            "user_index": {"num_rows": 80},
            "item_index": {"num_rows": 150},
        },
        "result": {
            "input": "s3a://shop/orders",
            "column_types": {},
            "events": {
                "raw": 1200,
                "dropped": {"no_user": 30, "bad_time": 0, "duplicates": 150},
                "used": 1020,
                "interactions": 900,
            },
            "users": {"present": 70, "departed": 10, "new": 5},
            "items": {"present": 140, "departed": 10, "new": 5},
            "start": {"run": None, "reason": "there is no night before"},
            "people_files": {},
            "suppression_rows": {},
        },
        "notes": {"items with events that are not in the catalogue": 4},
    },
    "train": {
        "seconds": 100.0,
        "tables": {"model/user_vectors": {"num_rows": 80}},
        "notes": {"model: last epoch": {"epoch": 3, "loss": 0.31}},
    },
    "score_users": {
        "seconds": 2.0,
        "tables": {"user_topk": {"num_rows": 1600}},
        "result": {"users_with_recommendations": 80},
    },
    "export_campaign": {
        "seconds": 3.0,
        "tables": {"campaign": {"num_rows": 1234}},
        "result": {
            "recipients_left_out": {"no_consent": 50, "suppressed": 7},
            "recipients_by_arm": {"model": 1234},
            "slots_by_source": {"model": 3702, "bestseller": 12},
            "items_not_shown": {},
            "pairs_passed_over": {},
            "recipients_on_suppressions": {},
            "full_lists": 1.0,
            "churn": None,
        },
    },
}


def figure(model: str, value: float, metric: str = "ndcg", **others: Any) -> dict[str, Any]:
    """A row of `metrics`."""
    row = {"model": model, "protocol": "full", "metric": metric, "k": 10, "segment": "all"}
    return {**row, "value": value, "low": None, "high": None, **others}


FACTS = NightFacts(
    run_date="2026-11-23",
    run="2026-11-23.2",
    uri="s3a://shop/w/runs/2026-11-23.2",
    own="neumf",
    records=RECORDS,
    metrics=[
        figure("neumf", 0.25, low=0.24, high=0.26),
        figure("neumf", 0.4, "coverage"),
        figure("popularity", 0.1),
        figure(LAST_NIGHT, 0.24),
    ],
    before=("2026-11-22.1", "mf"),
    metrics_before=[figure("mf", 0.2702), figure("neumf", 0.9)],
    verdicts=["events: 1,020 lies between 900 and 1,500, around the median of 5 nights"],
    published=True,
    outcome="Yes: s3a://shop/w/runs/2026-11-23.2, which LATEST.json names.",
)


def facts(**changes: Any) -> NightFacts:
    """That night, with changes."""
    return replace(FACTS, **changes)
