"""user_topk, recipients and rules → campaign, campaign_long, campaign_recipients, report, files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.campaign import arms, export
from ncf_spark.campaign.churn import build_churn
from ncf_spark.campaign.files.writing import write_campaign_files
from ncf_spark.campaign.lists import Campaign
from ncf_spark.errors import DataError
from ncf_spark.inputs.audience import sources_of_people
from ncf_spark.inputs.audience_checks import check_audience, checked_before, log_suppressions
from ncf_spark.inputs.checks import check_input_files
from ncf_spark.inputs.id_checks import check_ids
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.step import Step
from ncf_spark.schemas.results import CampaignCounts
from ncf_spark.storage import tables


def export_campaign(job: Job) -> CampaignCounts:
    """Writes the campaign's tables, and counts what the gates look at."""
    check_input_files(job)
    return CampaignCounts(**write_campaign(job), full_lists=_full_lists(job), churn=_churn(job))


def write_campaign(job: Job) -> dict[str, dict[str, int]]:
    """Writes the campaign's tables: who gets what, who gets nothing and why, and the counts.

    Returns:
        Counts by code, as in `CampaignCounts`.

    Raises:
        DataError: when nobody is left to be written to.
    """
    settings, campaign = job.config.campaign, Campaign(job)
    people = checked_before(job)
    if people is None:
        people = check_audience(job, campaign.audience)
        check_ids(job, campaign.audience, job.read("user_index", schemas.USER_INDEX))
    users = job.stage(campaign.users(), "recipients")
    lists = campaign.lists(users, campaign.best_sellers(users))
    is_long_enough = partial(
        export.enough,
        "slots",
        min_items=settings.min_items,
        min_categories=settings.lists.min_categories,
    )
    night = (settings.id, job.run_date)
    outcomes = export.build_campaign_recipients(users, lists, is_long_enough(), *night)
    outcomes = job.write("campaign_recipients", outcomes, schemas.CAMPAIGN_RECIPIENTS)
    sent = lists.where(is_long_enough() & (F.col("arm") != arms.HOLDOUT))
    filled = job.stage(export.build_campaign_lists(sent, campaign.items), "campaign_lists")
    long = export.build_campaign_long(filled, *night)
    long = job.write("campaign_long", long, schemas.CAMPAIGN_LONG)
    if not job.num_rows("campaign_long"):
        raise DataError(_why_nobody(outcomes))
    wide = export.build_campaign(filled, *night, k=settings.k)
    job.write("campaign", wide, schemas.campaign_schema(settings.k))
    report = export.build_report(outcomes, campaign.items, lists, long, users)
    report = job.write("campaign_report", report, schemas.CAMPAIGN_REPORT)
    counted = sorted(report.collect(), key=lambda row: row["reason"])
    num_on = _of_kind(counted, "list")
    log_suppressions(people, num_on)
    write_campaign_files(job, filled)
    return {
        "recipients_left_out": _of_kind(counted, "recipient"),
        "recipients_by_arm": _of_kind(counted, "arm"),
        "slots_by_source": _of_kind(counted, "slot"),
        "items_not_shown": _of_kind(counted, "item"),
        "pairs_passed_over": _of_kind(counted, "pair"),
        "recipients_on_suppressions": {n: num_on.get(n, 0) for n in people.suppression_rows},
    }


def _why_nobody(outcomes: DataFrame) -> str:
    """What is said when nobody is written to, and why: a line of counts."""
    reason = F.coalesce("reason", F.concat(F.lit("arm "), "arm")).alias("why")
    counts = outcomes.groupBy(reason).count().orderBy(F.desc("count"), "why").collect()
    listed = "; ".join(f"{row['why']} {row['count']:,}" for row in counts) or "there are none"
    return (
        f"Nobody is written to. Recipients by outcome: {listed}. Look at the columns and rules "
        "that these name, in sections recipients, suppressions and campaign."
    )


def _of_kind(counted: Sequence[Row], kind: str) -> dict[str, int]:
    """Counts by code, of the rows of `campaign_report` of one kind."""
    return {row["reason"]: row["num"] for row in counted if row["kind"] == kind}


def _full_lists(job: Job) -> float:
    """The share of the trained users whose list has campaign.k items."""
    trained = job.read("train", schemas.TRAIN).select("user_index").distinct()
    topk = job.read("user_topk", schemas.USER_TOPK)
    full = topk.where(F.col("rank") == job.config.campaign.k).select("user_index")
    both = trained.withColumn("is_full", F.lit(False)).unionByName(
        full.withColumn("is_full", F.lit(True))
    )
    counts = F.count_if("is_full"), F.count_if(~F.col("is_full"))
    [(num_full, num_trained)] = both.agg(*counts).collect()
    return float(num_full / num_trained)


def _churn(job: Job) -> float | None:
    """The share of users' lists that was not in those of the night before; None on the first."""
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
