"""A worker that is killed in the middle of an epoch: training goes on from its checkpoint."""

from __future__ import annotations

import subprocess
import time
from datetime import date

import psutil
import pytest

from ncf_spark.storage import files
from ncf_spark.storage.runs import Warehouse
from ncf_spark.training.checkpoint import place
from tests.jobs.conftest import RUN_DATE, Night, expect, start, submit, wait

pytestmark = pytest.mark.slow

EPOCHS = 12


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The Horovod workers below a spark-submit."""
    below = psutil.Process(process.pid).children(recursive=True)
    alive = [p for p in below if p.status() != psutil.STATUS_ZOMBIE]
    return [p for p in alive if "horovod.spark.task.gloo_exec_fn" in p.cmdline()[:3]]


def wait_for_epoch(process: subprocess.Popen[str], model_uri: str, epoch: int) -> None:
    """Returns when the workers have finished an epoch; fails when they are too late for it."""
    place_of_history, deadline = f"{model_uri}/history.json", time.monotonic() + 180
    while time.monotonic() < deadline and process.poll() is None:
        if files.exists(place_of_history):
            done = len(files.read_json(place_of_history))
            if done >= epoch:
                assert done < EPOCHS, "the workers were done before one of them was killed"
                return
        time.sleep(0.05)
    pytest.fail(f"no epoch {epoch}: {wait(process)}")


def test_training_goes_on_from_the_checkpoint_of_a_killed_worker(night: Night, tmp_path):
    options = [
        *("--config", night.config, "--run-date", RUN_DATE),
        *("--set", f"storage.warehouse={tmp_path}/warehouse"),
    ]
    for step in ("build_interactions", "score_item_activity"):
        expect(submit(f"jobs/{step}.py", *options), 0)
    run = Warehouse(f"{tmp_path}/warehouse").newest_run(date.fromisoformat(RUN_DATE))
    assert run is not None
    model_uri = run.table_uri("model")
    settings = {
        "training.epochs": EPOCHS,
        "training.batch_size": 8,
        "training.num_workers": 2,
        "training.checkpoint_every.epochs": 1,
        "evaluation.baselines": "[popularity]",
        "evaluation.compared": "{}",
    }
    changes = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    process = start("jobs/train.py", *options, *changes, conf="local-cluster")
    wait_for_epoch(process, model_uri, 3)
    killed, other = workers_of(process)
    killed.kill()
    started = time.monotonic()
    other.wait(timeout=60)
    seconds = time.monotonic() - started
    output = expect(wait(process), 0)
    assert seconds < 30, f"the other worker was only gone after {seconds:.0f} s"
    assert "the workers failed" in output
    assert "restart 1 of 2" in output
    history = files.read_json(f"{model_uri}/manifest.json")["history"]
    assert [record["epoch"] for record in history] == list(range(1, EPOCHS + 1))
    # Epoch 1 was trained once: its line is not shown again.
    assert output.count(f"neumf epoch 1/{EPOCHS},") == 1
    assert not files.exists(place(model_uri))
