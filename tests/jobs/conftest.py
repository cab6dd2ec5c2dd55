"""A night that all tests of the jobs share, and what they make nights of their own with."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from filelock import FileLock
from pyspark.sql import SparkSession

from ncf_spark.night import STEPS
from ncf_spark.storage import files
from ncf_spark.storage.runs import Run
from ncf_spark.storage.warehouse import Warehouse
from tests.jobs.in_process import run_job

ROOT = Path(__file__).parents[2]
RUN_DATE = "2026-11-01"


def small_config(folder: Path, **changes: object) -> dict[str, object]:
    """Overrides for a shop of 300 users and 150 items below `folder`."""
    source = {"path": str(folder / "input")}
    return {
        "storage": {"warehouse": str(folder / "ware house")},
        "monitoring": {
            "openmetrics_path": str(folder / "collector" / "ncf.prom"),
            "mlflow_tracking_uri": f"file://{folder}/mlflow",
        },
        "generate": source | {"num_users": 300, "num_items": 150, "num_events": 12000},
        "input": {"path": f"{source['path']}/events"},
        "catalogue": {"path": f"{source['path']}/items"},
        "recipients": {"path": f"{source['path']}/recipients"},
        "training": {"epochs": 2, "num_shards": 5, "batch_size": 256},
        "evaluation": {
            "baselines": ["popularity", "item_item", "als"],
            "als": {"ranks": [4], "iterations": 2},
            "bootstrap_samples": 50,
            "compared": {
                "mf": {"model.kind": "mf", "training.optimiser": "lazy_adam"},
                "pretrained": {
                    "training.pretraining.gmf.epochs": 2,
                    "training.pretraining.mlp.epochs": 2,
                    "training.optimiser": "sgd",
                    "training.epochs": 1,
                    "training.loss": "softmax",
                },
            },
        },
        **changes,
    }


def write_config(folder: Path, content: dict[str, object]) -> str:
    """`demo.yaml` with `content` on top, as a file beside a copy of `base.yaml`."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "conf" / "base.yaml", folder)
    merged = yaml.safe_load((ROOT / "conf" / "demo.yaml").read_text())
    for section, values in content.items():
        merged[section] = merged.get(section, {}) | values  # type: ignore[operator]
    path = folder / "night.yaml"
    path.write_text(yaml.safe_dump(merged))
    return str(path)


@dataclass(frozen=True)
class Night:
    """A finished night: its configuration, its warehouse and what it printed."""

    config: str
    folder: Path
    output: str

    @property
    def warehouse(self) -> Warehouse:
        return Warehouse(str(self.folder / "ware house"))

    @property
    def run(self) -> Run:
        run = self.warehouse.published_run()
        assert run is not None
        return run


def copy_night(night: Night, folder: Path) -> Night:
    """The night with its input and its warehouse in a folder of its own, for a test that writes."""
    copy_warehouse(night.warehouse, folder / "ware house")
    for part in ("conf", "input", "mlflow"):
        shutil.copytree(night.folder / part, folder / part)
    config = folder / Path(night.config).relative_to(night.folder)
    config.write_text(config.read_text().replace(str(night.folder), str(folder)))
    return Night(str(config), folder, night.output)


def copy_warehouse(warehouse: Warehouse, folder: Path) -> Warehouse:
    """The warehouse again. Its files are links: no job changes one in place."""
    source = Path(warehouse.uri.removeprefix("file://"))
    shutil.copytree(source, folder, copy_function=os.link)
    return Warehouse(str(folder))


def sets_of(warehouse: Warehouse, **settings: object) -> list[str]:
    """`--set` for each setting of a job that is to write to `warehouse` alone."""
    changes = {
        "storage.warehouse": warehouse.uri,
        "monitoring.openmetrics_path": f"{warehouse.uri}/ncf.prom",
        "monitoring.mlflow_tracking_uri": "null",
        **settings,
    }
    return [part for name, value in changes.items() for part in ("--set", f"{name}={value}")]


def copy_run(warehouse: Warehouse, name: str, completed_at: str = "2020-01-01T00:00:00") -> Run:
    """The shared night's run again, under another name."""
    source = Path(warehouse.uri.removeprefix("file://")) / "runs"
    shutil.copytree(source / f"{RUN_DATE}.1", source / name, copy_function=os.link)
    run = Run(f"{warehouse.uri}/runs/{name}")
    manifest = run.manifest()
    assert manifest is not None
    files.write_json(
        f"{run.uri}/manifest.json", manifest | {"run": name, "completed_at": completed_at}
    )
    return run


def table(run: Run, name: str) -> pd.DataFrame:
    """A finished table of a run."""
    return pd.read_parquet(run.finished_table_uri(name).removeprefix("file://"))


def contents(run: Run, name: str) -> tuple[list[tuple[str, str]], list[str]]:
    """The columns of a table, and its rows, in an order that does not depend on the files'.

    Whether a column may be null is not compared: what Spark infers of it differs between masters.
    """
    found = pq.read_table(run.finished_table_uri(name).removeprefix("file://"))
    columns = [(field.name, str(field.type).replace(" not null", "")) for field in found.schema]
    return columns, sorted(map(repr, found.to_pylist()))


def figures(run: Run) -> dict[tuple[str, str, str, int], float]:
    """The metrics over all users: (model, protocol, metric, k) → value."""
    return {
        (r["model"], r["protocol"], r["metric"], r["k"]): r["value"]
        for r in files.read_json(f"{run.uri}/metrics.json")
        if r["segment"] == "all"
    }


def files_of(uri: str) -> dict[str, int]:
    """Every file below a folder, and when it was written."""
    found = (path for path in Path(uri.removeprefix("file://")).rglob("*") if path.is_file())
    return {str(path): path.stat().st_mtime_ns for path in found}


def reopen(run: Run) -> None:
    """As if the process had died before the run was complete."""
    files.delete(f"{run.uri}/manifest.json")


def expect(result: subprocess.CompletedProcess[str], status: int) -> str:
    """What the process printed, after checking how it ended."""
    output = result.stdout + result.stderr
    assert result.returncode == status, output[-6000:]
    return output


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """First the smoke test: it makes the shared night while the other process needs none."""
    items.sort(key=lambda item: item.path.name != "test_smoke.py")


@pytest.fixture(scope="session")
def night(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Iterator[Night]:
    """Generated events, then each step of a night by its own job, two workers as threads.

    All tests share it, those of the other processes of the run too, and none may change it: those
    that write do so in a copy.
    """
    of_process = tmp_path_factory.getbasetemp()
    folder = (of_process if worker_id == "master" else of_process.parent) / "night"
    with FileLock(f"{folder}.lock"):
        if not (folder / "output").exists():
            _make_night(folder)
    night = Night(str(folder / "conf" / "night.yaml"), folder, (folder / "output").read_text())
    found = files_of(night.warehouse.uri)
    yield night
    assert files_of(night.warehouse.uri) == found, "a test wrote to the night that all tests share"


def _make_night(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # what one that failed left there
    changes = {
        "model": {"candidates": ["neumf", "item_item"]},
        "campaign": {"arms": {"popular": 0.3}},
    }
    config = write_config(folder / "conf", small_config(folder, **changes))
    expect(run_job("generate_events", "--config", config), 0)
    arguments = ("--config", config, "--run-date", RUN_DATE, "--set", "logging.format=json")
    output = "".join(expect(run_job(step, *arguments), 0) for step in STEPS)
    (folder / "output").write_text(output)
