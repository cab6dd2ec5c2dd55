"""Two nights of a campaign: what the second sends is what changed."""

from __future__ import annotations

import csv
import json
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from tests.campaign.rules.export import export, settings, with_rule
from tests.campaign.rules.shop import RUN_DATE, write_shop

pytestmark = pytest.mark.slow

# What every night changes in every row.
VOLATILE = ("run_date", "model_version", "updated_at")


def sent(folder: Path, group: str = "campaign") -> dict[str, dict[str, str]]:
    """The rows of the parts, by user; without what changes every night."""
    found = {}
    for part in sorted(folder.glob(f"{group}-*.csv")):
        with part.open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                kept = {name: cell for name, cell in row.items() if name not in VOLATILE}
                assert row["user_id"] not in found
                found[row["user_id"]] = kept
    return found


def test_the_first_export_and_what_changed_since_are_the_whole(spark: SparkSession, tmp_path: Path):
    shop, night = tmp_path / "shop", RUN_DATE + timedelta(days=1)
    write_shop(shop, 800)
    rules = with_rule("frequency", None)
    rules["pairs"]["sent_days"] = None
    rules["best_sellers"]["days"] = None
    given = settings(shop, rules)
    first = sent(export(spark, shop, tmp_path / "w", given))
    people = pd.read_parquet(shop / "recipients.parquet")
    some = people.user_id.isin(sorted(first)[::10])
    people.loc[some, "consent"] = "no"
    people.loc[people.user_id.isin(sorted(first)[1::10]), "segment"] = "regular"
    people.to_parquet(shop / "recipients.parquet", index=False)
    whole = sent(export(spark, shop, tmp_path / "whole", given, run_date=night))
    rules["files"] = {**rules["files"], "deltas": True}
    folder = export(spark, shop, tmp_path / "w", settings(shop, rules), run_date=night)
    changed, removed = sent(folder), sent(folder, "removed")
    assert json.loads((folder / "manifest.json").read_text())["since"] == f"{RUN_DATE}.1"
    assert set(removed) == set(first) - set(whole)
    assert len(removed) >= len(first) // 10
    replayed = {user: row for user, row in {**first, **changed}.items() if user not in removed}
    assert replayed == whole
    # Nothing is sent again that is the same.
    assert all(row != first.get(user) for user, row in changed.items())
    assert 0 < len(changed) < len(whole) / 2
