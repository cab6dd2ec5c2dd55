"""A campaign of some hundred recipients: no row breaks a rule, and each rule barred something."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from ncf_spark.campaign import reasons
from ncf_spark.errors import DataError
from tests.campaign.rules.export import export, settings, with_rule
from tests.campaign.rules.shop import write_shop
from tests.campaign.rules.validator import num_sent, violations

NUM_USERS, MOST = 600, 30
# What RULES do not ask, and what this shop has nothing for.
NOT_HERE = {"known", "no_address", "too_long", "no_events", "too_few_items"}
SOURCES = {"model", "bought_together", "similar", "bestseller_here", "bestseller", "pin"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the shop and of the warehouse."""
    folder = tmp_path_factory.mktemp("rules")
    write_shop(folder / "shop", NUM_USERS)
    return folder


@pytest.fixture(scope="module")
def files(spark: SparkSession, folder: Path) -> Path:
    """The files that were sent."""
    return exported(spark, folder, "pairs.max_exposures", MOST)


def exported(spark: SparkSession, folder: Path, rule: str, value: Any) -> Path:
    """The files of a campaign with one rule changed."""
    given = settings(folder / "shop", with_rule(rule, value))
    return export(spark, folder / "shop", folder / "w", given)


def table(files: Path, name: str) -> pd.DataFrame:
    """A table of the files' run."""
    return pd.read_parquet(files.parent.parent / name)


def test_no_rule_is_broken(folder: Path, files: Path):
    assert num_sent(files) > 100
    assert {n: c for n, c in violations(folder / "shop", files, MOST).items() if c} == {}


def test_each_rule_left_something_out(files: Path):
    counted = table(files, "campaign_report").groupby("kind").reason.agg(set)
    barred = counted["recipient"] | counted["item"] | counted["pair"]
    assert barred == {*reasons.RECIPIENTS, *reasons.ITEMS, *reasons.PAIRS} - NOT_HERE
    assert counted["arm"] == {"model", "popular", "holdout"}
    assert counted["slot"] == SOURCES
    assert counted["list"] == {"complained", "unsubscribed", "bounced"}


def test_when_nobody_is_left_the_reasons_are_counted(spark: SparkSession, folder: Path):
    with pytest.raises(DataError, match=r"no recipient gets email\. .*not_in_audience \d\d\d;"):
        exported(spark, folder, "audience", "user_id = 'nobody'")
