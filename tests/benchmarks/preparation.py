"""Prepares generated events, beside DuckDB doing the same work on the same files.

python -m tests.benchmarks.preparation              # 5, 20 and 50 million events
python -m tests.benchmarks.preparation 1 2          # millions of events
python -m tests.benchmarks.preparation --folder /big/disk --memory-sizes 5 20

build_interactions and score_item_activity are run by spark-submit with conf/spark/local.conf; their
seconds are those of the whole processes, starts included. Users and items grow with the events (20
and 250 events each), minimum counts are 5, leave-one-out with validation, 99 negatives. DuckDB has
as many threads as there are cores to run on, at most two, as Spark has.

What reaches the driver is counted by the event log: the results of all tasks, broadcast tables
among them. Its memory is measured where it is a process of its own, with conf/spark/
local-cluster.conf: the greatest resident size of its JVM.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import psutil
import yaml

from tests.benchmarks.duel import ROOT, record

RUN_DATE = "2026-11-01"
STEPS = ("build_interactions", "score_item_activity")
EVENTS_PER_USER, EVENTS_PER_ITEM = 20, 250
FEATURES = ("followers", "posts_last_month", "comments_per_post")


@dataclass(frozen=True)
class Figures:
    """Of both steps: seconds, the greatest memory of a driver, and what was sent to a driver."""

    seconds: float
    peak_mib: float
    results_mib: float


def write_config(folder: Path, millions: int) -> Path:
    """The settings of one size; everything lies in `folder`."""
    events = millions * 1_000_000
    content = {
        "run": {"date": date.fromisoformat(RUN_DATE)},
        "storage": {"warehouse": str(folder / "warehouse")},
        "input": {
            "path": str(folder / "input" / "events"),
            "columns": {"user": "user_id", "item": "item_id", "time": "event_at"}
            | {"type": "event_type"},
            "event_weights": {"view": 1.0, "cart": 3.0, "purchase": 5.0},
            "max_bad_time_share": 0.01,
            "min_user_items": 5,
            "min_item_users": 5,
        },
        "catalogue": {
            "path": str(folder / "input" / "items"),
            "columns": {name: name for name in ("title", "category", "price", "url")}
            | {"item": "item_id"},
        },
        "activity": {"features": dict.fromkeys(FEATURES, 1.0)},
        "generate": {
            "path": str(folder / "input"),
            "num_users": events // EVENTS_PER_USER,
            "num_items": events // EVENTS_PER_ITEM,
            "num_events": events,
            "messy_share": 0.02,
            "partitions": max(4, millions),
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "preparation.yaml"
    path.write_text(yaml.safe_dump(content))
    shutil.copy(ROOT / "conf" / "base.yaml", folder)
    return path


def submit(step: str, config: Path, conf: str) -> Figures:
    """Runs a job as the README says, and watches its driver.

    Raises:
        RuntimeError: when it fails.
    """
    with tempfile.TemporaryDirectory() as logs:
        options = {
            "spark.eventLog.enabled": "true",
            "spark.eventLog.compress": "false",
            "spark.eventLog.rolling.enabled": "false",
            "spark.eventLog.dir": f"file://{logs}",
        }
        command = [str(Path(sys.executable).parent / "spark-submit")]
        command += ["--properties-file", f"conf/spark/{conf}.conf"]
        command += [part for pair in options.items() for part in ("--conf", "=".join(pair))]
        command += [f"jobs/{step}.py", "--config", str(config), "--set", "logging.level=WARNING"]
        started, peak = time.perf_counter(), 0
        process = subprocess.Popen(command, cwd=ROOT)
        while process.poll() is None:
            peak = max(peak, driver_bytes(process.pid))
            time.sleep(0.5)
        if process.returncode:
            raise RuntimeError(f"{step} ended with status {process.returncode}")
        seconds = time.perf_counter() - started
        [log] = Path(logs).iterdir()
        return Figures(seconds, peak / 2**20, result_bytes(log) / 2**20)


def driver_bytes(pid: int) -> int:
    """Resident bytes of the driver's JVM, which spark-submit becomes; 0 when it has ended."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def result_bytes(log: Path) -> int:
    """What all tasks of an application sent to its driver, broadcast tables among it."""
    total = 0
    with log.open() as lines:
        for line in lines:
            if line.startswith('{"Event":"SparkListenerTaskEnd"'):
                total += (json.loads(line).get("Task Metrics") or {}).get("Result Size", 0)
    return total


def run_steps(config: Path, conf: str) -> Figures:
    """Both steps, in a warehouse of their own."""
    shutil.rmtree(config.parent / "warehouse", ignore_errors=True)
    figures = [submit(step, config, conf) for step in STEPS]
    return Figures(
        sum(f.seconds for f in figures),
        max(f.peak_mib for f in figures),
        sum(f.results_mib for f in figures),
    )


def run_duckdb(config: Path) -> float:
    """Seconds of DuckDB's process.

    Raises:
        RuntimeError: when it counts other interactions than ours.
    """
    folder = config.parent
    threads = str(min(2, len(os.sched_getaffinity(0))))
    program = [sys.executable, "-m", "tests.benchmarks.contenders.duckdb_preparation"]
    started = time.perf_counter()
    ended = subprocess.run(
        [*program, str(folder / "input"), str(folder / "duckdb"), "--threads", threads],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - started
    shutil.rmtree(folder / "duckdb")
    [steps] = (folder / "warehouse" / "runs").glob("*/steps/build_interactions.json")
    ours = json.loads(steps.read_text())["tables"]["interactions"]["num_rows"]
    theirs = json.loads(ended.stdout.splitlines()[-1])["interactions"]
    if ours != theirs:
        raise RuntimeError(f"DuckDB has {theirs:,} interactions, Spark {ours:,}")
    return seconds


def compare(folder: Path, sizes: Sequence[int], memory_sizes: Sequence[int]) -> None:
    """Measures every size and prints the comparisons."""
    per_event: dict[int, float] = {}
    for millions in sizes:
        config = write_config(folder / str(millions), millions)
        if not (config.parent / "input" / "events" / "_SUCCESS").exists():
            submit("generate_events", config, "local")
        ours = run_steps(config, "local")
        peer = run_duckdb(config)
        title = f"preparing {millions} M events, seconds, DuckDB"
        record(title, ours=ours.seconds, peer=peer, ratio=ours.seconds / peer, bar="≤ 4")
        print(f"sent to the driver by tasks, {millions} M events: {ours.results_mib:,.1f} MiB")
        per_event[millions] = ours.seconds / millions
        if millions in memory_sizes:
            apart = run_steps(config, "local-cluster")
            print(
                f"driver of its own, {millions} M events: {apart.peak_mib:,.0f} MiB resident at "
                f"most, {apart.results_mib:,.1f} MiB of results; {apart.seconds:.0f} s"
            )
        shutil.rmtree(config.parent / "warehouse")
    least, most = min(sizes), max(sizes)
    record(
        f"preparing, µs an event, {most} M events beside {least} M",
        ours=per_event[most],
        peer=per_event[least],
        ratio=per_event[most] / per_event[least],
        bar="≤ 1.2",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", type=int, nargs="*", default=[5, 20, 50], help="millions")
    parser.add_argument("--memory-sizes", type=int, nargs="*", default=[5, 20], help="millions")
    parser.add_argument("--folder", type=Path, help="for events and tables; kept if given")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).resolve()
        compare(folder, arguments.sizes, arguments.memory_sizes)


if __name__ == "__main__":
    main()
