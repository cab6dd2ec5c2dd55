"""Runs the steps up to evaluate with many compared models, and reads their figures back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
STEPS = ("build_interactions", "score_item_activity", "train", "evaluate")


def read_configuration(name: str) -> dict[str, Any]:
    """The overrides of `conf/<name>.yaml`, as they stand there."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "conf" / f"{name}.yaml").read_text())
    return content


def compare(
    base: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]], folder: Path, cores: int
) -> list[dict[str, Any]]:
    """Trains and judges `models` beside the base configuration's own, all on one split.

    Args:
        base: overrides of conf/base.yaml; its own model is trained first.
        models: `evaluation.compared`.
        folder: where the configuration, the logs and the warehouse go.
        cores: of the local Spark master.

    Returns:
        The rows of metrics.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = {**base, "storage": {"warehouse": str(folder / "warehouse")}}
    content["evaluation"] = {**base.get("evaluation", {}), "compared": dict(models)}
    path = folder / "compared.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    for step in STEPS:
        started = time.monotonic()
        submit(step, path, folder / f"{step}.log", cores)
        print(f"{step}: {time.monotonic() - started:,.0f} s", file=sys.stderr, flush=True)
    metrics = max((folder / "warehouse" / "runs").glob("*/metrics.json"), key=os.path.getmtime)
    rows: list[dict[str, Any]] = json.loads(metrics.read_text())
    return rows


def submit(step: str, config: Path, log: Path, cores: int) -> None:
    """One spark-submit of a step; its output goes to `log`.

    Raises:
        RuntimeError: when it fails.
    """
    local = {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_LOCAL_HOSTNAME": "localhost"}
    command = [
        *("spark-submit", "--properties-file", str(ROOT / "conf" / "spark" / "local.conf")),
        *("--master", f"local[{cores}]"),
        *(str(ROOT / "jobs" / f"{step}.py"), "--config", str(config)),
    ]
    with log.open("w") as output:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **local},
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"{step} failed with status {done.returncode}; see {log}")


def value(
    rows: Sequence[Mapping[str, Any]], model: str, protocol: str, metric: str, k: int = 10
) -> float:
    """One figure over all users."""
    [found] = [
        row["value"]
        for row in rows
        if (row["model"], row["protocol"], row["metric"], row["k"], row["segment"])
        == (model, protocol, metric, k, "all")
    ]
    return float(found)


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table for the changelog or the README."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, rule, *lines])
