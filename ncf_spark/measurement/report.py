"""What a campaign brought: warnings, the files below `measurements`, and a page for a person."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from ncf_spark import schemas
from ncf_spark.measurement import results
from ncf_spark.measurement.measure import Measured, measurement_uri, window
from ncf_spark.measurement.picture import draw_lifts
from ncf_spark.measurement.statistics import sample_ratio_p
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.logs import log
from ncf_spark.storage import files, tables
from ncf_spark.storage.runs import now


def write_results(job: Job, measured: Measured) -> None:
    """Writes what was measured, prints it, and warns of what makes it less than it seems."""
    shares = exported_shares(job)
    p_value = sample_ratio_p(measured.sizes, shares)
    ratio = results.sample_ratio_sentence(measured.sizes, shares, p_value)
    mismatch = p_value is not None and p_value < results.UNLIKELY
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
    """The share of each arm as the run was exported with, whatever the settings are by now."""
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
            f"The window ends only at {_time(ends_at)}: these figures will change. Decide by them "
            "then; whoever decides on the first good day finds differences that are not there."
        )
    for row in measured.rows:
        if (row.arm, row.outcome) == ("holdout", "sent") and row.num_with:
            yield (
                f"{row.num_with:,} users of the arm holdout were sent something, so it is no "
                "holdout any more: its difference from the others is less than the campaign's."
            )
    for outcome, types in job.config.measurement.types.items():
        if not any(row.num_with for row in measured.rows if row.outcome == outcome):
            yield f"Nobody has the outcome {outcome}: compare measurement.{outcome}, {types}."


def _write(job: Job, measured: Measured, facts: dict[str, Any]) -> None:
    """Table and picture, then results.json: whoever finds that finds what belongs to it."""
    uri, campaign_id = measurement_uri(job), job.config.campaign.id
    title = f"{campaign_id} of {job.run_date}: model beside the other arms"
    picture = draw_lifts(measured.rows, title=title)
    head = {"campaign_id": campaign_id, "run_date": job.run_date}
    content = [
        tuple((head | row.cells)[name] for name in schemas.CAMPAIGN_RESULTS.names)
        for row in measured.rows
    ]
    rows = job.spark.createDataFrame(content, schemas.CAMPAIGN_RESULTS).coalesce(1)
    files.delete(f"{uri}/results.json")
    tables.write_table(rows, f"{uri}/results", schemas.CAMPAIGN_RESULTS, "campaign_results")
    files.write_bytes(f"{uri}/lift.svg", picture.encode())
    files.write_json(f"{uri}/results.json", facts)
    log.info("%s: %s measured, results in %s", job.name, job.run.name, uri)


def _page(job: Job, measured: Measured, sentences: list[str]) -> str:
    starts_at, ends_at = window(job)
    uri = measurement_uri(job)
    lines = [
        f"What {job.config.campaign.id} of {job.run_date} brought (run {job.run.name}), "
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
