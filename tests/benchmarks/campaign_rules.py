"""Exports a campaign with every rule on, and counts by DuckDB how often the sent files break one.

python -m tests.benchmarks.campaign_rules                            # 200 thousand recipients
python -m tests.benchmarks.campaign_rules --recipients 1000000 --profile klaviyo --rules usual

A generated shop of 400 items in which each rule has something to bar (tests/campaign/rules).
Seconds are those of export_campaign and of what score_users does for it, apart; the tables before
are made up. The usual rules are those of conf/base.yaml, with consent, three suppression lists,
stock, dates and countries. With these, or another profile than generic_csv, nothing is validated,
only measured.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ncf_spark.job import Job
from tests.benchmarks.contenders.sessions import start_spark
from tests.campaign.rules import export
from tests.campaign.rules.shop import write_shop
from tests.campaign.rules.validator import num_sent, violations


def main() -> None:
    """Prints seconds of each part, the parts of the export, and violations by rule."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipients", type=int, default=200_000)
    parser.add_argument("--profile", default="generic_csv")
    parser.add_argument("--rules", choices=["every", "usual"], default="every")
    arguments = parser.parse_args()
    most = arguments.recipients // 25
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_shop(folder / "shop", arguments.recipients)
        rules = export.with_rule("pairs.max_exposures", most)
        if arguments.rules == "usual":
            rules = {name: rules[name] for name in ("id", "k", "arms", "files")}
        rules["files"]["profiles"] = [arguments.profile]
        spark = start_spark("campaign_rules")
        spark.conf.set("spark.sql.session.timeZone", "UTC")
        for part in ("write_campaign_items", "write_history", "write_campaign"):
            setattr(export, part, timed(getattr(export, part)))
        given = export.settings(folder / "shop", rules)
        files = export.export(
            spark, folder / "shop", folder / "warehouse", given, arguments.profile
        )
        spark.stop()
        for path in sorted(files.iterdir()):
            print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")
        if (arguments.profile, arguments.rules) == ("generic_csv", "every"):
            found = violations(folder / "shop", files, most)
            total = sum(found.values())
            print(f"{num_sent(files):,} rows sent; {len(found)} rules, {total:,} violations")
            for rule, count in found.items():
                print(f"  {rule}: {count:,}")


def timed(part: Callable[[Job], object]) -> Callable[[Job], None]:
    """`part`, which says how long it took."""

    def run(job: Job) -> None:
        started = time.perf_counter()
        part(job)
        print(f"{part.__name__}: {time.perf_counter() - started:.0f} s", flush=True)

    return run


if __name__ == "__main__":
    main()
