"""Candidates → the list of each recipient: the first that every rule lets pass, slot by slot."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ncf_spark.campaign.tiers import MODEL

_CANDIDATE = ("tier", "place", "item_id", "score", "source", "category", "brand", "countries")


@dataclass(frozen=True)
class SlotRules:
    """What holds within a list; None: nothing is asked.

    Args:
        k: slots.
        min_categories: different categories of a list at least; no category is one of its own.
        min_score: of candidates from the model.
    """

    k: int
    max_per_category: int | None = None
    max_per_brand: int | None = None
    min_categories: int = 1
    min_score: float | None = None


def build_gathered(
    candidates: DataFrame, campaign_items: DataFrame, *, by: str = "user_id"
) -> DataFrame:
    """(user_id, candidates): all candidates of a user, in the order in which they are tried.

    Args:
        candidates: rows as `ncf_spark.campaign.tiers` has them.
        campaign_items: (item_id, category, brand, countries, …).
        by: whose they are: of a user, or of a group.
    """
    facts = campaign_items.select("item_id", "category", "brand", "countries")
    known = candidates.join(facts, on="item_id", how="inner")
    gathered = F.array_sort(F.collect_list(F.struct(*_CANDIDATE)))
    return known.groupBy(by).agg(gathered.alias("candidates"))


def with_best_sellers(users: DataFrame, best_sellers: DataFrame, served: Column) -> DataFrame:
    """`users` whose `candidates` go on with the best-sellers of their group, then everyone's.

    They are joined as lists that were gathered once: a row for each user and best-seller would be
    most of the rows of a campaign.

    Args:
        users: (group, candidates, …), candidates null where there are none.
        best_sellers: (group, candidates), group null for everyone's.
        served: which users get them.
    """
    of_group = best_sellers.where("group is not null")
    of_all = best_sellers.where("group is null").select(F.col("candidates").alias("of_all"))
    joined = users.join(
        F.broadcast(of_group.withColumnRenamed("candidates", "of_group")), on="group", how="left"
    ).join(F.broadcast(of_all), on=F.lit(True), how="left")
    nothing = F.array().cast(users.schema["candidates"].dataType)
    more = F.concat(F.coalesce("of_group", nothing), F.coalesce("of_all", nothing))
    longer = F.concat(F.coalesce("candidates", nothing), F.when(served, more).otherwise(nothing))
    return joined.withColumn("candidates", longer).select(*users.columns)


def with_slots(users: DataFrame, rules: SlotRules) -> DataFrame:
    """`users` with `slots` and `passed`, and without what they are made of.

    `slots` are the chosen candidates, best first; `passed` those that a rule barred before all
    slots were filled: item_id, source and verdict, a code of `reasons.PAIRS`. What an earlier tier
    brought already is neither.

    Args:
        users: (user_id, country, candidates, never, full_items), never as of `pairs.build_never`,
            full_items as of `exposures.build_full_for`; each of the last three may be null.
    """
    none_chosen = F.filter("candidates", lambda one: F.lit(False))
    none_passed = F.array().cast(_PASSED)

    def take(state: Column, one: Column) -> Column:
        chosen, passed = state["chosen"], state["passed"]
        verdict = _verdict(chosen, one, rules)
        told = F.struct(one["item_id"], one["source"], verdict.alias("verdict"))
        longer = F.struct(
            F.when(verdict.isNull(), F.concat(chosen, F.array(one)))
            .otherwise(chosen)
            .alias("chosen"),
            F.when(verdict.isNull(), passed)
            .otherwise(F.concat(passed, F.array(told)))
            .alias("passed"),
        )
        is_done = (F.size(chosen) >= rules.k) | F.array_contains(chosen["item_id"], one["item_id"])
        return F.when(is_done, state).otherwise(longer)

    start = F.struct(none_chosen.alias("chosen"), none_passed.alias("passed"))
    state = F.aggregate("candidates", start, take)
    nothing = F.array().cast(users.schema["candidates"].dataType)
    return (
        users.withColumn("state", state)
        .withColumn("slots", F.coalesce("state.chosen", nothing))
        .withColumn("passed", F.coalesce("state.passed", none_passed))
        .drop("state", "candidates", "never", "full_items")
    )


_PASSED = "array<struct<item_id:string,source:string,verdict:string>>"


def _verdict(chosen: Column, one: Column, rules: SlotRules) -> Column:
    """The code of the first rule that bars a candidate from a list so far; null: none does."""
    reason = F.filter("never", lambda other: other["item_id"] == one["item_id"])[0]["reason"]
    tests = {**_pair_columns(one), **_rule_columns(chosen, one, rules)}
    codes = {code: reason if code == "never" else F.lit(code) for code in tests}
    return F.coalesce(*[F.when(test, codes[code]) for code, test in tests.items()])


def _rule_columns(chosen: Column, one: Column, rules: SlotRules) -> dict[str, Column]:
    """Whether each rule bars a candidate from a list so far, by its code in `reasons.PAIRS`."""
    found: dict[str, Column] = {}
    if rules.min_score is not None:
        low = (one["tier"] == MODEL) & (one["score"] < F.lit(rules.min_score).cast("float"))
        found["min_score"] = F.coalesce(low, F.lit(False))
    for name, most in (("category", rules.max_per_category), ("brand", rules.max_per_brand)):
        if most is not None:
            found[name] = _num_like(chosen, one, name) >= most
    if rules.min_categories > 1:
        free = rules.k - 1 - F.size(chosen)
        is_new = _num_like(chosen, one, "category") == 0
        shown = num_categories(chosen) + is_new.cast("int")
        found["min_categories"] = free < rules.min_categories - shown
    return found


def num_categories(slots: Column) -> Column:
    """Different categories of a list; each item without one counts."""
    named = F.array_distinct(F.filter(slots["category"], lambda name: name.isNotNull()))
    return F.size(named) + F.size(F.filter(slots, lambda one: one["category"].isNull()))


def _num_like(chosen: Column, one: Column, name: str) -> Column:
    """Items of a list with the candidate's category or brand; 0 for a candidate without one."""
    return F.size(F.filter(chosen, lambda other: other[name] == one[name]))


def _pair_columns(one: Column) -> dict[str, Column]:
    """Whether each rule on pairs bars a candidate, whatever the list."""
    item_id, countries = one["item_id"], one["countries"]
    here = F.array_contains(countries, F.upper(F.trim("country")))
    found = {
        "never": F.array_contains(F.col("never.item_id"), item_id),
        # An item for some countries is not for users of whom no country is known.
        "country": countries.isNotNull() & ~F.coalesce(here, F.lit(False)),
        "max_exposures": F.array_contains(F.col("full_items"), item_id),
    }
    return {code: F.coalesce(test, F.lit(False)) for code, test in found.items()}
