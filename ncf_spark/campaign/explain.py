"""Explains why a recipient got an item or nothing, and why an item is shown or not."""

from __future__ import annotations

import uuid

from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.campaign import reasons
from ncf_spark.campaign.lists import Campaign
from ncf_spark.pipeline.context import Job


def explain(job: Job, user_id: str | None, item_id: str | None) -> None:
    """Prints the explanations of what is given; writes nothing."""
    if user_id is not None:
        print(explain_user(job, user_id))
    if item_id is not None:
        print(explain_item(job, item_id))


def explain_user(job: Job, user_id: str) -> str:
    """The user's reason or arm, the slots, and the rejected candidates with the reasons.

    The slots are read from the run's tables: they are what was sent. The candidates are built again
    from the current configuration, without campaign.pairs.max_exposures.
    """
    is_user = F.col("user_id") == user_id
    outcome = job.read("campaign_recipients", schemas.CAMPAIGN_RECIPIENTS).where(is_user).first()
    if outcome is None:
        return f"{user_id} is not among the recipients."
    lines = [f"{user_id} in campaign {outcome['campaign_id']} of {outcome['run_date']}"]
    reason = outcome["reason"]
    if reason is not None:
        lines.append(f"  gets no email: {reason}: {reasons.RECIPIENTS[reason]}")
    if outcome["arm"] is None:
        return "\n".join(lines)
    lines.append(f"  arm {outcome['arm']}, {outcome['num_items']} items")
    sent = job.read("campaign_long", schemas.CAMPAIGN_LONG).where(is_user).orderBy("rank").collect()
    lines += [f"  slot {row['rank']}: {row['item_id']} by {row['source']}" for row in sent]
    rejected = _rejected(job, user_id, {row["item_id"] for row in sent})
    if rejected is None:
        lines.append(
            "  rejected items are not known: with the current settings and tables the user gets "
            "no email"
        )
    elif rejected:
        lines.append("  rejected, with the current settings and tables:")
        lines += [
            f"  not {item_id} by {source}: {code}: {reasons.PAIRS[code]}"
            for item_id, source, code in rejected
        ]
    return "\n".join(lines)


def _rejected(job: Job, user_id: str, sent: set[str]) -> list[tuple[str, str, str]] | None:
    """(item_id, source, reason) of the candidates before the last slot that were not sent.

    None: with the current settings and tables the user has no arm.
    """
    # Not in the run, which never changes.
    job.staging_uri = f"{job.warehouse.uri}/explained-{uuid.uuid4().hex}"
    try:
        campaign = Campaign(job)
        everyone = campaign.recipients()
        users = campaign.with_blocked_items(everyone.where(F.col("user_id") == user_id))
        row = campaign.fill_slots(users, campaign.best_sellers(everyone)).first()
    finally:
        job.clear_stages()
    if row is None:
        return None
    # What the user would get but for the limit on exposures.
    limited = [(slot["item_id"], slot["source"], "max_exposures") for slot in row["slots"]]
    found = [*row["rejected"], *(limited if sent else [])]
    return [(item, source, code) for item, source, code in found if item not in sent]


def explain_item(job: Job, item_id: str) -> str:
    """The reason why an item is not shown, or how often it was sent."""
    is_item = F.col("item_id") == item_id
    found = job.read("campaign_items", schemas.CAMPAIGN_ITEMS).where(is_item).first()
    if found is None:
        return f"{item_id} is neither in the catalogue nor among the events."
    if found["reason"] is not None:
        return f"{item_id} is not shown: {found['reason']}: {reasons.ITEMS[found['reason']]}"
    long = job.read("campaign_long", schemas.CAMPAIGN_LONG)
    counts = long.where(is_item).groupBy("source").count().orderBy("source").collect()
    if not counts:
        return f"{item_id} may be shown, but is in no list: other items ranked higher."
    listed = ", ".join(f"{row['count']:,} by {row['source']}" for row in counts)
    return f"{item_id} is shown: {listed}"
