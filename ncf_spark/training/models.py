"""The models of a run: the night's own below `model/`, the others below `compared/<name>/`.

And where its baselines stand: without the libraries that make them, which every job would import.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ncf_spark import schemas
from ncf_spark.config import Config
from ncf_spark.errors import DataError
from ncf_spark.pipeline.context import Job
from ncf_spark.schemas.results import Start, Training, find_result
from ncf_spark.training.warm_start import start_of_training


def model_paths(job: Job) -> dict[str, tuple[str, Config]]:
    """Where each model stands in the run, and its settings, by name; the night's own first.

    Without those whose training failed.
    """
    own, failed = job.config.model.kind, failed_models(job)
    return {
        name: ("model" if name == own else f"compared/{name}", config)
        for name, config in job.config.models.items()
        if name not in failed
    }


def baseline_paths(job: Job) -> dict[str, tuple[str, str]]:
    """Kind of scorer and path of each baseline's table, by name; without those that failed."""
    tables = {"popularity": "item_popularity", "item_item": "item_neighbours"}
    failed = failed_models(job)
    return {
        name: ("dot", f"compared/{name}") if baseline == "als" else (name, tables[baseline])
        for name, baseline in job.config.evaluation.baseline_models.items()
        if name not in failed
    }


def judged_paths(job: Job) -> dict[str, tuple[str, str]]:
    """Kind of scorer and path of every model and baseline of the run, by name."""
    models = {name: ("model", path) for name, (path, _) in model_paths(job).items()}
    return models | baseline_paths(job)


def record_model(job: Job, name: str, result: Mapping[str, Any]) -> None:
    """Enters a trained model into the step's record.

    Args:
        result: what one of its workers returned.
    """
    path, _ = model_paths(job)[name]
    num_users, num_items = job.num_rows("user_index"), job.num_rows("item_index")
    job.record_table(f"{path}/user_vectors", num_users, schemas.USER_VECTORS)
    job.record_table(f"{path}/item_vectors", num_items, schemas.ITEM_VECTORS)
    job.note(f"{path}: last epoch", result["history"][-1])
    job.note(f"{path}: chosen epochs", result["chosen_epochs"])


def may_fail(job: Job, name: str) -> bool:
    """Whether the night goes on without a model or baseline: it is only compared with."""
    return name not in (job.config.model.kind, "popularity", *job.config.model.candidates)


def failed_models(job: Job) -> dict[str, str]:
    """Why models and baselines of the run failed, by name; none before train has finished."""
    if job.name == "train":
        return {}
    trained = find_result(job.run.step_record("train"), Training)
    return trained.failed if trained else {}


def worker_paths(job: Job, path: str, checkpoints: str, start: Start) -> dict[str, Any]:
    """What the workers of a model read and write, and when the steps before them had finished.

    Args:
        path: of the model in the run.
        checkpoints: the folder of all models' checkpoints. It is no table: a step that starts
            again deletes its tables, and training is to go on from its checkpoints.
        start: of the night's own model.

    Raises:
        DataError: when epochs are to be judged but there is nothing to judge them on.
    """
    finished = job.run.finished_table_uri
    judged = bool(job.num_rows("validation"))
    if not judged and any(c.training.patience is not None for c in job.config.models.values()):
        raise DataError(
            "validation: holds no row (no user has two train pairs, or split.validation is false), "
            "so training.patience has nothing to judge epochs by. Set training.patience: null, or "
            "bring more events."
        )
    return {
        "train_uri": finished("train"),
        "validation_uri": finished("validation") if judged else None,
        "activity_uri": finished("item_activity"),
        "model_uri": job.run.table_uri(path),
        "checkpoints_uri": f"{checkpoints}/{path}",
        "start": start_of_training(job, start) if path == "model" else None,
        "tables": {
            step: (job.run.step_record(step) or {}).get("finished_at", "")
            for step in ("build_interactions", "score_item_activity")
        },
    }
