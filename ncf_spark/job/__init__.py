"""The shell of every job, and what a step works with."""

from ncf_spark.job.context import Job
from ncf_spark.job.shell import main
from ncf_spark.job.stepping import run_step

__all__ = ["Job", "main", "run_step"]
