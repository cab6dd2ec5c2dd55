"""No transform of a campaign sorts a table that grows in one task, or sends it to Python."""

from __future__ import annotations

from datetime import date, datetime, timezone
from functools import partial

from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.campaign import export, exposures, items, pairs, recipients, slots, tiers
from tests.preparation.test_plans import faults

ENDS_AT = datetime(2026, 11, 24, tzinfo=timezone.utc)
SOME = "array<struct<item_id:string,reason:string>>"


def test_no_transform_has_a_window_without_partition_or_python_in_its_plan(spark):
    def table(schema):
        return spark.createDataFrame([], schema)

    history, log = table(schemas.HISTORY), table(schemas.SEND_LOG)
    shown, users = table(schemas.CAMPAIGN_ITEMS), recipients.build_users(table(schemas.RECIPIENTS))
    # As where campaign.best_sellers.by is null.
    grouped = users.withColumn("group", F.lit(None).cast("string"))
    judged = recipients.with_reason(
        users.withColumn("num_events", F.lit(0)),
        suppressed=recipients.build_suppressed({"all": table(schemas.SUPPRESSIONS)}),
        num_sends=recipients.build_num_sends(log, days=7, ends_at=ENDS_AT),
        audience="country = 'DE'",
        frequency=(2, 7),
        ends_at=ENDS_AT,
    )
    best = tiers.build_best_sellers(history, grouped, shown, depth=9, days=7, ends_at=ENDS_AT)
    blocked = pairs.build_blocked_pairs(
        history,
        shown,
        pairs.build_sent(log, days=7, ends_at=ENDS_AT),
        **{"known": True, "bought": True, "bought_days": 9, "consumable_days": 9},
        wanted=True,
        ends_at=ENDS_AT,
    )
    rules = slots.SlotRules(10, 3, 2, 3, 0.0)
    of_model = tiers.build_from_model(table(schemas.USER_TOPK), shown)
    similar = tiers.build_similar(users, history, table(schemas.ITEM_TOPK), shown, last=5)
    group = partial(slots.build_gathered, campaign_items=shown, rules=rules)
    pinned = group(tiers.build_pinned(shown, k=3), by="group").drop("group")
    numbers = table(schemas.USER_INDEX).select("user_id", "user_index")
    joined = slots.with_candidates(grouped.join(numbers, on="user_id"), pinned, by=None)
    joined = slots.with_candidates(joined, group(of_model, by="user_index"), by="user_index")
    joined = slots.with_candidates(joined, group(similar, by="user_id"), by="user_id")
    best_lists = group(tiers.build_best_candidates(best), by="group")
    joined = slots.with_candidates(joined, best_lists, by="group")
    joined = joined.join(pairs.build_blocked_items(blocked), on="user_id", how="left")
    joined = joined.withColumn("unavailable_items", F.lit(None).cast("array<string>"))
    lists = slots.with_slots(joined, rules)
    exposed = exposures.build_exposures(lists, max_exposures=9)
    filled = export.build_campaign_lists(lists.withColumn("arm", F.lit("model")), shown)
    night = ("autumn", date(2026, 11, 23))
    plans = {
        "recipients": judged,
        "best_sellers": best,
        "lists": lists,
        "exposures": exposed,
        "reselection": exposures.build_reselection(users, exposed),
        "without_excess": exposures.without_excess(lists, exposed),
        "other_country_items": pairs.build_other_country_items(users, shown),
        "items": items.build_eligible_items(shown),
        "campaign_lists": filled,
        "campaign": export.build_campaign(filled, *night, k=3),
        "campaign_long": export.build_campaign_long(filled, *night),
    }
    assert {name: faults(plan) for name, plan in plans.items() if faults(plan)} == {}
