"""A night's campaign: recipients, tiers and rules joined to the lists that are sent."""

from __future__ import annotations

from functools import partial, reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.campaign import arms, export, exposures, pairs, recipients, slots, tiers
from ncf_spark.job.audience import (
    note_send_log,
    note_suppressions,
    read_send_log,
    read_suppressed,
    read_users,
)
from ncf_spark.job.campaign_files import needs_address, write_campaign_files
from ncf_spark.job.context import Job
from ncf_spark.job.eligibility import never_pairs
from ncf_spark.schemas import DataError
from ncf_spark.storage import files, tables

# Best-sellers for each slot, and 20: the user's past and the rules of lists take some away.
_SPARE = 3
# Purchases whose neighbours are looked at.
_LATEST = 5
# In which who loses an item to max_exposures chooses again.
_ROUNDS = 8


def write_campaign(job: Job) -> None:
    """Writes the campaign's tables: who gets what, who gets nothing and why, and the counts.

    Raises:
        DataError: when nobody is left to be written to.
    """
    settings, staging = job.config.campaign, job.run.table_uri("staging")
    files.delete(staging)  # what a run that failed left there
    campaign = Campaign(job, staging)
    users = tables.staged(campaign.users(), f"{staging}/recipients")
    lists = campaign.lists(users, campaign.best_sellers(users))
    enough = partial(
        export.enough,
        "slots",
        min_items=settings.min_items,
        min_categories=settings.lists.min_categories,
    )
    night = (settings.id, job.run_date)
    became = export.build_campaign_recipients(users, lists, enough(), *night)
    became = job.write("campaign_recipients", became, schemas.CAMPAIGN_RECIPIENTS)
    sent = lists.where(enough() & (F.col("arm") != arms.HOLDOUT))
    filled = tables.staged(
        export.build_campaign_lists(sent, campaign.items), f"{staging}/campaign_lists"
    )
    long = export.build_campaign_long(filled, *night)
    long = job.write("campaign_long", long, schemas.CAMPAIGN_LONG)
    if not job.num_rows("campaign_long"):
        raise DataError(_nobody(became))
    wide = export.build_campaign(filled, *night, k=settings.k)
    job.write("campaign", wide, schemas.campaign_schema(settings.k))
    report = export.build_report(became, campaign.items, lists, long)
    report = job.write("campaign_report", report, schemas.CAMPAIGN_REPORT)
    for kind in _NOTES:
        rows = report.where(F.col("kind") == kind).orderBy("reason").collect()
        job.note(_NOTES[kind], {row["reason"]: row["num"] for row in rows})
    write_campaign_files(job, filled)
    files.delete(staging)


def _nobody(became: DataFrame) -> str:
    """What is said when nobody is written to, and why: a line of counts."""
    reason = F.coalesce("reason", F.concat(F.lit("arm "), "arm")).alias("why")
    counts = became.groupBy(reason).count().orderBy(F.desc("count"), "why").collect()
    told = "; ".join(f"{row['why']} {row['count']:,}" for row in counts) or "there are none"
    return (
        f"Nobody is written to. Recipients by what became of them: {told}. Look at the columns and "
        "rules that these name, in sections recipients, suppressions and campaign."
    )


_NOTES = {
    "recipient": "recipients left out",
    "arm": "recipients by arm",
    "slot": "slots by source",
    "item": "items not shown",
    "pair": "pairs passed over",
}


class Campaign:
    """Builds the lists of one campaign and night.

    Args:
        staging: a folder for what several tables are made of.
    """

    def __init__(self, job: Job, staging: str) -> None:
        self.job, self.staging, self.settings = job, staging, job.config.campaign
        self.history = job.read("history", schemas.HISTORY)
        self.items = job.read("campaign_items", schemas.CAMPAIGN_ITEMS)
        self.send_log = None
        if job.config.send_log.configured:
            self.send_log = read_send_log(job)
            note_send_log(job)

    def users(self) -> DataFrame:
        """Every recipient with `reason`, `arm` (null: not written to) and `group`."""
        job, settings = self.job, self.settings
        user_index = job.read("user_index", schemas.USER_INDEX)
        users = read_users(job, user_index.where("is_present"))
        activity = self.history.groupBy("user_id").agg(F.count(F.lit(1)).alias("num_events"))
        users = users.join(activity, on="user_id", how="left").fillna(0, subset=["num_events"])
        note_suppressions(job)
        frequency, num_sends = settings.frequency, None
        if frequency is not None and self.send_log is not None:
            num_sends = recipients.build_num_sends(
                self.send_log, days=frequency.days, ends_at=job.ends_at
            )
        judged = recipients.with_reason(
            users,
            suppressed=read_suppressed(job),
            num_sends=num_sends,
            audience=settings.audience,
            frequency=None if frequency is None else (frequency.sends, frequency.days),
            ends_at=job.ends_at,
            needs_address=needs_address(job),
        )
        own = arms.arm(
            "user_id",
            campaign_id=settings.id,
            salt=settings.arms.salt,
            popular=settings.arms.popular,
            holdout=settings.arms.holdout,
        )
        group = settings.best_sellers.by
        grouped = F.upper(F.trim(group)) if group == "country" else F.trim(group or "country")
        return judged.withColumn("arm", F.when(F.col("reason").isNull(), own)).withColumn(
            "group", grouped if group else F.lit(None).cast("string")
        )

    def best_sellers(self, users: DataFrame) -> DataFrame:
        """What sells best among all `users`, written to or not, by group; see `tiers`."""
        settings = self.settings
        best = tiers.build_best_sellers(
            self.history,
            users.select("user_id", "group"),
            self.items,
            depth=_SPARE * settings.k + 20,
            days=settings.best_sellers.days,
            ends_at=self.job.ends_at,
        )
        return tables.staged(best, f"{self.staging}/best_sellers")

    def lists(self, users: DataFrame, best_sellers: DataFrame) -> DataFrame:
        """Those of `users` who have an arm, with `slots`; some may have none.

        The arm holdout has what it would have got, so that the arms are alike in who is left out.
        """
        users = tables.staged(self.with_never(users), f"{self.staging}/users")
        of_model = users.where(F.col("arm") != arms.POPULAR)
        own = slots.with_slots(self._gathered(of_model, self._own(of_model)), self._rules())
        first = tables.staged(own, f"{self.staging}/first")
        full = first.where(F.size("slots") == self.settings.k)
        missing = users.join(full.select("user_id"), on="user_id", how="left_anti")
        if missing.limit(1).count():
            second = self.choose(missing, best_sellers)
            full = full.unionByName(tables.staged(second, f"{self.staging}/second"))
        return self._capped(users, full, best_sellers)

    def with_never(self, users: DataFrame) -> DataFrame:
        """Those of `users` who have an arm, with `never` and `full_items` (null so far)."""
        dealt = users.where("arm is not null")
        never = pairs.build_never(never_pairs(self.job, self.history, self.items, self.send_log))
        joined = dealt.join(never, on="user_id", how="left")
        return joined.withColumn("full_items", F.lit(None).cast("array<string>"))

    def _capped(self, users: DataFrame, lists: DataFrame, best_sellers: DataFrame) -> DataFrame:
        """`lists` in which no item stands more often than it may.

        Who loses an item chooses again among what is not yet given away. That may fill other items,
        so it takes some rounds; what is still over after the last stays empty.
        """
        most = self.settings.pairs.max_exposures
        if most is None:
            return lists
        is_sent = F.col("arm") != arms.HOLDOUT
        unsent, lists = lists.where(~is_sent), lists.where(is_sent)
        for n in range(_ROUNDS):
            shown = exposures.build_exposures(lists, most=most)
            shown = tables.staged(shown, f"{self.staging}/exposures-{n}")
            if not shown.where("is_over").limit(1).count():
                return lists.unionByName(unsent)
            again = exposures.build_full_for(users.drop("full_items"), shown)
            again = tables.staged(again.select(*users.columns), f"{self.staging}/again-{n}")
            chosen = self.choose(again, best_sellers)
            others = lists.join(again.select("user_id"), on="user_id", how="left_anti")
            lists = tables.staged(others.unionByName(chosen), f"{self.staging}/lists-{n}")
        shown = exposures.build_exposures(lists, most=most)
        self.job.note("slots over max_exposures, left empty", shown.where("is_over").count())
        return exposures.without_over(lists, shown).unionByName(unsent)

    def choose(self, users: DataFrame, best_sellers: DataFrame) -> DataFrame:
        """`users` with the `slots` that the rules let pass, and what these `passed` over.

        Of every tier; those of the arm popular are best-sellers, and pinned items.
        """
        gathered = self._gathered(users, self._candidates(users))
        best = slots.build_gathered(
            tiers.build_best_candidates(best_sellers), self.items, by="group"
        )
        is_served = F.lit("bestsellers" in self.settings.tiers) | (F.col("arm") == arms.POPULAR)
        filled = slots.with_best_sellers(gathered, best, is_served)
        return slots.with_slots(filled, self._rules())

    def _gathered(self, users: DataFrame, candidates: DataFrame) -> DataFrame:
        gathered = slots.build_gathered(candidates, self.items)
        return users.join(gathered, on="user_id", how="left")

    def _rules(self) -> slots.SlotRules:
        lists = self.settings.lists
        return slots.SlotRules(
            self.settings.k,
            lists.max_per_category,
            lists.max_per_brand,
            lists.min_categories,
            lists.min_score,
        )

    def _own(self, users: DataFrame) -> DataFrame:
        """Pinned items, and the model's of these users."""
        found = [self._pinned(users)]
        if "model" in self.settings.tiers:
            job = self.job
            topk = tiers.build_from_model(
                job.read("user_topk", schemas.USER_TOPK),
                job.read("user_index", schemas.USER_INDEX),
                self.items,
            )
            found.append(topk.join(users.select("user_id"), on="user_id", how="left_semi"))
        return reduce(DataFrame.unionByName, found)

    def _candidates(self, users: DataFrame) -> DataFrame:
        """Candidates of every tier but best-sellers; of the arm popular pinned items alone."""
        of_model = users.where(F.col("arm") != arms.POPULAR)
        is_popular = F.col("arm") == arms.POPULAR
        found = [self._own(of_model), self._pinned(users.where(is_popular))]
        if "similar" in self.settings.tiers:
            item_topk = self.job.read("item_topk", schemas.ITEM_TOPK)
            found.append(
                tiers.build_similar(of_model, self.history, item_topk, self.items, last=_LATEST)
            )
        return reduce(DataFrame.unionByName, found)

    def _pinned(self, users: DataFrame) -> DataFrame:
        return tiers.build_pinned(users, self.items, k=self.settings.k)
