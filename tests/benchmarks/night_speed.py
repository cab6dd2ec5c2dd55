"""Whole nights of small shops, from spark-submit to its exit, beside a script without Spark.

python -m tests.benchmarks.night_speed                # every case, three rounds
python -m tests.benchmarks.night_speed demo --rounds 1

The script reads the same events, regresses each item on its nearest and writes the same tables of
lists (contenders/item_regression). Cases take turns, so that a noisy machine is noisy for all;
printed are each case's seconds and their median. Bars are for two cores with nothing beside.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.benchmarks.duel import ROOT, record

DATES = ("2026-11-01", "2026-11-02")


@dataclass(frozen=True)
class Shop:
    """Generated events, and the warehouse of their nights."""

    folder: Path
    num_events: int
    num_users: int
    num_items: int

    def submit(self, job: str, *arguments: str, conf: str = "small", status: int = 0) -> float:
        """Seconds of a job's processes.

        Raises:
            RuntimeError: when it ends with another status.
        """
        settings = {
            "storage.warehouse": f"{self.folder}/warehouse",
            "generate.path": f"{self.folder}/input",
            "generate.num_events": self.num_events,
            "generate.num_users": self.num_users,
            "generate.num_items": self.num_items,
            "gates.of_popularity": "null",  # published or not, a night takes as long
        }
        for source, table in (("input", "events"), ("catalogue", "items"), ("recipients",) * 2):
            settings[f"{source}.path"] = f"{self.folder}/input/{table}"
        changes = [part for pair in settings.items() for part in ("--set", f"{pair[0]}={pair[1]}")]
        command = [str(Path(sys.executable).parent / "spark-submit"), "--properties-file"]
        command += [f"conf/spark/{conf}.conf", f"jobs/{job}.py", "--config", "conf/demo.yaml"]
        started = time.perf_counter()
        ended = subprocess.run(
            [*command, *changes, *arguments], cwd=ROOT, capture_output=True, text=True
        )
        if ended.returncode != status:
            raise RuntimeError(f"{job} ended with {ended.returncode}:\n{ended.stdout[-3000:]}")
        return time.perf_counter() - started

    def night(self, conf: str = "small") -> float:
        """Seconds of a first night."""
        shutil.rmtree(self.folder / "warehouse", ignore_errors=True)
        return self.submit("nightly", conf=conf)

    def again(self) -> float:
        """Seconds of a night that was published already."""
        return self.submit("nightly")

    def refusal(self) -> float:
        """Seconds until a setting that is not there is named."""
        return self.submit("nightly", "--set", "model.factorz=8", status=2)

    def further_night(self) -> float:
        """Seconds of the second night of an application."""
        shutil.rmtree(self.folder / "warehouse", ignore_errors=True)
        self.submit("nightly", "--from", DATES[0], "--to", DATES[1])
        manifests = [self.folder / "warehouse" / "runs" / f"{date}.1" for date in DATES]
        ends = [
            json.loads((run / "manifest.json").read_text())["completed_at"] for run in manifests
        ]
        first, second = map(datetime.fromisoformat, ends)
        return (second - first).total_seconds()

    def script(self) -> float:
        """Seconds of the script."""
        program = [sys.executable, "-m", "tests.benchmarks.contenders.item_regression"]
        started = time.perf_counter()
        subprocess.run(
            [*program, f"{self.folder}/input/events", f"{self.folder}/lists"], check=True
        )
        return time.perf_counter() - started


def cases(demo: Shop, small: Shop) -> dict[str, tuple[Callable[[], float], str]]:
    """What is measured, and its bar in seconds, in the order in which it is done."""
    return {
        "demo, local-cluster": (lambda: demo.night("local-cluster"), "≤ 110"),
        "demo, further night": (demo.further_night, "≤ 25"),
        "demo": (demo.night, "≤ 75"),
        "demo, script": (demo.script, ""),
        "demo, nothing changed": (demo.again, "≤ 12"),
        "demo, refused": (demo.refusal, "≤ 6"),
        "5,000 events": (small.night, "≤ 45"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help="cases, by their whole names (default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        shops = [
            Shop(folder / "demo", num_events=300_000, num_users=3_000, num_items=1_000),
            Shop(folder / "small", num_events=5_000, num_users=250, num_items=200),
        ]
        for shop in shops:
            shop.submit("generate_events")
        chosen = {
            name: case
            for name, case in cases(*shops).items()
            if not arguments.only or name in arguments.only
        }
        seconds: dict[str, list[float]] = {name: [] for name in chosen}
        for _ in range(arguments.rounds):
            for name, (run, _) in chosen.items():
                seconds[name].append(run())
                print(f"{name}: {seconds[name][-1]:.1f} s", file=sys.stderr, flush=True)
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    for name, (_, bar) in chosen.items():
        each = ", ".join(f"{s:.1f}" for s in seconds[name])
        print(f"{name:<24} median {medians[name]:6.1f} s  ({each})  {bar}")
    if {"demo", "demo, script"} <= medians.keys():
        ours, peer = medians["demo"], medians["demo, script"]
        record(
            "a night of the demo, seconds, script",
            ours=ours,
            peer=peer,
            ratio=ours / peer,
            bar="≤ 12",
        )


if __name__ == "__main__":
    main()
