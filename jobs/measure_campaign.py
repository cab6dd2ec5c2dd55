"""campaign_recipients and later events -> what a campaign brought: each arm's rates, and lifts."""

from ncf_spark.job import Job, main
from ncf_spark.job.measured import tell_results
from ncf_spark.job.measuring import measure, read_arms, sent_run
from ncf_spark.job.outcomes import read_outcomes
from ncf_spark.measurement.statistics import check_installed


def run(job: Job) -> None:
    """Counts who of each arm did what, compares the arms, and writes and prints the outcome."""
    check_installed()
    events = read_outcomes(job)
    job.run = sent_run(job)
    job.next_step(job.name)
    tell_results(job, measure(job, read_arms(job), events))


if __name__ == "__main__":
    main(run, "measure_campaign", __doc__, run="none")
