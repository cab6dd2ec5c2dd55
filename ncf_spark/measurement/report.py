"""Writes and prints the results of a campaign, with warnings where they are not reliable."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from ncf_spark import schemas
from ncf_spark.measurement import results
from ncf_spark.measurement.chart import draw_lifts
from ncf_spark.measurement.measure import Measured, measurement_uri, window
from ncf_spark.measurement.statistics import sample_ratio_p
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.logs import log
from ncf_spark.storage import files, tables
from ncf_spark.storage.runs import now


def write_results(job: Job, measured: Measured) -> None:
    """Writes the files below `measurements`, prints the results, and logs the warnings."""
    shares = exported_shares(job)
    p_value = sample_ratio_p(measured.sizes, shares)
    ratio = results.sample_ratio_sentence(measured.sizes, shares, p_value)
    mismatch = p_value is not None and p_value < results.MISMATCH_P_VALUE
    warnings = [*([ratio] if mismatch else []), *_warnings(job, measured)]
    for warning in warnings:
        log.warning("%s", warning)
    starts_at, ends_at = window(job)
    facts = {
        "campaign_id": job.config.campaign.id,
        "run_date": str(job.run_date),
        "run": job.run.name,
        "measured_at": now(),
        "window": {"starts_at": starts_at.isoformat(), "ends_at": ends_at.isoformat()},
        "arms": {a: {"num_users": measured.sizes.get(a, 0), "share": shares[a]} for a in shares},
        "sample_ratio": {"p_value": p_value, "mismatch": mismatch},
        "warnings": warnings,
        "events": dict(measured.events),
        "results": [row.cells for row in measured.rows],
    }
    _write(job, measured, facts)
    print(_page(job, measured, [*([] if mismatch else [ratio]), *warnings]))


def exported_shares(job: Job) -> dict[str, float]:
    """The share of each arm in the configuration that the run was exported with."""
    record = job.run.step_record("export_campaign") or {}
    arms = record.get("config", {}).get("campaign", {}).get("arms")
    arms = job.config.campaign.arms.model_dump() if arms is None else arms
    popular, holdout = arms["popular"], arms["holdout"]
    rest = max(0.0, round(1 - popular - holdout, 9))
    return {"model": rest, "popular": popular, "holdout": holdout}


def _warnings(job: Job, measured: Measured) -> Iterator[str]:
    _, ends_at = window(job)
    if ends_at > datetime.now(timezone.utc):
        yield (
            f"The window ends at {_time(ends_at)}: these results will change. Decide after that; "
            "if you decide on the first good day, you find differences that do not exist."
        )
    for row in measured.rows:
        if (row.arm, row.outcome) == ("holdout", "sent") and row.num_with:
            yield (
                f"{row.num_with:,} users of the arm holdout were sent something, so the difference "
                "from this arm is smaller than the effect of the campaign."
            )
    for outcome, types in job.config.measurement.types.items():
        if not any(row.num_with for row in measured.rows if row.outcome == outcome):
            yield f"No user has the outcome {outcome}: check measurement.{outcome}, {types}."


def _write(job: Job, measured: Measured, facts: dict[str, Any]) -> None:
    """Writes table and chart, and results.json last: if it exists, the others are complete."""
    uri, campaign_id = measurement_uri(job), job.config.campaign.id
    title = f"{campaign_id} of {job.run_date}: model compared with the other arms"
    chart = draw_lifts(measured.rows, title=title)
    head = {"campaign_id": campaign_id, "run_date": job.run_date}
    content = [
        tuple((head | row.cells)[name] for name in schemas.CAMPAIGN_RESULTS.names)
        for row in measured.rows
    ]
    rows = job.spark.createDataFrame(content, schemas.CAMPAIGN_RESULTS).coalesce(1)
    files.delete(f"{uri}/results.json")
    tables.write_table(rows, f"{uri}/results", schemas.CAMPAIGN_RESULTS, "campaign_results")
    files.write_bytes(f"{uri}/lift.svg", chart.encode())
    files.write_json(f"{uri}/results.json", facts)
    log.info("%s: %s measured, results in %s", job.name, job.run.name, uri)


def _page(job: Job, measured: Measured, sentences: list[str]) -> str:
    starts_at, ends_at = window(job)
    uri = measurement_uri(job)
    lines = [
        f"Results of {job.config.campaign.id} of {job.run_date} (run {job.run.name}), "
        f"{_time(starts_at)} to {_time(ends_at)}:",
        "",
        results.table_text(measured.rows),
        "",
        *sentences,
        "",
        *[f"{name}: {count:,}" for name, count in measured.events.items()],
        "",
        *[f"{uri}/{name}" for name in ("results.json", "results", "lift.svg")],
    ]
    return "\n" + "\n".join(lines)


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
