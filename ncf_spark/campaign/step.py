"""Runs the step export_campaign: recipients → candidates → rules → lists → tables → files."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.campaign import arms, export
from ncf_spark.campaign.churn import build_churn, build_full_lists
from ncf_spark.campaign.files.writing import write_campaign_files
from ncf_spark.campaign.lists import Campaign
from ncf_spark.errors import DataError
from ncf_spark.inputs.audience import sources_of_people
from ncf_spark.inputs.audience_checks import check_audience, checked_before
from ncf_spark.inputs.checks import check_input_files
from ncf_spark.inputs.id_checks import check_ids
from ncf_spark.inputs.suppression_checks import log_suppressions
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.step import Step
from ncf_spark.schemas.results import CampaignCounts
from ncf_spark.storage import tables


def export_campaign(job: Job) -> CampaignCounts:
    """Writes the campaign's tables and files; returns the counts and shares that gates read."""
    check_input_files(job)
    return CampaignCounts(**write_campaign(job), full_lists=_full_lists(job), churn=_churn(job))


def write_campaign(job: Job) -> dict[str, dict[str, int]]:
    """Writes the campaign's tables and files.

    Returns:
        Counts by code, as in `CampaignCounts`.

    Raises:
        DataError: when no recipient gets email.
    """
    campaign = Campaign(job)
    people = checked_before(job)
    if people is None:
        people = check_audience(job, campaign.audience)
        check_ids(job, campaign.audience, job.read("user_index", schemas.USER_INDEX))
    users = job.stage(campaign.recipients(), "recipients")
    lists = campaign.lists(users, campaign.best_sellers(users))
    sent, report = _write_tables(job, campaign.items, users, lists)
    counts = sorted(report.collect(), key=lambda row: row["reason"])
    num_on = _of_kind(counts, "list")
    log_suppressions(people.suppression_rows, num_on)
    write_campaign_files(job, sent)
    return {
        "recipients_left_out": _of_kind(counts, "recipient"),
        "recipients_by_arm": _of_kind(counts, "arm"),
        "slots_by_source": _of_kind(counts, "slot"),
        "items_not_shown": _of_kind(counts, "item"),
        "pairs_passed_over": _of_kind(counts, "pair"),
        "recipients_on_suppressions": {n: num_on.get(n, 0) for n in people.suppression_rows},
    }


def _write_tables(
    job: Job, items: DataFrame, users: DataFrame, lists: DataFrame
) -> tuple[DataFrame, DataFrame]:
    """Writes the tables; returns `schemas.CAMPAIGN_LISTS` of what is sent, and the report.

    Args:
        items: `campaign_items`.
        users: as of `Campaign.recipients`.
        lists: as of `Campaign.lists`.
    """
    settings = job.config.campaign
    night = (settings.id, job.run_date)
    can_send = export.meets_minimum(
        min_items=settings.min_items, min_categories=settings.lists.min_categories
    )
    outcomes = export.build_campaign_recipients(users, lists, can_send, *night)
    outcomes = job.write("campaign_recipients", outcomes, schemas.CAMPAIGN_RECIPIENTS)
    sent = lists.where(can_send & (F.col("arm") != arms.HOLDOUT))
    sent = job.stage(export.build_campaign_lists(sent, items), "campaign_lists")
    long = export.build_campaign_long(sent, *night)
    long = job.write("campaign_long", long, schemas.CAMPAIGN_LONG)
    if not job.num_rows("campaign_long"):
        raise DataError(_no_recipient(outcomes))
    wide = export.build_campaign(sent, *night, k=settings.k)
    job.write("campaign", wide, schemas.campaign_schema(settings.k))
    report = export.build_report(outcomes, items, lists, long, users)
    return sent, job.write("campaign_report", report, schemas.CAMPAIGN_REPORT)


def _no_recipient(outcomes: DataFrame) -> str:
    """The message when nobody gets email, with the number of recipients by reason or arm."""
    reason = F.coalesce("reason", F.concat(F.lit("arm "), "arm")).alias("why")
    counts = outcomes.groupBy(reason).count().orderBy(F.desc("count"), "why").collect()
    listed = "; ".join(f"{row['why']} {row['count']:,}" for row in counts) or "there are none"
    return (
        f"campaign: no recipient gets email. Recipients by outcome: {listed}. Check the columns "
        "and rules that these name, in sections recipients, suppressions and campaign."
    )


def _of_kind(counted: Sequence[Row], kind: str) -> dict[str, int]:
    """Counts by code, of the rows of `campaign_report` of one kind."""
    return {row["reason"]: row["num"] for row in counted if row["kind"] == kind}


def _full_lists(job: Job) -> float:
    """The share of the trained users whose list has campaign.k items."""
    topk, train = job.read("user_topk", schemas.USER_TOPK), job.read("train", schemas.TRAIN)
    [row] = build_full_lists(topk, train, k=job.config.campaign.k).collect()
    return float(row["num_full"] / row["num_users"])


def _churn(job: Job) -> float | None:
    """The share of users' lists that is new since the night before; None on the first night."""
    before = job.warehouse.night_before(job.run)
    if before is None:
        return None
    uri = before.finished_table_uri("user_topk")
    old = tables.read_table(job.spark, uri, schemas.USER_TOPK, "user_topk")
    new = job.read("user_topk", schemas.USER_TOPK)
    [row] = build_churn(old, new, k=job.config.campaign.k).collect()
    churn: float | None = row["churn"]
    return churn


EXPORT_CAMPAIGN = Step(
    "export_campaign",
    export_campaign,
    reads=("history", "user_index", "train", "campaign_items", "user_topk", "item_topk"),
    writes=(
        *("campaign", "campaign_long", "campaign_recipients", "campaign_report"),
        *("campaign_state", "campaign_files"),
    ),
    settings=("campaign", "recipients", "suppressions", "send_log"),
    inputs=sources_of_people,
    must_match={
        "build_interactions": ("campaign.pairs.bought_types", "campaign.pairs.wanted_types"),
        "score_users": (
            *("scoring.k", "campaign.items", "campaign.pairs.consumable", "campaign.lists.pin"),
            *("campaign.lists.boost", "campaign.files.profiles"),
        ),
    },
    other_runs=("night_before",),
)
