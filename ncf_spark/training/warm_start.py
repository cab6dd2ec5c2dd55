"""Which run's model the night's own model begins with, if with any (training.warm_epochs).

build_interactions decides, since the split depends on it: what that model was trained on stays in
train. The step train follows, and records where it began and when the last full training was.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from pyspark.sql import DataFrame

from ncf_spark import schemas
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.logs import log
from ncf_spark.schemas.results import Preparation, Start, Training, find_result, read_result
from ncf_spark.storage import files, tables
from ncf_spark.storage.runs import Run

# Of section model, but not of what is trained.
_OF_THE_CHOICE = {"candidates", "selection"}


def choose_start(job: Job) -> Start:
    """Which run's model tonight's training starts from, with the reason."""
    return _log(job, _choose(job))


def trained_pairs(job: Job, run: str) -> DataFrame:
    """(user_index, item_index) that the model of a run was trained on."""
    uri = _run(job, run).finished_table_uri("train")
    train = tables.read_table(job.spark, uri, schemas.TRAIN, f"{run}: train")
    return train.select("user_index", "item_index")


def confirm_start(job: Job) -> Start:
    """As build_interactions decided, but from random weights when settings have changed since."""
    prepared = find_result(job.run.step_record("build_interactions"), Preparation)
    start = prepared.start if prepared else Start(run=None, reason="it was not decided")
    run = None if start.run is None else _run(job, start.run)
    problem = "" if run is None else _problem(job, run)
    if problem:
        run, start = None, Start(run=None, reason=problem)
    full = str(job.run_date) if run is None else _last_full_training(run)
    return _log(job, start.model_copy(update={"last_full_training": full}))


def start_of_training(job: Job, start: Start) -> dict[str, Any] | None:
    """Where and how large the model is that workers start from; None: random weights."""
    if start.run is None:
        return None
    run = _run(job, start.run)
    task = _model(run)["task"]
    return {
        "run": run.name,
        "model_uri": run.table_uri("model"),
        "num_users": task["num_users"],
        "num_shards": task["num_shards"],
    }


def _log(job: Job, start: Start) -> Start:
    values = "random weights" if start.run is None else f"the model of {start.run}"
    log.info("%s: training starts from %s: %s", job.name, values, start.reason)
    return start


def _choose(job: Job) -> Start:
    if job.config.training.warm_epochs is None:
        return Start(run=None, reason="training.warm_epochs is not set")
    run = job.warehouse.night_before(job.run)
    if run is None:
        return Start(run=None, reason="there is no night before")
    problem = _problem(job, run)
    if problem:
        return Start(run=None, reason=problem)
    full, every = _last_full_training(run), job.config.training.full_retrain_every_days
    reason = f"the last full training was on {full}"
    if (job.run_date - date.fromisoformat(full)).days >= every:
        return Start(run=None, reason=f"{reason}, training.full_retrain_every_days ago")
    return Start(run=run.name, reason=reason)


def _problem(job: Job, run: Run) -> str:
    """Why tonight's model cannot begin with that of `run`; empty when it can."""
    record = run.step_record("train")
    if record is None or not files.exists(f"{run.table_uri('model')}/manifest.json"):
        return f"{run.name} has no model any more"
    trained = find_result(record, Training)
    if trained is None or trained.start.last_full_training is None:
        return f"{run.name} does not say when its last full training was"
    training = job.config.training
    if training.warm_epochs is None:
        return "training.warm_epochs is not set"
    then, now = record["config"]["model"], job.config.model_dump(mode="json")["model"]
    changes = [
        f"model.{name} was {then.get(name)}, is {now.get(name)}"
        for name in sorted({*then, *now} - _OF_THE_CHOICE)
        if then.get(name) != now.get(name)
    ]
    return f"{run.name} has another model: {'; '.join(changes)}" if changes else ""


def _last_full_training(run: Run) -> str:
    return str(read_result(run.step_record("train"), Training).start.last_full_training)


def _model(run: Run) -> dict[str, Any]:
    manifest: dict[str, Any] = files.read_json(f"{run.table_uri('model')}/manifest.json")
    return manifest


def _run(job: Job, name: str) -> Run:
    return Run(f"{job.warehouse.uri}/runs/{name}")
