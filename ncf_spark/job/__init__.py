"""The shell of every job, and what a step works with."""

from ncf_spark.job.context import Job, run_step
from ncf_spark.job.shell import main

__all__ = ["Job", "main", "run_step"]
