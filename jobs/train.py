"""Train and item activity -> model: NeuMF, GMF, MLP or MF, by Horovod; and the baselines."""

from ncf_spark.job import Job, main
from ncf_spark.job.baselines import write_baselines
from ncf_spark.job.models import model_places, note_failed, record_model, training_places
from ncf_spark.job.slots import check_memory, check_workers, start_settings
from ncf_spark.storage.files import delete
from ncf_spark.training.distributed import run_workers
from ncf_spark.training.preflight import modes_of_workers, positives_of_workers, worker_bytes
from ncf_spark.training.task import TrainingTask
from ncf_spark.training.worker import save_manifest


def run(job: Job) -> None:
    """Checks that the workers have room for every model, then trains all of them in one start."""
    check_workers(job)
    num_users, num_items = job.num_rows("user_index"), job.num_rows("item_index")
    checkpoints, tasks = job.run.table_uri("checkpoints"), {}
    for name, (place, config) in model_places(job).items():
        places = training_places(job, place, checkpoints)
        task = TrainingTask.of(config, places, num_users=num_users, num_items=num_items)
        positives = positives_of_workers(task, config.training.num_workers)
        job.note(f"{name}: workers by their positives", modes_of_workers(task, positives))
        check_memory(job, name, worker_bytes(task, len(positives), max(positives)))
        tasks[name] = task
    failed = write_baselines(job)
    job.doing = f"{', '.join(tasks)} on {job.config.training.num_workers} workers"
    trained, failed_models = run_workers(
        tasks, lambda: check_workers(job), **start_settings(job, tasks)
    )
    note_failed(job, failed | failed_models)
    for name, workers in trained.items():
        save_manifest(tasks[name], workers)
        record_model(job, name, workers[0])
    delete(checkpoints)


if __name__ == "__main__":
    main(run, "train", __doc__)
