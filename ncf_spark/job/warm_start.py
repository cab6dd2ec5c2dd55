"""Which run's model the night's own model begins with, if with any (training.warm_epochs).

build_interactions decides, since the split depends on it: what that model was trained on stays in
train. The step train follows, and records where it began and when the last full training was.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from pyspark.sql import DataFrame

from ncf_spark import schemas
from ncf_spark.job.context import Job
from ncf_spark.job.logs import log
from ncf_spark.storage import files, tables
from ncf_spark.storage.runs import Run

_NOTE = "start"
# Of section model, but not of what is trained.
_OF_THE_CHOICE = {"candidates", "selection"}


def choose_start(job: Job) -> Run | None:
    """The run whose model tonight's training starts from; None: it starts cold.

    Either way it is noted, with the reason.
    """
    run, reason = _choose(job)
    _note(job, run, reason)
    return run


def trained_pairs(job: Job, run: Run) -> DataFrame:
    """(user_index, item_index) that the model of `run` was trained on."""
    train = tables.read_table(
        job.spark, run.finished_table_uri("train"), schemas.TRAIN, f"{run.name}: train"
    )
    return train.select("user_index", "item_index")


def start_of_training(job: Job) -> dict[str, Any] | None:
    """What the workers are told of the model they start from; None: they start cold.

    As build_interactions decided, but cold when the settings have changed since.
    """
    decided = (job.run.step_record("build_interactions") or {}).get("notes", {}).get(_NOTE, {})
    name, reason = decided.get("started_from"), decided.get("because", "it was not decided")
    run = None if name is None else _run(job, name)
    if run is not None:
        problem = _problem(job, run)
        run, reason = (None, problem) if problem else (run, reason)
    full = str(job.run_date) if run is None else _last_full_training(run)
    _note(job, run, reason, last_full_training=full)
    if run is None:
        return None
    task = _model(run)["task"]
    return {
        "run": run.name,
        "model_uri": run.table_uri("model"),
        "num_users": task["num_users"],
        "num_shards": task["num_shards"],
    }


def _note(job: Job, run: Run | None, reason: str, **more: Any) -> None:
    name = None if run is None else run.name
    values = "random weights" if name is None else f"the model of {name}"
    log.info("%s: training starts from %s: %s", job.name, values, reason)
    job.note(_NOTE, {"started_from": name, "because": reason, **more})


def _choose(job: Job) -> tuple[Run | None, str]:
    if job.config.training.warm_epochs is None:
        return None, "training.warm_epochs is not set"
    run = job.warehouse.night_before(job.run)
    if run is None:
        return None, "there is no night before"
    problem = _problem(job, run)
    if problem:
        return None, problem
    full, every = _last_full_training(run), job.config.training.full_retrain_every_days
    if (job.run_date - date.fromisoformat(full)).days >= every:
        return None, f"the last full training was on {full}, training.full_retrain_every_days ago"
    return run, f"the last full training was on {full}"


def _problem(job: Job, run: Run) -> str:
    """Why tonight's model cannot begin with that of `run`; empty when it can."""
    record = run.step_record("train")
    if record is None or not files.exists(f"{run.table_uri('model')}/manifest.json"):
        return f"{run.name} has no model any more"
    if "last_full_training" not in record["notes"].get(_NOTE, {}):
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
    record = run.step_record("train") or {}
    return str(record["notes"][_NOTE]["last_full_training"])


def _model(run: Run) -> dict[str, Any]:
    manifest: dict[str, Any] = files.read_json(f"{run.table_uri('model')}/manifest.json")
    return manifest


def _run(job: Job, name: str) -> Run:
    return Run(f"{job.warehouse.uri}/runs/{name}")
