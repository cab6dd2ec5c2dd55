"""Why a recipient got what, or nothing, and why an item shows or does not, for who asks."""

from __future__ import annotations

import uuid

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.campaign import reasons
from ncf_spark.campaign.lists import Campaign
from ncf_spark.pipeline.context import Job


def explain(job: Job, user_id: str | None, item_id: str | None) -> None:
    """Prints what is asked; writes nothing."""
    if user_id is not None:
        print(explain_user(job, user_id))
    if item_id is not None:
        print(explain_item(job, item_id))


def explain_user(job: Job, user_id: str) -> str:
    """The user's reason or arm, the slots, and what was passed over, and why.

    The lists are made again by the configuration as it is now, without counting how often others
    get an item: what was sent stands in the run's tables, and is what the slots are read from.
    """
    is_user = F.col("user_id") == user_id
    became = job.read("campaign_recipients", schemas.CAMPAIGN_RECIPIENTS).where(is_user).first()
    if became is None:
        return f"{user_id} is not among the recipients."
    lines = [f"{user_id} in campaign {became['campaign_id']} of {became['run_date']}"]
    if became["reason"] is not None:
        lines.append(f"  gets no mail: {became['reason']}: {reasons.RECIPIENTS[became['reason']]}")
    if became["arm"] is None:
        return "\n".join(lines)
    lines.append(f"  arm {became['arm']}, {became['num_items']} items")
    sent = job.read("campaign_long", schemas.CAMPAIGN_LONG).where(is_user).orderBy("rank").collect()
    lines += [f"  slot {row['rank']}: {row['item_id']} by {row['source']}" for row in sent]
    shown = {row["item_id"] for row in sent}
    passed = _passed_over(job, user_id, shown)
    if passed is None:
        lines.append(
            "  what was passed over cannot be told: by the settings and tables as they are now the "
            "user gets no mail"
        )
    elif passed:
        lines.append("  passed over, by the settings and tables as they are now:")
        lines += [
            f"  not {item_id} by {source}: {verdict}: {reasons.PAIRS[verdict]}"
            for item_id, source, verdict in passed
        ]
    return "\n".join(lines)


def _passed_over(job: Job, user_id: str, shown: set[str]) -> list[tuple[str, str, str]] | None:
    """(item_id, source, verdict) of what came before the last slot and is not shown.

    None: the user has no arm as things are now.
    """
    # Not in the run, which never changes.
    job.staging_uri = f"{job.warehouse.uri}/explained-{uuid.uuid4().hex}"
    try:
        campaign = Campaign(job)
        everyone = campaign.users()
        users = campaign.with_never(everyone.where(F.col("user_id") == user_id))
        row = campaign.choose(users, campaign.best_sellers(everyone)).first()
    finally:
        job.clear_stages()
    if row is None:
        return None
    given_away = [(one["item_id"], one["source"], "max_exposures") for one in row["slots"]]
    found = [*row["passed"], *(given_away if shown else [])]
    return [(item, source, verdict) for item, source, verdict in found if item not in shown]


def explain_item(job: Job, item_id: str) -> str:
    """Why an item may not be shown, or how often it is."""
    is_item = F.col("item_id") == item_id
    found = job.read("campaign_items", schemas.CAMPAIGN_ITEMS).where(is_item).first()
    if found is None:
        return f"{item_id} is neither in the catalogue nor among the events."
    if found["reason"] is not None:
        return f"{item_id} is not shown: {found['reason']}: {reasons.ITEMS[found['reason']]}"
    long: DataFrame = job.read("campaign_long", schemas.CAMPAIGN_LONG)
    counts = long.where(is_item).groupBy("source").count().orderBy("source").collect()
    if not counts:
        return f"{item_id} may be shown, and stands in no list: others were better."
    told = ", ".join(f"{row['count']:,} by {row['source']}" for row in counts)
    return f"{item_id} is shown: {told}"
