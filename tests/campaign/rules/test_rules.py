"""No row of a sent file breaks a rule, and a rule that is switched off shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

from ncf_spark.campaign import arms, export, items, recipients, tiers
from ncf_spark.job.campaign import Campaign
from ncf_spark.schemas import DataError
from tests.campaign.rules.export import export as export_campaign
from tests.campaign.rules.export import settings, with_rule
from tests.campaign.rules.shop import write_shop
from tests.campaign.rules.validator import QUERIES, num_sent, violations

pytestmark = pytest.mark.slow

NUM_USERS, MOST = 3000, 120


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rules") / "shop"
    write_shop(folder, NUM_USERS)
    return folder


def broken(spark: SparkSession, shop: Path, folder: Path, given: dict) -> dict[str, int]:
    """The rules that the export by a configuration breaks, with how often."""
    sent = export_campaign(spark, shop, folder / "w", given)
    assert num_sent(sent) > 100
    return {name: count for name, count in violations(shop, sent, MOST).items() if count}


def test_with_every_rule_nothing_is_broken(spark: SparkSession, shop: Path, tmp_path: Path):
    rules = with_rule("pairs.max_exposures", MOST)
    assert broken(spark, shop, tmp_path, settings(shop, rules)) == {}


FEW = "item_id in ('i00003', 'i00010', 'i00015', 'i00027')"
# What the validator must find when the exporter is not told of a rule. Several rules at once: the
# violations of each are its own.
OFF = {
    "of recipients, items and pairs": (
        {
            **{"audience": None, "frequency": None, "items.required": [], "items.deny": []},
            **{"items.min_price": None, "items.max_price": None, "items.where": None},
            **{"pairs.bought": False, "pairs.wanted": False, "pairs.sent_days": None},
        },
        {"suppressions": {}},
        {
            *("audience", "frequency", "complained", "unsubscribed", "bounced"),
            *("required", "deny", "price", "where", "bought", "wanted", "sent lately"),
            "exposures",
        },
    ),
    "of lists": (
        {
            **{
                "lists.max_per_category": None,
                "lists.max_per_brand": None,
                "lists.min_score": None,
            },
            **{"lists.min_categories": 1, "min_items": 1, "pairs.max_exposures": MOST},
        },
        {},
        {"per category", "per brand", "score"},
    ),
    "of how long a list is": (
        {"lists.min_categories": 1, "min_items": 1, "items.where": FEW},
        {},
        {"categories", "enough items"},
    ),
}
# The same where a column that says so is not named.
UNTOLD = {"consent", "stock", "dates", "country", "shared address"}
# The same of what no setting switches off, where the code is broken.
BROKEN = {
    *("one mail an address", "one row a user", "arms", "popular gets best-sellers", "cells"),
    *("best-sellers of the country", "best-sellers of everyone", "in the catalogue"),
    "no slot left out",
}


def test_each_rule_is_shown_to_be_missed():
    assert set().union(*[expected for _, _, expected in OFF.values()], UNTOLD, BROKEN) == set(
        QUERIES
    )


@pytest.mark.parametrize("which", list(OFF))
def test_a_rule_that_is_switched_off_shows(
    spark: SparkSession, shop: Path, tmp_path: Path, which: str
):
    changes, sections, expected = OFF[which]
    rules = with_rule("id", "autumn")
    for path, value in changes.items():
        *section, name = path.split(".")
        target = rules[section[0]] if section else rules
        target[name] = value
    found = broken(spark, shop, tmp_path, settings(shop, rules, **sections))
    assert expected <= set(found), found
    assert set(found) <= set(QUERIES)


def test_when_nobody_is_left_the_reasons_are_counted(
    spark: SparkSession, shop: Path, tmp_path: Path
):
    nobody = settings(shop, with_rule("audience", "user_id = 'nobody'"))
    with pytest.raises(DataError, match=r"Nobody is written to\. .*not_in_audience \d,\d{3}"):
        export_campaign(spark, shop, tmp_path / "w", nobody)


def test_what_the_tables_say_is_missed_where_they_do_not_say_it(
    spark: SparkSession, shop: Path, tmp_path: Path
):
    """Consent, stock, dates and countries are columns: the exporter is told of none of them."""
    given = settings(shop, with_rule("pairs.max_exposures", MOST))
    for column in ("in_stock", "active_from", "active_until", "countries"):
        given["catalogue"]["columns"][column] = None
    # A column that says yes to everyone.
    given["recipients"]["columns"]["consent"] = "yes"
    people = spark.read.parquet(str(shop / "recipients.parquet"))
    people.selectExpr("*", "true as yes").write.parquet(str(tmp_path / "people"))
    given["recipients"]["path"] = str(tmp_path / "people")
    found = broken(spark, shop, tmp_path, given)
    assert set(found) >= UNTOLD, found


def test_what_no_setting_switches_off_shows_where_the_code_is_broken(
    spark: SparkSession, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def breaks(owner: object, name: str, wrapper: Callable[..., Any]) -> None:
        whole = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *a, **given: wrapper(whole, *a, **given))

    def forgets_addresses(whole, *a, **given):
        found = whole(*a, **given)
        return found.withColumn("reason", F.expr("nullif(reason, 'same_address')"))

    def deals_another_arm(whole, *a, **given):
        found = whole(*a, **given)
        return F.when(found == "holdout", F.lit("control")).otherwise(found)

    def counts_some(whole, history, *a, **given):
        return whole(history.where("item_id > 'i00250'"), *a, **given)

    def gives_all_the_models(whole, campaign, users):
        as_model = users.withColumns({"own": F.col("arm"), "arm": F.lit("model")})
        return whole(campaign, as_model).withColumn("arm", F.col("own")).drop("own")

    def spoils(whole, *a, **given):
        """Another title, an item twice in a list, a list twice in the file."""
        found = whole(*a, **given)
        is_some = F.expr("hash(user_id) % 10 = 0")

        def changed(slot: Column, position: Column) -> Column:
            title = F.when(slot["item_id"] == "i00010", F.lit("Else")).otherwise(slot["title"])
            twice = F.when(is_some & (position == 1), F.col("slots")[0]).otherwise(slot)
            return twice.withField("title", title)

        found = found.withColumn("slots", F.transform("slots", changed))
        return found.unionByName(found.where("hash(user_id) % 50 = 0"))

    breaks(recipients, "with_reason", forgets_addresses)
    breaks(arms, "arm", deals_another_arm)
    breaks(tiers, "build_best_sellers", counts_some)
    breaks(items, "build_campaign_items", lambda w, *a, **k: w(*a, **{**k, "in_catalogue": False}))
    breaks(Campaign, "_with_own", gives_all_the_models)
    breaks(export, "build_campaign_lists", spoils)
    rules = with_rule("lists.max_per_category", None)
    rules["items"] = {"required": [], "deny": [], "where": None}
    rules["lists"] = {}
    found = broken(spark, shop, tmp_path, settings(shop, rules))
    assert set(found) >= BROKEN, found
