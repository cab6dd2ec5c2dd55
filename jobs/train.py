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
    config, num_users = job.config, job.num_rows("user_index")
    task = TrainingTask(
        train_uri=job.run.finished_table_uri("train"),
        holdout_uri=job.run.finished_table_uri("holdout"),
        activity_uri=job.run.finished_table_uri("item_activity"),
        model_uri=job.run.table_uri("model"),
        num_users=num_users,
        num_shards=config.training.num_shards,
        architecture=Architecture(
            **config.model.model_dump(), num_items=job.num_rows("item_index")
        ),
        loop=LoopSettings(**config.loop_settings()),
        max_retries=config.sampling.max_retries,
        ks=tuple(config.evaluation.ks),
        evaluate_every=config.training.evaluate_every,
    )
    check_workers(job)
    check_memory(job, worker_bytes(task, config.training.num_workers, job.num_rows("train")))
    workers = run_workers(task, **config.worker_settings())
    save_manifest(task, workers)
    job.record_table("model/user_vectors", num_users, schemas.USER_VECTORS.jsonValue())
    job.record_table(
        "model/item_vectors", job.num_rows("item_index"), schemas.ITEM_VECTORS.jsonValue()
    )
    job.note("last epoch", workers[0]["history"][-1])


if __name__ == "__main__":
    main(run, "train", __doc__)
