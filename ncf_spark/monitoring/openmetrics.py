"""The night's figures for Prometheus; the only importer of prometheus_client."""

from __future__ import annotations

from datetime import datetime, timezone

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.openmetrics.exposition import generate_latest

from ncf_spark.monitoring.summary import NightFacts, event_counts


def exposition(facts: NightFacts, last_success_at: datetime | None) -> bytes:
    """An OpenMetrics text of gauges alone, which the older text format of Prometheus is as well.

    Args:
        last_success_at: when a run was published last; None: there was none yet.
    """
    registry = CollectorRegistry()

    def gauge(name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"ncf_{name}", meaning, labels, registry=registry)

    midnight = datetime.fromisoformat(facts.run_date).replace(tzinfo=timezone.utc)
    gauge("run_date_timestamp_seconds", "The night's date, at midnight UTC.").set(
        midnight.timestamp()
    )
    gauge("run_info", "1, for the run of the night.", "run").labels(facts.run).set(1)
    gauge("run_published", "1 if readers are pointed at the run, else 0.").set(facts.published)
    if last_success_at is not None:
        gauge("last_success_timestamp_seconds", "When a run was published last.").set(
            last_success_at.timestamp()
        )
    durations = gauge("step_duration_seconds", "How long a step took.", "step")
    rows = gauge("table_rows", "Rows of a table of the run.", "table")
    for step, record in facts.records.items():
        durations.labels(step).set(record.get("seconds", 0))
        for table, written in record.get("tables", {}).items():
            rows.labels(table).set(written["num_rows"])
    dropped = gauge("dropped_events_ratio", "Share of the raw events not used.", "reason")
    events = event_counts(facts.records)
    for reason, count in events.dropped.items():
        dropped.labels(reason).set(count / max(1, events.raw))
    labels = ("model", "protocol", "metric", "k")
    metrics = gauge("model_metric", "A figure of a model on the night's holdout.", *labels)
    for row in facts.metrics:
        metrics.labels(*(row[label] for label in labels)).set(row["value"])
    text: bytes = generate_latest(registry)
    return text
