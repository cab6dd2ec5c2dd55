"""Fills the slots of each recipient: the first candidates that no rule rejects."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ncf_spark.campaign.tiers import MODEL

# The columns of a user that `with_slots` reads.
SLOT_INPUTS = ("candidates", "blocked", "unavailable_items")

# Candidates in a chunk.
_CHUNK = 5
_CANDIDATE = ("tier", "sort_key", "item_id", "score", "source", "category", "brand", "countries")
_SLOT = ("item_id", "score", "source", "category", "brand")
_CHOSEN = "array<struct<item_id:string,score:float,source:string,category:string,brand:string>>"
_REJECTED = "array<struct<item_id:string,source:string,reason:string>>"


@dataclass(frozen=True)
class SlotRules:
    """The rules of a list; None: no limit.

    Args:
        k: slots.
        min_categories: least number of different categories; each item without one counts as one.
        min_score: of candidates from the model.
    """

    k: int
    max_per_category: int | None = None
    max_per_brand: int | None = None
    min_categories: int = 1
    min_score: float | None = None


def build_gathered(
    candidates: DataFrame, campaign_items: DataFrame, rules: SlotRules, *, by: str
) -> DataFrame:
    """(by, candidates): all candidates of a user or group, in the order in which they are tried.

    `candidates` is an array of chunks: once all slots are filled the rest is skipped chunk by
    chunk, because each step copies what is chosen so far.

    Args:
        candidates: rows as `ncf_spark.campaign.tiers` builds them.
        campaign_items: (item_id, category, brand, countries, …).
        by: the column of the user or group.
    """
    is_read = {
        "category": rules.max_per_category is not None or rules.min_categories > 1,
        "brand": rules.max_per_brand is not None,
    }
    # Null where no rule reads it: it would be copied for each candidate of each user.
    kinds = [F.col(n) if is_read[n] else F.lit(None).cast("string").alias(n) for n in is_read]
    facts = campaign_items.select("item_id", *kinds, "countries")
    known = candidates.join(facts, on="item_id", how="inner")
    in_order = F.array_sort(F.collect_list(F.struct(*_CANDIDATE)))
    gathered = known.groupBy(by).agg(in_order.alias("in_order"))
    starts = F.sequence(F.lit(1), F.size("in_order"), F.lit(_CHUNK))
    chunks = F.transform(starts, lambda start: F.slice("in_order", start, _CHUNK))
    return gathered.select(by, chunks.alias("candidates"))


def with_candidates(
    users: DataFrame, lists: DataFrame, *, by: str | None, where: Column | None = None
) -> DataFrame:
    """`users` with the candidates of another tier at the end of their `candidates`.

    Whole lists are joined: a row for each user and candidate would be most of the rows of a
    campaign.

    Args:
        users: with `candidates` already, never null, or without that column yet.
        lists: (by, candidates), as of `build_gathered`.
        by: the column to join by; None: all users get the same, and `lists` has one row at most.
        where: which users get them; None: all.
    """
    more = lists.withColumnRenamed("candidates", "more")
    joined = users.join(more, on=F.lit(True) if by is None else by, how="left")
    empty = F.array().cast(lists.schema["candidates"].dataType)
    gets_more = F.col("more").isNotNull() & (F.lit(True) if where is None else where)
    added = F.when(gets_more, F.col("more")).otherwise(empty)
    is_first = "candidates" not in users.columns
    others = [name for name in users.columns if name != "candidates"]
    longer = added if is_first else F.concat("candidates", added)
    return joined.select(*others, longer.alias("candidates"))


def with_slots(users: DataFrame, rules: SlotRules) -> DataFrame:
    """`users` with `slots` and `rejected`.

    `slots` are the chosen candidates, best first; `rejected` those that a rule rejected before all
    slots were filled: item_id, source and reason, a code of `reasons.PAIRS`. A candidate that is
    already in the list is in neither a second time.

    Args:
        users: (user_id, country, *SLOT_INPUTS), blocked as of `pairs.build_blocked_items`,
            unavailable_items as of `exposures.build_reselection`; each of SLOT_INPUTS may be null.
    """
    none_chosen, none_rejected = F.array().cast(_CHOSEN), F.array().cast(_REJECTED)
    start = F.struct(none_chosen.alias("chosen"), none_rejected.alias("rejected"))

    def is_full(state: Column) -> Column:
        return F.size(state["chosen"]) >= rules.k

    def choose(user: Column) -> Column:
        def take(state: Column, candidate: Column) -> Column:
            chosen, rejected = state["chosen"], state["rejected"]
            reason = _reason(user, chosen, candidate, rules)
            slot = F.struct(*[candidate[name].alias(name) for name in _SLOT])
            entry = F.struct(candidate["item_id"], candidate["source"], reason.alias("reason"))
            accepted = F.struct(F.concat(chosen, F.array(slot)).alias("chosen"), rejected)
            refused = F.struct(chosen, F.concat(rejected, F.array(entry)).alias("rejected"))
            is_known = F.array_contains(chosen["item_id"], candidate["item_id"])
            # Spark computes the reason again at each use.
            return (
                F.when(is_full(state) | is_known, state)
                .when(reason.isNull(), accepted)
                .otherwise(refused)
            )

        def take_chunk(state: Column, chunk: Column) -> Column:
            return F.when(is_full(state), state).otherwise(F.aggregate(chunk, state, take))

        return F.aggregate("candidates", start, take_chunk)

    # What is the same for all candidates of a user, computed once: as an array of one.
    country, blocked_ids = F.upper(F.trim("country")), F.col("blocked.item_id")
    of_user = F.array(F.struct(country.alias("country"), blocked_ids.alias("blocked_ids")))
    state = F.get(F.transform(of_user, choose), F.lit(0))
    return (
        users.withColumn("state", state)
        .withColumn("slots", F.coalesce("state.chosen", none_chosen))
        .withColumn("rejected", F.coalesce("state.rejected", none_rejected))
        .drop("state")
    )


def _reason(user: Column, chosen: Column, candidate: Column, rules: SlotRules) -> Column:
    """The code of the first rule that rejects a candidate for a list so far; null: none does.

    Args:
        user: (country, blocked_ids).
    """
    item_id = candidate["item_id"]
    reason = F.filter("blocked", lambda pair: pair["item_id"] == item_id)[0]["reason"]
    tests = {**_pair_tests(user, candidate), **_list_tests(chosen, candidate, rules)}
    codes = {code: reason if code == "blocked" else F.lit(code) for code in tests}
    return F.coalesce(*[F.when(test, codes[code]) for code, test in tests.items()])


def _pair_tests(user: Column, candidate: Column) -> dict[str, Column]:
    """Whether each rule on pairs rejects a candidate, whatever the list so far."""
    item_id, countries = candidate["item_id"], candidate["countries"]
    is_sold_there = F.array_contains(countries, user["country"])
    tests = {
        "blocked": F.array_contains(user["blocked_ids"], item_id),
        # An item for some countries is not shown to users whose country is unknown.
        "country": countries.isNotNull() & ~F.coalesce(is_sold_there, F.lit(False)),
        "max_exposures": F.array_contains(F.col("unavailable_items"), item_id),
    }
    return {code: F.coalesce(test, F.lit(False)) for code, test in tests.items()}


def _list_tests(chosen: Column, candidate: Column, rules: SlotRules) -> dict[str, Column]:
    """Whether each rule on lists rejects a candidate, by its code in `reasons.PAIRS`."""
    tests: dict[str, Column] = {}
    if rules.min_score is not None:
        is_low = candidate["score"] < F.lit(rules.min_score).cast("float")
        tests["min_score"] = F.coalesce((candidate["tier"] == MODEL) & is_low, F.lit(False))
    for name, most in (("category", rules.max_per_category), ("brand", rules.max_per_brand)):
        if most is not None:
            tests[name] = _num_like(chosen, candidate, name) >= most
    if rules.min_categories > 1:
        free = rules.k - 1 - F.size(chosen)
        is_new = _num_like(chosen, candidate, "category") == 0
        shown = num_categories(chosen) + is_new.cast("int")
        tests["min_categories"] = free < rules.min_categories - shown
    return tests


def num_categories(slots: Column) -> Column:
    """Different categories of a list; each item without one counts."""
    named = F.array_distinct(F.filter(slots["category"], lambda name: name.isNotNull()))
    return F.size(named) + F.size(F.filter(slots, lambda slot: slot["category"].isNull()))


def _num_like(chosen: Column, candidate: Column, name: str) -> Column:
    """Items of a list with the candidate's category or brand; 0 for a candidate without one."""
    return F.size(F.filter(chosen, lambda slot: slot[name] == candidate[name]))
