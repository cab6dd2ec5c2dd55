"""Real nights: spark-submit, separate executor processes, real Horovod workers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

from ncf_spark.storage.runs import Run
from ncf_spark.storage.warehouse import Warehouse

ROOT = Path(__file__).parents[2]
RUN_DATE = "2026-11-01"


# A tiny night takes as long as Spark takes to compile its queries: the first compiler is enough.
FIRST_COMPILER = (
    "--conf",
    "spark.sql.codegen.wholeStage=false",
    "--conf",
    "spark.executor.extraJavaOptions=-XX:TieredStopAtLevel=1",
    "--driver-java-options",
    "-XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile=conf/spark/log4j2.properties",
)
# For nights beside the first one, which shows that replanning does no harm.
NO_REPLANNING = (
    "--conf",
    "spark.sql.adaptive.enabled=false",
    "--conf",
    "spark.sql.shuffle.partitions=2",
)


def submit(
    script: str, *arguments: str, conf: str = "local", options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Runs a script by spark-submit from the root of the checkout, as the README says."""
    process = start(script, *arguments, conf=conf, options=options)
    return wait(process)


def start(
    script: str, *arguments: str, conf: str = "local", options: tuple[str, ...] = ()
) -> subprocess.Popen[str]:
    """As `submit`, but does not wait for the end."""
    bin_folder = Path(sys.executable).parent
    environment = os.environ | {
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_HOSTNAME": "localhost",
    }
    command = [str(bin_folder / "spark-submit"), "--properties-file", f"conf/spark/{conf}.conf"]
    return subprocess.Popen(
        [*command, *FIRST_COMPILER, *options, script, *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """How a process that was started ended, and what it printed."""
    try:
        stdout, stderr = process.communicate(timeout=900)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


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
    shutil.copytree(night.folder, folder)
    config = folder / Path(night.config).relative_to(night.folder)
    config.write_text(config.read_text().replace(str(night.folder), str(folder)))
    return Night(str(config), folder, night.output)


def copy_warehouse(night: Night, folder: Path) -> Warehouse:
    """The night's warehouse in a folder of its own."""
    shutil.copytree(night.folder / "ware house", folder)
    return Warehouse(str(folder))


def expect(result: subprocess.CompletedProcess[str], status: int) -> str:
    """What the process printed, after checking how it ended."""
    output = result.stdout + result.stderr
    assert result.returncode == status, output[-6000:]
    return output


@pytest.fixture(scope="session")
def night(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Night]:
    """Generated events, then a night on two executor processes with two Horovod workers.

    All tests share it, those of the other processes of the run too, and none may change it: those
    that write do so in a copy.
    """
    of_process = tmp_path_factory.getbasetemp()
    folder = (of_process if worker_id == "master" else of_process.parent) / "night"
    with FileLock(f"{folder}.lock"):
        if not (folder / "output").exists():
            _make_night(folder)
    night = Night(str(folder / "conf" / "night.yaml"), folder, (folder / "output").read_text())
    found = _files_of(night)
    yield night
    assert _files_of(night) == found, "a test wrote to the night that all tests share"


def _make_night(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # what one that failed left there
    config = write_config(folder / "conf", small_config(folder))
    expect(submit("jobs/generate_events.py", "--config", config), 0)
    result = submit(
        "jobs/nightly.py", "--config", config, "--run-date", RUN_DATE, conf="local-cluster"
    )
    (folder / "output").write_text(expect(result, 0))


def _files_of(night: Night) -> dict[str, int]:
    """Every file of its warehouse, and when it was written."""
    files = (path for path in (night.folder / "ware house").rglob("*") if path.is_file())
    return {str(path): path.stat().st_mtime_ns for path in files}
