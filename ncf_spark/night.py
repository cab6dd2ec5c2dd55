"""The steps of a night in their order: the only place that knows them all."""

from __future__ import annotations

from ncf_spark.campaign.step import EXPORT_CAMPAIGN
from ncf_spark.evaluation.step import EVALUATE
from ncf_spark.monitoring.first_rows import print_first_rows
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.runner import run_step
from ncf_spark.preparation.step import BUILD_INTERACTIONS, SCORE_ITEM_ACTIVITY
from ncf_spark.scoring.step import SCORE_USERS, SIMILAR_ITEMS
from ncf_spark.training.slots import check_workers
from ncf_spark.training.step import TRAIN

_STEPS = (
    *(BUILD_INTERACTIONS, SCORE_ITEM_ACTIVITY, TRAIN, EVALUATE),
    *(SCORE_USERS, SIMILAR_ITEMS, EXPORT_CAMPAIGN),
)
STEPS = {step.name: step for step in _STEPS}


def run_night(job: Job) -> None:
    """Runs the steps one after the other; the first that fails ends the night."""
    check_workers(job)
    for job.name in STEPS:
        run_step(job)
    published = job.warehouse.published_run()
    is_published = published is not None and published.name == job.run.name
    print_first_rows(job.spark, job.run, is_published=is_published, k=job.config.campaign.k)
