"""The baselines of a run: what the night's model and those beside it are compared with."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pyspark.sql import DataFrame

from ncf_spark import schemas
from ncf_spark.evaluation.baselines import build_item_neighbours, fit_als
from ncf_spark.evaluation.popularity import build_item_popularity
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.logs import log
from ncf_spark.storage.read_failures import describe
from ncf_spark.training.models import may_fail


def write_baselines(job: Job) -> dict[str, str]:
    """Writes item popularity always, and what the other baselines of `evaluation.baselines` need.

    These are item_neighbours for item_item, and vectors of users and items below compared/ for als.

    Returns:
        Why baselines failed, by name. One that is a candidate ends the night instead.
    """
    wanted, train = job.config.evaluation.baselines, job.read("train", schemas.TRAIN)
    items = job.read("item_index", schemas.ITEM_INDEX).where("is_present")
    popularity = build_item_popularity(train, items)
    job.write("item_popularity", popularity, schemas.ITEM_POPULARITY)
    write: dict[str, Callable[[], None]] = {}
    if "item_item" in wanted:
        write["item_item"] = partial(_write_neighbours, job, train)
    if "als" in wanted:
        for name, settings in job.config.evaluation.als.models.items():
            write[name] = partial(_write_als, job, train, name, settings)
    failed = {}
    for name, write_baseline in write.items():
        try:
            write_baseline()
        except Exception as error:  # of any kind: a model that is only compared with
            if not may_fail(job, name):
                raise
            failed[name] = describe(error)
            log.warning("train: %s failed and is left out: %s", name, failed[name])
            log.debug("why %s failed", name, exc_info=True)
    return failed


def _write_neighbours(job: Job, train: DataFrame) -> None:
    neighbours = build_item_neighbours(
        train,
        num_items=job.num_rows("item_index"),
        **job.config.evaluation.item_item.model_dump(),
    )
    job.write("item_neighbours", neighbours, schemas.ITEM_NEIGHBOURS)


def _write_als(job: Job, train: DataFrame, name: str, settings: dict[str, Any]) -> None:
    indexes = [job.read(f"{side}_index", schemas.INDEXES[side]) for side in ("user", "item")]
    # Each iteration is built on the one before: without checkpoints the plan of the last one is as
    # deep as all of them, and overflows the JVM's stack.
    job.spark.sparkContext.setCheckpointDir(f"{job.staging_uri}/{name}")
    users, items = fit_als(train, *indexes, **settings, seed=job.config.run.seed)
    job.write(f"compared/{name}/user_vectors", users, schemas.USER_VECTORS)
    job.write(f"compared/{name}/item_vectors", items, schemas.ITEM_VECTORS)
