"""A campaign of 400 recipients: no row of its file breaks a rule, and every rule barred something.

The night after, what changed is the whole of what is sent then.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from ncf_spark.campaign import reasons
from tests.campaign.rules.export import export, settings, with_rule
from tests.campaign.rules.shop import write_shop
from tests.campaign.rules.validator import num_sent, violations

NUM_USERS, MOST = 600, 30
# What the shop has nothing for, or what RULES do not ask.
ELSEWHERE = {"no_address", "too_long", "known", "no_events", "too_few_items", "min_categories"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the shop and of the warehouse."""
    folder = tmp_path_factory.mktemp("rules")
    write_shop(folder / "shop", NUM_USERS)
    return folder


@pytest.fixture(scope="module")
def files(spark: SparkSession, place: Path) -> Path:
    """The files of the first night."""
    rules = with_rule("pairs.max_exposures", MOST)
    return export(spark, place / "shop", place / "w", settings(place / "shop", rules))


def table(files: Path, name: str) -> pd.DataFrame:
    """A table of the files' run."""
    return pd.read_parquet(files.parent.parent / name)


def test_no_rule_is_broken(place: Path, files: Path):
    assert num_sent(files) > 100
    assert {n: c for n, c in violations(place / "shop", files, MOST).items() if c} == {}


def test_every_rule_barred_something(files: Path):
    counted = table(files, "campaign_report").groupby("kind").reason.agg(set)
    barred = counted["recipient"] | counted["item"] | counted["pair"]
    assert barred == {*reasons.RECIPIENTS, *reasons.ITEMS, *reasons.PAIRS} - ELSEWHERE
    assert counted["arm"] == {"model", "popular", "holdout"}
    assert counted["slot"] >= {"model", "bought_together", "bestseller_here", "bestseller", "pin"}
