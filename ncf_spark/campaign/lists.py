"""The lists of a campaign: recipients, tiers and rules joined."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.campaign import arms, exposures, pairs, recipients, slots, tiers
from ncf_spark.campaign.eligibility import never_pairs
from ncf_spark.campaign.files.writing import needs_address
from ncf_spark.inputs.audience import Audience, read_audience
from ncf_spark.pipeline.context import Job

# Best-sellers for each slot, and 20: the user's past and the rules of lists take some away.
_SPARE = 3
# Purchases whose neighbours are looked at.
_LATEST = 5
# In which who loses an item to max_exposures chooses again.
_ROUNDS = 8


class Campaign:
    """Builds the lists of one campaign and night."""

    def __init__(self, job: Job) -> None:
        self.job, self.settings = job, job.config.campaign
        self.history = job.read("history", schemas.HISTORY)
        self.items = job.read("campaign_items", schemas.CAMPAIGN_ITEMS)
        self.audience = read_audience(job)
        self.send_log = self.audience.send_log

    def users(self) -> DataFrame:
        """Every recipient with `reason`, `arm` (null: not written to) and `group`."""
        job, settings = self.job, self.settings
        user_index = job.read("user_index", schemas.USER_INDEX)
        users = build_users(self.audience, user_index.where("is_present"))
        activity = self.history.groupBy("user_id").agg(F.count(F.lit(1)).alias("num_events"))
        users = users.join(activity, on="user_id", how="left").fillna(0, subset=["num_events"])
        frequency, num_sends = settings.frequency, None
        if frequency is not None and self.send_log is not None:
            num_sends = recipients.build_num_sends(
                self.send_log, days=frequency.days, ends_at=job.ends_at
            )
        lists = self.audience.suppressions
        judged = recipients.with_reason(
            users,
            suppressed=recipients.build_suppressed(lists) if lists else None,
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
        return self.job.stage(best, "best_sellers")

    def lists(self, users: DataFrame, best_sellers: DataFrame) -> DataFrame:
        """Those of `users` who have an arm, with `slots`; some may have none.

        The arm holdout has what it would have got, so that the arms are alike in who is left out.
        """
        users = self.with_never(users)
        if self.settings.pairs.max_exposures is not None:
            users = self.job.stage(users, "users")  # the rounds come back to them
        own = slots.with_slots(self._with_own(users), self._rules())
        is_full = F.size("slots") == self.settings.k
        again = {name: F.when(~is_full, F.col(name)) for name in slots.MADE_OF}
        first = self.job.stage(own.withColumns(again), "first")
        full, missing = first.where(is_full).drop(*slots.MADE_OF), first.where(~is_full)
        if not missing.isEmpty():
            second = self._filled_up(missing.drop("slots", "passed"), best_sellers)
            full = full.unionByName(self.job.stage(second, "second"))
        return self._capped(users, full, best_sellers)

    def with_never(self, users: DataFrame) -> DataFrame:
        """Those of `users` who have an arm, with `never` and `full_items` (null so far)."""
        dealt = users.where("arm is not null").drop("lists")
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
            shown = self.job.stage(shown, f"exposures-{n}")
            if shown.where("is_over").isEmpty():
                return lists.unionByName(unsent)
            again = exposures.build_full_for(users.drop("full_items"), shown)
            again = self.job.stage(again.select(*users.columns), f"again-{n}")
            chosen = self.choose(again, best_sellers)
            others = lists.join(again.select("user_id"), on="user_id", how="left_anti")
            lists = self.job.stage(others.unionByName(chosen), f"lists-{n}")
        shown = exposures.build_exposures(lists, most=most)
        self.job.note("slots over max_exposures, left empty", shown.where("is_over").count())
        return exposures.without_over(lists, shown).unionByName(unsent)

    def choose(self, users: DataFrame, best_sellers: DataFrame) -> DataFrame:
        """`users` with the `slots` that the rules let pass, and what these `passed` over.

        Of every tier; those of the arm popular are best-sellers, and pinned items.
        """
        return self._filled_up(self._with_own(users), best_sellers)

    def _with_own(self, users: DataFrame) -> DataFrame:
        """`users` with the `candidates` of the first tiers: pinned items, and the model's."""
        pinned = self._gathered(tiers.build_pinned(self.items, k=self.settings.k), by="group")
        users = slots.with_candidates(users, F.broadcast(pinned.drop("group")), by=None)
        if "model" not in self.settings.tiers:
            return users
        job = self.job
        # Moved as plain rows, and gathered then by tasks of a few users each.
        user_topk = job.read("user_topk", schemas.USER_TOPK).repartition("user_index")
        lists = self._gathered(tiers.build_from_model(user_topk, self.items), by="user_index")
        # Users go to their lists, which are larger.
        user_index = job.read("user_index", schemas.USER_INDEX).select("user_id", "user_index")
        numbered = users.join(user_index, on="user_id", how="left")
        served = F.col("arm") != arms.POPULAR
        found = slots.with_candidates(numbered, lists, by="user_index", served=served)
        return found.drop("user_index")

    def _filled_up(self, users: DataFrame, best_sellers: DataFrame) -> DataFrame:
        """`users`, who have the `candidates` of the first tiers, with the `slots` of all."""
        is_popular = F.col("arm") == arms.POPULAR
        if "similar" in self.settings.tiers:
            item_topk = self.job.read("item_topk", schemas.ITEM_TOPK)
            similar = tiers.build_similar(
                users.where(~is_popular), self.history, item_topk, self.items, last=_LATEST
            )
            users = slots.with_candidates(users, self._gathered(similar), by="user_id")
        best = self._gathered(tiers.build_best_candidates(best_sellers), by="group")
        served = F.lit("bestsellers" in self.settings.tiers) | is_popular
        here, everywhere = best.where("group is not null"), best.where("group is null")
        users = slots.with_candidates(users, F.broadcast(here), by="group", served=served)
        users = slots.with_candidates(
            users, F.broadcast(everywhere.drop("group")), by=None, served=served
        )
        return slots.with_slots(users, self._rules()).drop(*slots.MADE_OF)

    def _gathered(self, candidates: DataFrame, by: str = "user_id") -> DataFrame:
        return slots.build_gathered(candidates, self.items, self._rules(), by=by)

    def _rules(self) -> slots.SlotRules:
        lists = self.settings.lists
        return slots.SlotRules(
            self.settings.k,
            lists.max_per_category,
            lists.max_per_brand,
            lists.min_categories,
            lists.min_score,
        )


def build_users(audience: Audience, present: DataFrame) -> DataFrame:
    """The recipients, one row a user; all of `present` (user_id, …) where none are configured."""
    rows = audience.recipients
    if rows is None:
        given = {"user_id": F.col("user_id"), "user": F.col("user_id"), "consent": F.lit(True)}
        rows = present.select(
            *[
                given.get(field.name, F.lit(None).cast(field.dataType)).alias(field.name)
                for field in schemas.RECIPIENTS
            ]
        )
    return recipients.build_users(schemas.conform(rows, schemas.RECIPIENTS, "recipients"))
