"""Looks at the customer's tables as a night's first step does, and says what is in them."""

import build_interactions

from ncf_spark.job import Job, main
from ncf_spark.job.input_report import (
    describe_findings,
    describe_tables,
    end_trial,
    find_problems,
    suggest_config,
    trial_of,
)
from ncf_spark.job.outcomes import read_outcomes
from ncf_spark.job.stepping import check_input_files
from ncf_spark.schemas import DataError


def run(job: Job) -> None:
    """Ends with status 2 and all that was found wrong; nothing that it wrote stays."""
    tables, problems = describe_tables(job)
    print(tables, flush=True)
    trial = trial_of(job)
    try:
        wrong = find_problems(lambda: _begin_night(trial))
        if not wrong:
            print(f"\n{describe_findings(trial)}", flush=True)
        if job.config.outcomes.configured:
            wrong += find_problems(lambda: read_outcomes(trial))
    finally:
        end_trial(trial)
    if wrong or problems:
        raise DataError("\n".join(dict.fromkeys([*wrong, *problems])))
    print("\nNothing is wrong: a night can begin.", flush=True)


def _begin_night(trial: Job) -> None:
    check_input_files(trial)
    build_interactions.run(trial)


if __name__ == "__main__":
    main(run, "check_input", __doc__, run="none", suggest=suggest_config)
