"""Workers, executors and the driver killed in the middle of an epoch: training goes on."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from contextlib import suppress
from datetime import date
from pathlib import Path

import psutil
import pytest

from ncf_spark.storage import files
from ncf_spark.storage.runs import Run
from ncf_spark.storage.warehouse import Warehouse
from tests.jobs.conftest import RUN_DATE, Night, expect
from tests.jobs.in_process import run_job
from tests.jobs.processes import start, submit, wait

pytestmark = pytest.mark.slow

EPOCHS = 12
TRAINING = {
    "training.epochs": EPOCHS,
    "training.batch_size": 8,
    "training.num_workers": 2,
    "training.checkpoint_every.epochs": 1,
    "evaluation.baselines": "[popularity]",
    "evaluation.compared": "{}",
    "model.candidates": "[]",
}


def below(process: subprocess.Popen[str], word: str) -> list[psutil.Process]:
    """The processes below a spark-submit whose command has the word."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.Error):  # some end while they are looked at
            if word in child.cmdline():
                found.append(child)
    return found


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return below(process, "horovod.spark.task.gloo_exec_fn")


def executors_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return below(process, "org.apache.spark.executor.CoarseGrainedExecutorBackend")


def wait_for_epoch(process: subprocess.Popen[str], model_uri: str, epoch: int) -> None:
    """Returns when the workers have finished an epoch; fails when they are too late for it."""
    place_of_history, deadline = f"{model_uri}/history.json", time.monotonic() + 600
    while time.monotonic() < deadline and process.poll() is None:
        if files.exists(place_of_history):
            done = len(files.read_json(place_of_history))
            if done >= epoch:
                assert done < EPOCHS, "the workers were done before one of them was killed"
                return
        time.sleep(0.05)
    pytest.fail(f"no epoch {epoch}: {wait(process)}")


@pytest.fixture(scope="module")
def prepared(night: Night, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse whose run has everything that training needs."""
    folder = tmp_path_factory.mktemp("prepared")
    options = options_of(night, folder, {})
    for step in ("build_interactions", "score_item_activity"):
        expect(run_job(step, *options), 0)
    return folder


@pytest.fixture
def folder(prepared: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(prepared, tmp_path / "copy")
    return tmp_path / "copy"


def options_of(night: Night, folder: Path, settings: dict[str, object]) -> list[str]:
    changes = {**settings, "storage.warehouse": folder}
    sets = [part for name, value in changes.items() for part in ("--set", f"{name}={value}")]
    return ["--config", night.config, "--run-date", RUN_DATE, *sets]


def run_of(folder: Path) -> Run:
    run = Warehouse(str(folder)).newest_run(date.fromisoformat(RUN_DATE))
    assert run is not None
    return run


def assert_every_epoch_once(run: Run, num_workers: int) -> None:
    manifest = files.read_json(f"{run.table_uri('model')}/manifest.json")
    assert manifest["num_workers"] == num_workers
    assert [record["epoch"] for record in manifest["history"]] == list(range(1, EPOCHS + 1))
    losses = [record["loss"] for record in manifest["history"]]
    assert losses == sorted(losses, reverse=True)
    assert not files.exists(run.table_uri("checkpoints"))
    assert not files.exists(f"{run.table_uri('model')}/failures")


@pytest.mark.parametrize("lost", ["worker", "executor"])
def test_training_goes_on_from_its_checkpoint(night: Night, folder: Path, lost: str):
    run, options = run_of(folder), options_of(night, folder, TRAINING)
    process = start("jobs/train.py", *options, conf="local-cluster")
    wait_for_epoch(process, run.table_uri("model"), 3)
    workers = workers_of(process)
    assert len(workers) == 2
    killed = workers[0] if lost == "worker" else executors_of(process)[0]
    killed.kill()
    started = time.monotonic()
    _, alive = psutil.wait_procs(workers, timeout=60)
    seconds = time.monotonic() - started
    output = expect(wait(process), 0)
    assert not alive
    assert seconds < 15, f"the other worker was only gone after {seconds:.0f} s"
    assert "the workers failed (worker" in output
    assert "is lost; worker" in output
    assert "restart 1 of 2" in output
    assert "restart 2 of 2" not in output
    assert "resumes from checkpoint 0000" in output
    # Epoch 1 was trained once: its line is not shown again.
    assert output.count(f"neumf epoch 1/{EPOCHS},") == 1
    assert_every_epoch_once(run, 2)


def test_train_goes_on_with_other_workers_after_its_driver_is_lost(night: Night, folder: Path):
    run, options = run_of(folder), options_of(night, folder, TRAINING)
    process = start("jobs/train.py", *options, conf="local-cluster")
    wait_for_epoch(process, run.table_uri("model"), 3)
    orphans = [*workers_of(process), *executors_of(process)]
    process.kill()
    process.communicate()
    assert not psutil.wait_procs(orphans, timeout=30)[1]
    options = options_of(night, folder, {**TRAINING, "training.num_workers": 1})
    output = expect(submit("jobs/train.py", *options), 0)
    assert re.search(r"resumes from checkpoint 0000\d\d \(num_workers was 2, is 1\)", output)
    assert f"neumf epoch 1/{EPOCHS}," not in output
    assert f"neumf epoch {EPOCHS}/{EPOCHS}," in output
    assert_every_epoch_once(run, 1)
