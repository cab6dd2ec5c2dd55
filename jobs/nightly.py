"""All steps of a night in one Spark application: events in, campaign out, published at the end."""

from importlib import import_module

from ncf_spark.job import Job, main, run_step
from ncf_spark.job.first_rows import print_first_rows
from ncf_spark.job.slots import check_workers
from ncf_spark.night import STEPS


def run(job: Job) -> None:
    """Runs the steps one after the other; the first that fails ends the night."""
    check_workers(job)
    for job.name in STEPS:
        run_step(job, _run_job)
    print_first_rows(job)


def _run_job(job: Job) -> None:
    # Imported when it runs: torch and Horovod take seconds, and a step may be skipped.
    import_module(job.name).run(job)


if __name__ == "__main__":
    main(run, "nightly", __doc__, run="start")
