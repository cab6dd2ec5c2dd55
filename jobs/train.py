"""Train and item activity -> model: NeuMF, GMF or MLP, by Horovod workers on the executors."""

from ncf_spark import schemas
from ncf_spark.job import Job, main
from ncf_spark.job.slots import check_workers
from ncf_spark.model.recommender import Architecture
from ncf_spark.model.store import save_manifest
from ncf_spark.training.distributed import run_workers
from ncf_spark.training.loop import LoopSettings
from ncf_spark.training.worker import TrainingTask


def run(job: Job) -> None:
    """Trains, then writes the model's manifest last."""
    check_workers(job)
    config, model_uri = job.config, job.run.table_uri("model")
    num_users, num_items = job.num_rows("user_index"), job.num_rows("item_index")
    architecture = Architecture(**config.model.model_dump(), num_items=num_items)
    task = TrainingTask(
        train_uri=job.run.finished_table_uri("train"),
        holdout_uri=job.run.finished_table_uri("holdout"),
        activity_uri=job.run.finished_table_uri("item_activity"),
        model_uri=model_uri,
        num_users=num_users,
        num_shards=config.training.num_shards,
        architecture=architecture,
        loop=LoopSettings(**config.loop_settings()),
        max_retries=config.sampling.max_retries,
        ks=tuple(config.evaluation.ks),
        evaluate_every=config.training.evaluate_every,
    )
    workers = run_workers(task, **config.worker_settings())
    facts = {"history": workers[0]["history"], "bytes_summed": workers[0]["bytes_summed"]}
    save_manifest(model_uri, architecture, num_users, facts)
    job.record_table("model/user_vectors", num_users, schemas.USER_VECTORS.jsonValue())
    job.record_table("model/item_vectors", num_items, schemas.ITEM_VECTORS.jsonValue())
    job.note("last epoch", workers[0]["history"][-1])


if __name__ == "__main__":
    main(run, "train", __doc__)
