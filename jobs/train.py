"""Train and item activity -> model: NeuMF, GMF or MLP, by Horovod workers on the executors."""

from ncf_spark import schemas
from ncf_spark.job import Job, main
from ncf_spark.job.slots import check_memory, check_workers
from ncf_spark.model.recommender import Architecture
from ncf_spark.training.distributed import run_workers
from ncf_spark.training.loop import LoopSettings
from ncf_spark.training.preflight import worker_bytes
from ncf_spark.training.worker import TrainingTask, save_manifest


def run(job: Job) -> None:
    """Checks that the workers have room, trains, and writes the model's manifest last."""
    config, rows, finished = job.config, job.num_rows, job.run.finished_table_uri
    task = TrainingTask(
        train_uri=finished("train"),
        holdout_uri=finished("holdout"),
        activity_uri=finished("item_activity"),
        model_uri=job.run.table_uri("model"),
        num_users=rows("user_index"),
        architecture=Architecture(**config.model.model_dump(), num_items=rows("item_index")),
        loop=LoopSettings(**config.loop_settings()),
        **config.task_settings(),
    )
    check_workers(job)
    check_memory(job, worker_bytes(task, config.training.num_workers, rows("train")))
    workers = run_workers(task, **config.worker_settings())
    save_manifest(task, workers)
    job.record_table("model/user_vectors", rows("user_index"), schemas.USER_VECTORS)
    job.record_table("model/item_vectors", rows("item_index"), schemas.ITEM_VECTORS)
    job.note("last epoch", workers[0]["history"][-1])


if __name__ == "__main__":
    main(run, "train", __doc__)
