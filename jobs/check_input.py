"""Looks at the customer's tables as a night's first step does, and says what is in them."""

import build_interactions

from ncf_spark.job import Job, main
from ncf_spark.job.input_report import (
    describe_findings,
    describe_tables,
    end_trial,
    suggest_config,
    trial_of,
)
from ncf_spark.job.stepping import check_input_files


def run(job: Job) -> None:
    """Ends with status 2 and all that was found wrong; nothing that it wrote stays."""
    print(describe_tables(job), flush=True)
    trial = trial_of(job)
    try:
        check_input_files(trial)
        build_interactions.run(trial)
        print(f"\n{describe_findings(trial)}\n\nNothing is wrong: a night can begin.", flush=True)
    finally:
        end_trial(trial)


if __name__ == "__main__":
    main(run, "check_input", __doc__, run="none", suggest=suggest_config)
