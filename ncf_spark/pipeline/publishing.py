"""The end of a night: gates, manifest, pointer, and the deletion of old runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ncf_spark.errors import RefusedError
from ncf_spark.monitoring.notify import notify, write_page
from ncf_spark.monitoring.summary import NightFacts
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.gates import Figures, Verdict, judge, lines_of
from ncf_spark.pipeline.logs import log
from ncf_spark.schemas.results import (
    CampaignCounts,
    Evaluation,
    EventCounts,
    Preparation,
    read_result,
)

# What makes an event unreadable; the other reasons are rules of the customer's.
_UNREADABLE = ("no_user", "no_item", "no_time", "bad_time", "no_value")


def publish(job: Job) -> None:
    """Completes the run if every gate agrees, and points readers at it.

    Raises:
        DataError: when a table is not as its step wrote it.
        RefusedError: naming each gate that refused; the run is kept, and what was published stays.
    """
    run, warehouse, block_reason = job.run, job.warehouse, _block_reason(job)
    is_news = not _is_published(job)
    if run.is_complete:
        night = _facts_of_night(job, run.manifest() or {}, [], block_reason)
    else:
        records = run.check_whole(job.steps)
        figures = find_figures(job, records)
        verdicts = judge(job.config.gates, figures)
        _log(verdicts)
        facts = _facts(job, records, figures, verdicts)
        refusals = [f"gates.{v.gate}: {v.sentence}" for v in verdicts if v.passed is False]
        night = _facts_of_night(job, {**facts, "steps": records}, refusals, block_reason)
        write_page(warehouse, night)
        if refusals:
            run.refuse(facts, job.steps)
            notify(job.config, warehouse, night)
            raise RefusedError(
                f"{run.uri}: is not published: {'; '.join(refusals)}. Fix the cause, or "
                "change the gate if the night is right, and run it again: what is done is skipped."
            )
        run.complete(facts, job.steps)
    _point(job, block_reason)
    if is_news:
        notify(job.config, warehouse, night)
    if job.config.storage.keep_runs is not None:
        deleted = warehouse.delete_old_runs(job.config.storage.keep_runs, run)
        if deleted:
            log.info("deleted %d old runs: %s", len(deleted), ", ".join(deleted))


def _is_published(job: Job) -> bool:
    published = job.warehouse.published_run()
    return published is not None and published.name == job.run.name


def _block_reason(job: Job) -> str | None:
    """Why the run must not replace the published one; None: it may."""
    published = job.warehouse.published_run()
    if job.warehouse.withdrawn_run() == job.run.name:
        return (
            "was withdrawn by jobs/runs.py, and is not published again; --force makes another run"
        )
    if published is not None and published.sort_key > job.run.sort_key:
        return f"is complete, but not published: {published.name}, of a later night, stays so"
    return None


def _point(job: Job, block_reason: str | None) -> None:
    """Moves the pointer to the run, unless it is blocked."""
    if _is_published(job):
        log.info("%s is published already", job.run.uri)
    elif block_reason is not None:
        log.warning("%s %s", job.run.uri, block_reason)
    else:
        job.warehouse.publish(job.run)
        log.info("published %s", job.run.uri)


def _log(verdicts: list[Verdict]) -> None:
    refused = [verdict.line for verdict in verdicts if verdict.passed is False]
    for line in lines_of(verdicts):
        level = log.warning if line in refused else log.info
        level("%s", line)


def _facts(
    job: Job, records: dict[str, Any], figures: Figures, verdicts: list[Verdict]
) -> dict[str, Any]:
    """The manifest, without the steps' records."""
    last = list(records.values())[-1]
    judged = read_result(records["evaluate"], Evaluation)
    inputs: dict[str, Any] = {}
    for record in records.values():
        inputs |= record.get("inputs", {})
    return {
        "run_date": str(job.run_date),
        "seed": job.config.run.seed,
        "based_on": job.run.based_on(),
        "champion": judged.champion,
        "inputs": inputs,
        "volumes": dict(figures.volumes),
        "churn": figures.churn,
        "metrics": [metric.model_dump() for metric in judged.metrics],
        "gates": [verdict.as_json() for verdict in verdicts],
        "seconds": {step: record["seconds"] for step, record in records.items()},
        "versions": last["versions"],
        "config": job.config.model_dump(mode="json"),
    }


def find_figures(job: Job, records: dict[str, Any]) -> Figures:
    """What the gates look at.

    Args:
        records: what each step wrote about itself.

    Raises:
        DataError: when a step was recorded by a version that did not record this.
    """
    gates = job.config.gates
    prepared = read_result(records["build_interactions"], Preparation)
    judged = read_result(records["evaluate"], Evaluation)
    exported = read_result(records["export_campaign"], CampaignCounts)
    sampled = f"sampled_{job.config.evaluation.num_negatives}"
    protocol = sampled if gates.protocol == "sampled" else gates.protocol
    metrics = {(m.model, m.protocol, m.metric): m.value for m in judged.metrics}
    return Figures(
        volumes={
            "events": prepared.events.used,
            "users": prepared.users.present,
            "items": prepared.items.present,
        },
        volumes_before=[
            (run.manifest() or {}).get("volumes", {})
            for run in job.warehouse.complete_runs_before(job.run)
        ],
        rejected=_rejected(prepared.events),
        model=metrics.get((judged.champion, protocol, gates.metric)),
        popularity=metrics.get(("popularity", protocol, gates.metric)),
        common=_common(judged, protocol, gates.metric),
        coverage=metrics.get((judged.champion, "full", "coverage")),
        full_lists=exported.full_lists,
        churn=exported.churn,
    )


def _rejected(events: EventCounts) -> float:
    """The share of raw events that are unreadable."""
    unreadable = sum(events.dropped.get(reason, 0) for reason in _UNREADABLE)
    return unreadable / max(1, events.raw)


def _common(judged: Evaluation, protocol: str, metric: str) -> tuple[float, float] | None:
    """What is to be published beside last night's model, on tonight's holdout."""
    for common in judged.last_night.metrics if judged.last_night else ():
        if (common.protocol, common.metric, common.k) == (protocol, metric, judged.k):
            return common.champion, common.last_night
    return None


def _facts_of_night(
    job: Job, manifest: Mapping[str, Any], refusals: list[str], block_reason: str | None
) -> NightFacts:
    """The facts of a night that summary, Prometheus and MLflow report.

    Args:
        manifest: of the run, or what would be.
        refusals: sentences of the gates that refused.
        block_reason: why the run is not published although no gate refused; None: it is.
    """
    before = job.warehouse.night_before(job.run)
    of_before = (before.manifest() if before is not None else None) or {}
    model_before = of_before.get("champion")
    published = job.warehouse.published_run()
    stays = "nothing is published" if published is None else f"{published.name} stays published"
    if refusals:
        outcome = f"No: {'; '.join(refusals)}. Meanwhile {stays}."
    elif block_reason is not None:
        outcome = f"No: it {block_reason}."
    else:
        outcome = f"Yes: {job.run.uri}, which LATEST.json names."
    return NightFacts(
        run_date=str(job.run_date),
        run=job.run.name,
        uri=job.run.uri,
        own=manifest.get("champion", job.config.model.kind),
        records=manifest.get("steps", {}),
        metrics=manifest.get("metrics", []),
        before=None if model_before is None or before is None else (before.name, model_before),
        metrics_before=of_before.get("metrics", []),
        verdicts=lines_of([Verdict(**verdict) for verdict in manifest.get("gates", [])]),
        published=not refusals and block_reason is None,
        outcome=outcome,
    )
