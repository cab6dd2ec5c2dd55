"""All steps of a night in one Spark application: events in, campaign out, published at the end."""

import build_interactions
import evaluate
import export_campaign
import score_item_activity
import score_users
import similar_items
import train

from ncf_spark.job import Job, main, run_step
from ncf_spark.job.slots import check_workers
from ncf_spark.job.summary import print_summary

STEPS = [
    build_interactions,
    score_item_activity,
    train,
    evaluate,
    score_users,
    similar_items,
    export_campaign,
]


def run(job: Job) -> None:
    """Runs the steps one after the other; the first that fails ends the night."""
    check_workers(job)
    for step in STEPS:
        job.name = step.__name__
        run_step(job, step.run)
    print_summary(job)


if __name__ == "__main__":
    main(run, "nightly", __doc__, run="new")
