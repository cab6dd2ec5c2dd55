"""Finds the run that was sent, and counts what its users did afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.errors import DataError
from ncf_spark.measurement import outcomes, results, revenue
from ncf_spark.pipeline.context import Job
from ncf_spark.storage import files, tables
from ncf_spark.storage.runs import Run

_TABLE = "campaign_recipients"


@dataclass(frozen=True)
class Measured:
    """The rows of the results, the users of each arm, and the events by drop reason."""

    rows: Sequence[results.Row]
    sizes: Mapping[str, int]
    events: Mapping[str, int]


def sent_run(job: Job) -> Run:
    """The run whose campaign was sent: the published one, else the newest complete of its date.

    Raises:
        DataError: when there is none, or it has no arms.
    """
    complete = [run for run in job.warehouse.runs() if run.state == "complete"]
    of_date = [run for run in complete if run.sort_key[0] == str(job.run_date)]
    if not of_date:
        raise DataError(
            f"{job.warehouse.uri}: there is no complete run of {job.run_date}. "
            "Give the --run-date of a night that was published and is still kept."
        )
    published = job.warehouse.published_run()
    name = None if published is None else published.name
    run = next((run for run in of_date if run.name == name), of_date[-1])
    if not files.exists(run.table_uri(_TABLE)):
        raise DataError(
            f"{run.uri}: has no table {_TABLE}, so the arms of the users are unknown. "
            "Give the --run-date of a night that was exported with arms."
        )
    return run


def read_arms(job: Job) -> DataFrame:
    """(user_id, arm) of the campaign that the job's run exported.

    Raises:
        DataError: when nobody is in the arm `model` of campaign.id.
    """
    uri, campaign_id = job.run.table_uri(_TABLE), job.config.campaign.id
    recipients = tables.read_table(job.spark, uri, schemas.CAMPAIGN_RECIPIENTS, _TABLE)
    arms = outcomes.build_arms(recipients, campaign_id=campaign_id)
    own = outcomes.ARMS[0]
    if not arms.where(F.col("arm") == own).limit(1).count():
        known = [row[0] for row in recipients.select("campaign_id").distinct().limit(5).collect()]
        raise DataError(
            f"{uri}: nobody is in the arm {own} of campaign {campaign_id}. Campaigns there: "
            f"{sorted(known)}. Set campaign.id to the one that was sent."
        )
    return arms


def window(job: Job) -> tuple[datetime, datetime]:
    """The start of the window in which events count, and its end, which is not in it."""
    return job.ends_at, job.ends_at + timedelta(days=job.config.measurement.window_days)


def measure(job: Job, arms: DataFrame, events: DataFrame) -> Measured:
    """The outcomes of each arm with intervals; only sums reach the driver.

    Args:
        arms: of `read_arms`.
        events: of `ncf_spark.inputs.outcomes.read_outcomes`.
    """
    settings = job.config.measurement
    starts_at, ends_at = window(job)
    marked = outcomes.with_drop_reason(
        events,
        arms,
        types=settings.types,
        campaign_id=job.config.campaign.id,
        starts_at=starts_at,
        ends_at=ends_at,
    )
    counted = _count_events(job, marked)
    staging = f"{measurement_uri(job)}/staging"
    try:
        users = outcomes.build_user_outcomes(marked, types=settings.types)
        rows, sizes = _count_users(job, arms, tables.staged(users, staging))
    finally:
        files.delete(staging)
    return Measured(rows, sizes, counted)


def _count_users(
    job: Job, arms: DataFrame, users: DataFrame
) -> tuple[list[results.Row], dict[str, int]]:
    """The rows of the results, and the users of each arm."""
    settings, seed = job.config.measurement, job.config.run.seed
    has_revenue = job.config.outcomes.columns.value is not None and "bought" in settings.types
    names = [*settings.types, *([results.REVENUE] if has_revenue else [])]
    counts = outcomes.build_outcome_counts(arms, users, outcomes=names).collect()
    counts.sort(key=lambda row: names.index(row["outcome"]))
    sizes = {row["arm"]: row["num_users"] for row in counts}
    means = {}
    if has_revenue:
        samples = settings.bootstrap_samples
        sums = revenue.build_revenue_sums(users, samples=samples, seed=seed).collect()
        paying = {r["arm"]: r["num_with"] for r in counts if r["outcome"] == results.REVENUE}
        means = revenue.revenue_means(
            [(row["arm"], row["sums"]) for row in sums], sizes, paying, samples=samples, seed=seed
        )
    return results.result_rows([tuple(row) for row in counts], means), sizes


def _count_events(job: Job, marked: DataFrame) -> dict[str, int]:
    """Events by drop reason, for the notes and the results."""
    types = job.config.measurement.types
    counts = outcomes.build_event_counts(marked, bought=types.get("bought", ())).collect()
    by_reason = {row["drop_reason"]: int(row["num_events"]) for row in counts}
    total = sum(by_reason.values())
    figures = {"events": total, "events used": by_reason.get(None, 0)}
    for reason, meaning in outcomes.DROP_REASONS.items():
        if reason in by_reason:
            figures[f"not used: {meaning}"] = by_reason[reason]
    without = sum(row["num_without_value"] for row in counts if row["drop_reason"] is None)
    if job.config.outcomes.columns.value is not None and without:
        figures["used, but bought without a number as value"] = int(without)
    job.note("outcomes", figures)
    return figures


def measurement_uri(job: Job) -> str:
    """The folder of a campaign's results."""
    return f"{job.warehouse.uri}/measurements/{job.config.campaign.id}/{job.run_date}"
