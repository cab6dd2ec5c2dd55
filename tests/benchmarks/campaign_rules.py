"""Exports a campaign with every rule on, and counts by DuckDB how often the sent files break one.

python -m tests.benchmarks.campaign_rules            # 200 thousand recipients, and what is broken
python -m tests.benchmarks.campaign_rules --recipients 1000000 --rules usual --profiles klaviyo

A generated shop of 400 items in which each rule has something to bar (tests/campaign/rules).
Seconds are those of export_campaign and of what score_users does for it, apart; the tables before
are made up. The usual rules are those of conf/base.yaml, with consent, three suppression lists,
stock, dates and countries. With these, or another profile than generic_csv, nothing is validated,
only measured.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from ncf_spark.campaign import step as campaign
from ncf_spark.campaign.files import writing as campaign_files
from ncf_spark.storage import tables
from tests.benchmarks.campaign_files import sampled
from tests.benchmarks.contenders.sessions import start_spark
from tests.campaign.rules import export
from tests.campaign.rules.shop import write_shop
from tests.campaign.rules.validator import num_sent, violations


def main() -> None:
    """Prints seconds of each part, the parts of the export, and violations by rule."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipients", type=int, default=200_000)
    parser.add_argument("--profiles", nargs="+", default=["generic_csv"])
    parser.add_argument("--rules", choices=["every", "usual"], default="every")
    parser.add_argument("--apart", action="store_true", help="executors of their own")
    arguments = parser.parse_args()
    most = arguments.recipients // 25
    apart = {"spark_master": "local-cluster[2,1,3072]", "spark_executor_memory": "3g"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_shop(folder / "shop", arguments.recipients)
        rules = export.with_rule("pairs.max_exposures", most)
        sections = {}
        if arguments.rules == "usual":
            keep_first(folder / "shop" / "made" / "user_topk.parquet", 20)
            sections["scoring"] = {"k": 20}
            rules = {name: rules[name] for name in ("id", "k", "arms", "files")}
        rules["files"]["profiles"] = arguments.profiles
        spark = start_spark("campaign_rules", **(apart if arguments.apart else {}))
        spark.conf.set("spark.sql.session.timeZone", "UTC")
        for part in ("write_interactions", "write_campaign_items", "write_campaign"):
            tell_seconds(export, part, lambda *given, part=part: part)
        tell_seconds(tables, "staged", lambda rows, uri: f"  {uri.rsplit('/', 1)[-1]}, for several")
        tell_seconds(campaign, "write_campaign_files", lambda *given: "  files")
        tell_seconds(campaign_files, "_write", lambda job, lists, profile: f"    {profile.name}")
        peaks: dict[str, int] = {}
        given = export.settings(folder / "shop", rules, **sections)
        with sampled(peaks):
            files = export.export(
                spark, folder / "shop", folder / "warehouse", given, arguments.profiles[0]
            )
        spark.stop()
        manifest = json.loads((files / "manifest.json").read_text())
        print(f"{manifest['totals']['campaign']['rows']:,} rows")
        if arguments.apart:
            print(f"largest driver: {peaks['jvm'] / 2**20:,.0f} MiB resident")
        if (arguments.profiles, arguments.rules) == (["generic_csv"], "every"):
            found = violations(folder / "shop", files, most)
            total = sum(found.values())
            print(f"{num_sent(files):,} rows sent; {len(found)} rules, {total:,} violations")
            for rule, count in found.items():
                print(f"  {rule}: {count:,}")


def keep_first(user_topk: Path, k: int) -> None:
    """Leaves the first k items of each user, as many as conf/base.yaml has scored."""
    pd.read_parquet(user_topk).query("rank <= @k").to_parquet(user_topk, index=False)


def tell_seconds(owner: object, name: str, title: Callable[..., str]) -> None:
    """Has a function of a module say how long it took.

    Args:
        title: of what it was given.
    """
    whole = getattr(owner, name)

    def timed(*given: Any) -> Any:
        started = time.perf_counter()
        found = whole(*given)
        print(f"{title(*given)}: {time.perf_counter() - started:.0f} s", flush=True)
        return found

    setattr(owner, name, timed)


if __name__ == "__main__":
    main()
