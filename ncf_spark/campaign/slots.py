"""Candidates → the list of each recipient: the first that every rule lets pass, slot by slot."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ncf_spark.campaign.tiers import MODEL

# What the slots of a user are made of.
MADE_OF = ("candidates", "never", "full_items")

# Candidates of a short list.
_SHORT = 5
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
    candidates: DataFrame, campaign_items: DataFrame, rules: SlotRules, *, by: str = "user_id"
) -> DataFrame:
    """(user_id, candidates): all candidates of a user, in the order in which they are tried.

    `candidates` is a list of short lists: once all slots are filled the rest is passed list by
    list, because what is chosen so far is copied at each step.

    Args:
        candidates: rows as `ncf_spark.campaign.tiers` has them.
        campaign_items: (item_id, category, brand, countries, …).
        by: whose they are: of a user, or of a group.
    """
    asked = {
        "category": rules.max_per_category is not None or rules.min_categories > 1,
        "brand": rules.max_per_brand is not None,
    }
    # Of each candidate of each user: what no rule asks for is not carried along.
    shown = [F.col(n) if asked[n] else F.lit(None).cast("string").alias(n) for n in asked]
    facts = campaign_items.select("item_id", *shown, "countries")
    known = candidates.join(facts, on="item_id", how="inner")
    in_order = F.array_sort(F.collect_list(F.struct(*_CANDIDATE)))
    gathered = known.groupBy(by).agg(in_order.alias("in_order"))
    starts = F.sequence(F.lit(1), F.size("in_order"), F.lit(_SHORT))
    short = F.transform(starts, lambda start: F.slice("in_order", start, _SHORT))
    return gathered.select(by, short.alias("candidates"))


def with_candidates(
    users: DataFrame, lists: DataFrame, *, by: str | None, served: Column | None = None
) -> DataFrame:
    """`users` whose `candidates` go on with those of another tier.

    Lists are joined and not rows: a row for each user and candidate would be most of the rows of a
    campaign.

    Args:
        users: with `candidates` already, never null, or without that column yet.
        lists: (by, candidates), as of `build_gathered`.
        by: whose they are; None: everyone's, and `lists` has one row at most.
        served: which users get them; None: all.
    """
    more = lists.withColumnRenamed("candidates", "more")
    joined = users.join(more, on=F.lit(True) if by is None else by, how="left")
    nothing = F.array().cast(lists.schema["candidates"].dataType)
    is_served = F.col("more").isNotNull() & (F.lit(True) if served is None else served)
    added = F.when(is_served, F.col("more")).otherwise(nothing)
    is_first = "candidates" not in users.columns
    others = [name for name in users.columns if name != "candidates"]
    longer = added if is_first else F.concat("candidates", added)
    return joined.select(*others, longer.alias("candidates"))


def with_slots(users: DataFrame, rules: SlotRules) -> DataFrame:
    """`users` with `slots` and `passed`.

    `slots` are the chosen candidates, best first; `passed` those that a rule barred before all
    slots were filled: item_id, source and verdict, a code of `reasons.PAIRS`. What an earlier tier
    brought already is neither.

    Args:
        users: (user_id, country, *MADE_OF), never as of `pairs.build_never`, full_items as of
            `exposures.build_full_for`; each of MADE_OF may be null.
    """
    none_chosen = F.array().cast(_CHOSEN)
    none_passed = F.array().cast(_PASSED)
    start = F.struct(none_chosen.alias("chosen"), none_passed.alias("passed"))

    def is_full(state: Column) -> Column:
        return F.size(state["chosen"]) >= rules.k

    def choose(user: Column) -> Column:
        def take(state: Column, one: Column) -> Column:
            chosen, passed = state["chosen"], state["passed"]
            verdict = _verdict(user, chosen, one, rules)
            told = F.struct(one["item_id"], one["source"], verdict.alias("verdict"))
            kept = F.struct(*[one[name].alias(name) for name in _SLOT])
            longer = F.struct(F.concat(chosen, F.array(kept)).alias("chosen"), passed)
            barred = F.struct(chosen, F.concat(passed, F.array(told)).alias("passed"))
            is_known = F.array_contains(chosen["item_id"], one["item_id"])
            # Each use of a verdict computes it anew.
            return (
                F.when(is_full(state) | is_known, state)
                .when(verdict.isNull(), longer)
                .otherwise(barred)
            )

        def take_all(state: Column, some: Column) -> Column:
            return F.when(is_full(state), state).otherwise(F.aggregate(some, state, take))

        return F.aggregate("candidates", start, take_all)

    # What is the same for all candidates of a user, computed once: as an array of one.
    here, never_ids = F.upper(F.trim("country")), F.col("never.item_id")
    of_user = F.array(F.struct(here.alias("here"), never_ids.alias("never_ids")))
    state = F.get(F.transform(of_user, choose), F.lit(0))
    return (
        users.withColumn("state", state)
        .withColumn("slots", F.coalesce("state.chosen", none_chosen))
        .withColumn("passed", F.coalesce("state.passed", none_passed))
        .drop("state")
    )


_SLOT = ("item_id", "score", "source", "category", "brand")
_CHOSEN = "array<struct<item_id:string,score:float,source:string,category:string,brand:string>>"
_PASSED = "array<struct<item_id:string,source:string,verdict:string>>"


def _verdict(user: Column, chosen: Column, one: Column, rules: SlotRules) -> Column:
    """The code of the first rule that bars a candidate from a list so far; null: none does.

    Args:
        user: here (its country), never_ids.
    """
    reason = F.filter("never", lambda other: other["item_id"] == one["item_id"])[0]["reason"]
    tests = {**_pair_columns(user, one), **_rule_columns(chosen, one, rules)}
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


def _pair_columns(user: Column, one: Column) -> dict[str, Column]:
    """Whether each rule on pairs bars a candidate, whatever the list."""
    item_id, countries = one["item_id"], one["countries"]
    here = F.array_contains(countries, user["here"])
    found = {
        "never": F.array_contains(user["never_ids"], item_id),
        # An item for some countries is not for users of whom no country is known.
        "country": countries.isNotNull() & ~F.coalesce(here, F.lit(False)),
        "max_exposures": F.array_contains(F.col("full_items"), item_id),
    }
    return {code: F.coalesce(test, F.lit(False)) for code, test in found.items()}
