"""Train and item activity → models: NeuMF, GMF, MLP or MF, by Horovod; and the baselines."""

from __future__ import annotations

from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.step import Step
from ncf_spark.schemas.results import Training
from ncf_spark.storage.files import delete
from ncf_spark.training.models import model_paths, record_model, worker_paths
from ncf_spark.training.slots import check_memory, check_workers, start_settings
from ncf_spark.training.warm_start import confirm_start


def train(job: Job) -> Training:
    """Checks that the workers have room for every model, then trains all of them in one start."""
    # Imported when it runs: torch, Horovod and Spark ML take seconds, and the step may be skipped.
    from ncf_spark.evaluation.fitting import write_baselines
    from ncf_spark.training.distributed import run_workers
    from ncf_spark.training.preflight import modes_of_workers, positives_of_workers, worker_bytes
    from ncf_spark.training.task import TrainingTask
    from ncf_spark.training.worker import save_manifest

    check_workers(job)
    start = confirm_start(job)
    num_users, num_items = job.num_rows("user_index"), job.num_rows("item_index")
    checkpoints, tasks = job.run.table_uri("checkpoints"), {}
    for name, (path, config) in model_paths(job).items():
        paths = worker_paths(job, path, checkpoints, start)
        task = TrainingTask.of(config, paths, num_users=num_users, num_items=num_items)
        positives = positives_of_workers(task, config.training.num_workers)
        job.note(f"{name}: workers by their positives", modes_of_workers(task, positives))
        check_memory(job, name, worker_bytes(task, len(positives), max(positives)))
        tasks[name] = task
    failed = write_baselines(job)
    job.doing = f"{', '.join(tasks)} on {job.config.training.num_workers} workers"
    trained, failed_models = run_workers(
        tasks, lambda: check_workers(job), **start_settings(job, tasks)
    )
    for name, workers in trained.items():
        save_manifest(tasks[name], workers)
        record_model(job, name, workers[0])
    delete(checkpoints)
    return Training(start=start, failed=failed | failed_models)


# How, not what: another machine may hold the workers otherwise.
_WORKERS = tuple(
    f"training.{name}"
    for name in (
        *("num_workers", "device", "threads_per_worker", "pin_workers", "worker_memory_bytes"),
        *("start_timeout_s", "network_interfaces", "max_restarts", "checkpoint_every"),
        "resident_bytes",
    )
)
TRAIN = Step(
    "train",
    train,
    reads=("train", "validation", "user_index", "item_index", "item_activity"),
    # Below model/ and compared/<name>/ stand user_vectors, item_vectors and what belongs to them.
    writes=("model", "compared", "item_popularity", "item_neighbours"),
    settings=(
        *("run.seed", "model", "training", "sampling", "evaluation.baselines"),
        *("evaluation.compared", "evaluation.als", "evaluation.item_item"),
    ),
    except_settings=("model.candidates", "model.selection", *_WORKERS),
    must_match={
        "build_interactions": (
            *("split.method", "split.holdout_days", "split.validation", "training.num_shards"),
        )
    },
)
