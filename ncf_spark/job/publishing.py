"""The end of a night: the gates, the manifest, the pointer, and the nights that are too old."""

from __future__ import annotations

from typing import Any

from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.config import LAST_NIGHT
from ncf_spark.errors import RefusedError
from ncf_spark.evaluation.churn import build_churn
from ncf_spark.evaluation.common import common_users_metric
from ncf_spark.evaluation.metrics import main_cut_off
from ncf_spark.job.champion import read_champion
from ncf_spark.job.context import Job
from ncf_spark.job.gates import Figures, Verdict, judge, lines_of
from ncf_spark.job.logs import log
from ncf_spark.job.notify import facts_of, notify, write_page
from ncf_spark.night import STEPS
from ncf_spark.storage import tables

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
        facts_of_night = facts_of(job, run.manifest() or {}, [], block_reason)
    else:
        records = run.check_whole(STEPS)
        figures = find_figures(job, records)
        verdicts = judge(job.config.gates, figures)
        _log(verdicts)
        facts = _facts(job, records, figures, verdicts)
        refusals = [f"gates.{v.gate}: {v.sentence}" for v in verdicts if v.passed is False]
        facts_of_night = facts_of(job, {**facts, "steps": records}, refusals, block_reason)
        write_page(job, facts_of_night)
        if refusals:
            run.refuse(facts, STEPS)
            notify(job, facts_of_night)
            raise RefusedError(
                f"{run.uri}: is not published: {'; '.join(refusals)}. Mend the cause, or change "
                "the gate if the night is right, and run it again: what is done is not done again."
            )
        run.complete(facts, STEPS)
    _point(job, block_reason)
    if is_news:
        notify(job, facts_of_night)
    if job.config.storage.keep_runs is not None:
        deleted = warehouse.delete_old_runs(job.config.storage.keep_runs, run)
        if deleted:
            log.info("deleted %d old runs: %s", len(deleted), ", ".join(deleted))


def _is_published(job: Job) -> bool:
    published = job.warehouse.published_run()
    return published is not None and published.name == job.run.name


def _block_reason(job: Job) -> str | None:
    """Why readers would be set back by the run; None: they would not."""
    published = job.warehouse.published_run()
    if job.warehouse.withdrawn_run() == job.run.name:
        return "was taken back by jobs/runs.py, and is not published again; --force makes another"
    if published is not None and published.sort_key > job.run.sort_key:
        return f"is complete, but not published: {published.name}, of a later night, stays so"
    return None


def _point(job: Job, block_reason: str | None) -> None:
    """Moves the pointer, unless readers would be set back by it."""
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
    """What the manifest says beside what each step recorded."""
    last = list(records.values())[-1]
    inputs: dict[str, Any] = {}
    for record in records.values():
        inputs |= record.get("inputs", {})
    return {
        "run_date": str(job.run_date),
        "seed": job.config.run.seed,
        "based_on": job.run.based_on(),
        "champion": read_champion(job).name,
        "inputs": inputs,
        "volumes": dict(figures.volumes),
        "churn": figures.churn,
        "metrics": _metrics(job),
        "gates": [verdict.as_json() for verdict in verdicts],
        "seconds": {step: record["seconds"] for step, record in records.items()},
        "versions": last["versions"],
        "config": job.config.model_dump(mode="json"),
    }


def _metrics(job: Job) -> list[dict[str, Any]]:
    """The figures over all users, at the main cut-off."""
    k = main_cut_off(job.config.evaluation.ks)
    rows = job.read_rows("metrics", schemas.METRICS)
    of_all = [row for row in rows if row["segment"] == "all" and row["k"] == k]
    return sorted(of_all, key=lambda row: (row["model"], row["protocol"], row["metric"]))


def find_figures(job: Job, records: dict[str, Any]) -> Figures:
    """What the gates look at.

    Args:
        records: what each step wrote about itself.
    """
    metrics = {(r["model"], r["protocol"], r["metric"]): r["value"] for r in _metrics(job)}
    gates, name = job.config.gates, read_champion(job).name
    sampled = f"sampled_{job.config.evaluation.num_negatives}"
    protocol = sampled if gates.protocol == "sampled" else gates.protocol
    before = job.warehouse.complete_runs_before(job.run)
    notes = records["build_interactions"]["notes"]
    events = notes["events"]
    return Figures(
        volumes={
            "events": events["events used"],
            "users": notes["users"]["present"],
            "items": notes["items"]["present"],
        },
        volumes_before=[(run.manifest() or {}).get("volumes", {}) for run in before],
        rejected=_rejected(events),
        model=metrics.get((name, protocol, gates.metric)),
        popularity=metrics.get(("popularity", protocol, gates.metric)),
        common=_common(job, name, protocol),
        coverage=metrics.get((name, "full", "coverage")),
        full_lists=_full_lists(job),
        churn=_churn(job),
    )


def _common(job: Job, name: str, protocol: str) -> tuple[float, float] | None:
    """What is to be published beside last night's model, on tonight's holdout."""
    judged = job.run.step_record("evaluate") or {}
    if "last night's model" not in judged.get("notes", {}):
        return None
    tonight, last_night, _ = common_users_metric(
        job.read("ranks", schemas.RANKS),
        name,
        LAST_NIGHT,
        protocol=protocol,
        metric=job.config.gates.metric,
        k=main_cut_off(job.config.evaluation.ks),
    )
    return None if tonight is None or last_night is None else (tonight, last_night)


def _rejected(events: dict[str, Any]) -> float:
    """The share of raw events that nothing can be made of."""
    unreadable = sum(events["dropped"].get(reason, 0) for reason in _UNREADABLE)
    return unreadable / max(1, events["raw events"])


def _churn(job: Job) -> float | None:
    """The share of users' lists that was not in those of the night before; None on the first."""
    before = job.warehouse.night_before(job.run)
    if before is None:
        return None
    uri = before.finished_table_uri("user_topk")
    old = tables.read_table(job.spark, uri, schemas.USER_TOPK, "user_topk")
    new = job.read("user_topk", schemas.USER_TOPK)
    row = build_churn(old, new, k=job.config.campaign.k).first()
    return None if row is None else row["churn"]


def _full_lists(job: Job) -> float:
    """The share of the trained users whose list has campaign.k items."""
    trained = job.read("train", schemas.TRAIN).select("user_index").distinct().count()
    is_full = F.col("rank") == job.config.campaign.k
    return job.read("user_topk", schemas.USER_TOPK).where(is_full).count() / trained
