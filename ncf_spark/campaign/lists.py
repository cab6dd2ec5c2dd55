"""Builds the lists of a campaign: recipients, tiers of candidates, and the rules that choose."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.campaign import arms, exposures, pairs, recipients, slots, tiers
from ncf_spark.campaign.eligibility import blocked_pairs
from ncf_spark.campaign.files.writing import needs_address
from ncf_spark.inputs.audience import Audience, read_audience
from ncf_spark.pipeline.context import Job

# Best-sellers per slot, and 20 more: purchases and the rules of lists exclude some of them.
_BEST_SELLERS_PER_SLOT = 3
# Purchases whose neighbours are candidates.
_LATEST_PURCHASES = 5
# How often users who lose an item to max_exposures choose again.
_MAX_RESELECTIONS = 8


class Campaign:
    """The lists of one campaign and night: call `recipients`, `best_sellers`, then `lists`."""

    def __init__(self, job: Job) -> None:
        self.job, self.settings = job, job.config.campaign
        self.history = job.read("history", schemas.HISTORY)
        self.items = job.read("campaign_items", schemas.CAMPAIGN_ITEMS)
        self.audience = read_audience(job)
        rules = self.settings.lists
        self.rules = slots.SlotRules(
            self.settings.k,
            rules.max_per_category,
            rules.max_per_brand,
            rules.min_categories,
            rules.min_score,
        )

    def recipients(self) -> DataFrame:
        """Every recipient with `reason`, `arm` (null: gets no email) and `group`."""
        settings = self.settings
        assigned = arms.assigned_arm(
            "user_id",
            campaign_id=settings.id,
            salt=settings.arms.salt,
            popular=settings.arms.popular,
            holdout=settings.arms.holdout,
        )
        by = settings.best_sellers.by
        group = F.trim(by) if by else F.lit(None).cast("string")
        return (
            self._with_reasons()
            .withColumn("arm", F.when(F.col("reason").isNull(), assigned))
            .withColumn("group", F.upper(group) if by == "country" else group)
        )

    def _with_reasons(self) -> DataFrame:
        """Every recipient with the `reason` why the user gets no email, or null."""
        job, settings, log = self.job, self.settings, self.audience.send_log
        user_index = job.read("user_index", schemas.USER_INDEX)
        users = build_users(self.audience, user_index.where("is_present"))
        activity = self.history.groupBy("user_id").agg(F.count(F.lit(1)).alias("num_events"))
        users = users.join(activity, on="user_id", how="left").fillna(0, subset=["num_events"])
        frequency, num_sends = settings.frequency, None
        if frequency is not None and log is not None:
            num_sends = recipients.build_num_sends(log, days=frequency.days, ends_at=job.ends_at)
        suppressions = self.audience.suppressions
        return recipients.with_reason(
            users,
            suppressed=recipients.build_suppressed(suppressions) if suppressions else None,
            num_sends=num_sends,
            audience=settings.audience,
            frequency=None if frequency is None else (frequency.sends, frequency.days),
            ends_at=job.ends_at,
            needs_address=needs_address(job),
        )

    def best_sellers(self, users: DataFrame) -> DataFrame:
        """The best-sellers among all `users`, with an arm or not, by group; see `tiers`."""
        settings = self.settings
        best = tiers.build_best_sellers(
            self.history,
            users.select("user_id", "group"),
            self.items,
            depth=_BEST_SELLERS_PER_SLOT * settings.k + 20,
            days=settings.best_sellers.days,
            ends_at=self.job.ends_at,
        )
        return self.job.stage(best, "best_sellers")

    def lists(self, users: DataFrame, best_sellers: DataFrame) -> DataFrame:
        """Those of `users` who have an arm, with `slots` (may be empty) and `rejected`.

        The arm holdout has the list that it would get, so that the same rules leave out users of
        each arm.
        """
        users = self.with_blocked_items(users)
        if self.settings.pairs.max_exposures is not None:
            users = self.job.stage(users, "users")  # each reselection reads them again
        # Most users have full lists from the first tiers: only the others are joined to the rest.
        first = slots.with_slots(self._with_first_tiers(users), self.rules)
        is_full = F.size("slots") == self.settings.k
        inputs = {name: F.when(~is_full, F.col(name)) for name in slots.SLOT_INPUTS}
        first = self.job.stage(first.withColumns(inputs), "first")
        lists, missing = first.where(is_full).drop(*slots.SLOT_INPUTS), first.where(~is_full)
        if not missing.isEmpty():
            second = self._with_all_tiers(missing.drop("slots", "rejected"), best_sellers)
            lists = lists.unionByName(self.job.stage(second, "second"))
        return self._limit_exposures(users, lists, best_sellers)

    def with_blocked_items(self, users: DataFrame) -> DataFrame:
        """Those of `users` who have an arm, with `blocked` and `unavailable_items` (null)."""
        blocked = blocked_pairs(self.job, self.history, self.items, self.audience.send_log)
        of_user = pairs.build_blocked_items(blocked)
        in_arms = users.where("arm is not null").drop("lists")
        joined = in_arms.join(of_user, on="user_id", how="left")
        return joined.withColumn("unavailable_items", F.lit(None).cast("array<string>"))

    def fill_slots(self, users: DataFrame, best_sellers: DataFrame) -> DataFrame:
        """`users` with the `slots` that the rules allow, and the candidates that they `rejected`.

        Candidates come from all tiers; the arm popular gets pinned items and best-sellers only.
        """
        return self._with_all_tiers(self._with_first_tiers(users), best_sellers)

    def _with_first_tiers(self, users: DataFrame) -> DataFrame:
        """`users` with the `candidates` of the first tiers: pinned items, and the model's."""
        pinned = self._gathered(tiers.build_pinned(self.items, k=self.settings.k), by="group")
        users = slots.with_candidates(users, F.broadcast(pinned.drop("group")), by=None)
        if "model" not in self.settings.tiers:
            return users
        job = self.job
        # Moved as plain rows, and gathered then by tasks of a few users each.
        user_topk = job.read("user_topk", schemas.USER_TOPK).repartition("user_index")
        lists = self._gathered(tiers.build_from_model(user_topk, self.items), by="user_index")
        # Users are shuffled to their lists, which are larger.
        user_index = job.read("user_index", schemas.USER_INDEX).select("user_id", "user_index")
        indexed = users.join(user_index, on="user_id", how="left")
        not_popular = F.col("arm") != arms.POPULAR
        found = slots.with_candidates(indexed, lists, by="user_index", where=not_popular)
        return found.drop("user_index")

    def _with_all_tiers(self, users: DataFrame, best_sellers: DataFrame) -> DataFrame:
        """`users`, with the `candidates` of the first tiers, with the `slots` from all tiers."""
        is_popular = F.col("arm") == arms.POPULAR
        if "similar" in self.settings.tiers:
            similar = tiers.build_similar(
                users.where(~is_popular),
                self.history,
                self.job.read("item_topk", schemas.ITEM_TOPK),
                self.items,
                last=_LATEST_PURCHASES,
            )
            lists = self._gathered(similar, by="user_id")
            users = slots.with_candidates(users, lists, by="user_id")
        best = self._gathered(tiers.build_best_candidates(best_sellers), by="group")
        where = F.lit("bestsellers" in self.settings.tiers) | is_popular
        of_group = F.broadcast(best.where("group is not null"))
        of_all = F.broadcast(best.where("group is null").drop("group"))
        users = slots.with_candidates(users, of_group, by="group", where=where)
        users = slots.with_candidates(users, of_all, by=None, where=where)
        return slots.with_slots(users, self.rules).drop(*slots.SLOT_INPUTS)

    def _gathered(self, candidates: DataFrame, by: str) -> DataFrame:
        return slots.build_gathered(candidates, self.items, self.rules, by=by)

    def _limit_exposures(
        self, users: DataFrame, lists: DataFrame, best_sellers: DataFrame
    ) -> DataFrame:
        """`lists` in which no item has more than campaign.pairs.max_exposures slots.

        Users who lose an item choose again among the items that are still available. That may
        exhaust other items, so it is repeated; slots in excess after the last time stay empty.
        """
        max_exposures = self.settings.pairs.max_exposures
        if max_exposures is None:
            return lists
        is_sent = F.col("arm") != arms.HOLDOUT
        unsent, lists = lists.where(~is_sent), lists.where(is_sent)
        for n in range(_MAX_RESELECTIONS):
            exposed = exposures.build_exposures(lists, max_exposures=max_exposures)
            exposed = self.job.stage(exposed, f"exposures-{n}")
            if exposed.where("is_excess").isEmpty():
                return lists.unionByName(unsent)
            again = exposures.build_reselection(users.drop("unavailable_items"), exposed)
            again = self.job.stage(again.select(*users.columns), f"again-{n}")
            chosen = self.fill_slots(again, best_sellers)
            others = lists.join(again.select("user_id"), on="user_id", how="left_anti")
            lists = self.job.stage(others.unionByName(chosen), f"lists-{n}")
        exposed = exposures.build_exposures(lists, max_exposures=max_exposures)
        num_excess = exposed.where("is_excess").count()
        self.job.note("slots left empty by campaign.pairs.max_exposures", num_excess)
        return exposures.without_excess(lists, exposed).unionByName(unsent)


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
