"""Which items a campaign may show, and to whom not: applied before scoring, and again after it."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.campaign import items, pairs, recipients
from ncf_spark.campaign.files.writing import max_text_bytes
from ncf_spark.inputs.audience import read_recipients, read_send_log
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.logs import log


def write_campaign_items(job: Job) -> DataFrame:
    """`campaign_items`, each item with the reason why it is not shown; writes `eligible_items`."""
    rules, lists = job.config.campaign.items, job.config.campaign.lists
    rows = items.build_campaign_items(
        job.read("item_activity", schemas.ITEM_ACTIVITY),
        job.read("catalogue", schemas.CATALOGUE),
        in_catalogue=job.config.catalogue.configured,
        required=rules.required,
        deny=rules.deny,
        min_price=rules.min_price,
        max_price=rules.max_price,
        where=rules.where,
        pin=lists.pin,
        boost=lists.boost,
        consumable=job.config.campaign.pairs.consumable,
        max_bytes=max_text_bytes(job),
    )
    written = job.write("campaign_items", rows, schemas.CAMPAIGN_ITEMS)
    warn_of_unmatched_rules(written, rules.deny, lists.pin)
    eligible = items.build_eligible_items(written)
    remedy = "No item with events may be shown; campaign_items gives the reason for each item."
    job.write("eligible_items", eligible, schemas.ELIGIBLE_ITEMS, if_empty=remedy)
    return written


def build_purchases(job: Job, item_index: DataFrame) -> DataFrame:
    """(user_index, item_index) of what was bought, each pair once.

    Args:
        item_index: (item_id, item_index, …); purchases of other items are left out.
    """
    history = job.read("history", schemas.HISTORY)
    return pairs.build_purchases(history, job.read("user_index", schemas.USER_INDEX), item_index)


def warn_of_unmatched_rules(campaign_items: DataFrame, deny: list[str], pin: str | None) -> None:
    """Warns of denied ids that match no item, and of pinned items that are not shown."""
    known = campaign_items.where(F.col("item_id").isin(deny)).select("item_id").collect()
    unknown = sorted(set(deny) - {row["item_id"] for row in known})
    if unknown:
        log.warning(
            "campaign.items.deny: %d ids match no item in the catalogue or the events, e.g. %s",
            *(len(unknown), unknown[:3]),
        )
    if pin is None:
        return
    has_reason = F.col("reason").isNotNull()
    [(num_pinned, num_not_shown)] = (
        campaign_items.where("is_pinned").agg(F.count(F.lit(1)), F.count_if(has_reason)).collect()
    )
    if not num_pinned:
        log.warning("campaign.lists.pin: matches no item")
    elif num_not_shown:
        log.warning(
            "campaign.lists.pin: %d of %d items are not shown; --explain-item gives the reason",
            *(num_not_shown, num_pinned),
        )


def blocked_pairs(
    job: Job, history: DataFrame, campaign_items: DataFrame, send_log: DataFrame | None
) -> DataFrame:
    """(user_id, item_id, reason): the pairs that section campaign.pairs excludes."""
    rules, sent = job.config.campaign.pairs, None
    if rules.sent_days is not None and send_log is not None:
        sent = pairs.build_sent(send_log, days=rules.sent_days, ends_at=job.ends_at)
    return pairs.build_blocked_pairs(
        history,
        campaign_items,
        sent,
        known=rules.known,
        bought=rules.bought,
        bought_days=rules.bought_days,
        consumable_days=rules.consumable_days,
        wanted=rules.wanted,
        ends_at=job.ends_at,
    )


def with_excluded(job: Job, users: DataFrame, campaign_items: DataFrame) -> DataFrame:
    """`users` (user_index, seen) with the items that scoring excludes as `seen`."""
    history, rules = job.read("history", schemas.HISTORY), job.config.campaign.pairs
    countries = _countries(job)
    return pairs.with_excluded(
        users,
        blocked_pairs(job, history, campaign_items, read_send_log(job)),
        None if countries is None else pairs.build_other_country_items(countries, campaign_items),
        job.read("user_index", schemas.USER_INDEX),
        campaign_items,
        known=rules.known and rules.consumable is None,
    )


def _countries(job: Job) -> DataFrame | None:
    """(user_id, country) of the recipients; None where no item is limited to countries."""
    source = job.config.recipients
    is_known = source.configured and source.columns.country is not None
    if not is_known or job.config.catalogue.columns.countries is None:
        return None
    return recipients.build_users(read_recipients(job)).select("user_id", "country")
