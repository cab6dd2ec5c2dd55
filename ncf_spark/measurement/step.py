"""Measures the results of a campaign from later events; not a step of a night."""

from __future__ import annotations

from ncf_spark.inputs.outcomes import read_outcomes
from ncf_spark.measurement.measure import measure, read_arms, sent_run
from ncf_spark.measurement.report import write_results
from ncf_spark.measurement.statistics import check_installed
from ncf_spark.pipeline.context import Job


def measure_campaign(job: Job) -> None:
    """Counts the outcomes of each arm, compares the arms, and writes and prints the results."""
    check_installed()
    events = read_outcomes(job)
    job.run = sent_run(job)
    job.next_step(job.name)
    write_results(job, measure(job, read_arms(job), events))
