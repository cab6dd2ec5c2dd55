"""All steps of a night in one Spark application: events in, campaign out, published at the end."""

import build_interactions
import evaluate
import export_campaign
import score_item_activity
import score_users
import similar_items
import train

from ncf_spark.job import Job, main, run_step
from ncf_spark.job.first_rows import print_first_rows
from ncf_spark.job.slots import check_workers

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
    print_first_rows(job)


if __name__ == "__main__":
    main(run, "nightly", __doc__, run="start")
