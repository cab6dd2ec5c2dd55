"""Raw events and catalogue -> interactions, user_index, item_index, catalogue, train, holdout."""

from ncf_spark import interactions as make
from ncf_spark import schemas
from ncf_spark.job import Job, main


def run(job: Job) -> None:
    """Opens the night: everything after this reads our tables only."""
    make.check(1)


if __name__ == "__main__":
    main(run, "build_interactions", __doc__, run="new")
