"""No row of a sent file breaks a rule, and a rule that is switched off shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from tests.campaign.rules.export import export, settings, with_rule
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
    sent = export(spark, shop, folder / "w", given)
    assert num_sent(sent) > 100
    return {name: count for name, count in violations(shop, sent, MOST).items() if count}


def test_with_every_rule_nothing_is_broken(spark: SparkSession, shop: Path, tmp_path: Path):
    rules = with_rule("pairs.max_exposures", MOST)
    assert broken(spark, shop, tmp_path, settings(shop, rules)) == {}


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
}


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
    assert {"consent", "stock", "dates", "country", "shared address"} <= set(found), found
