"""Looks at the customer's tables as a night's first step does, and says what is in them."""

import build_interactions

from ncf_spark.job import Job, main
from ncf_spark.job.input_report import check_input, suggest_config


def run(job: Job) -> None:
    """Ends with status 2 and all that was found wrong; nothing that it wrote stays."""
    check_input(job, build_interactions.run)


if __name__ == "__main__":
    main(run, "check_input", __doc__, run="none", suggest=suggest_config)
