"""Events and catalogue -> history, interactions, indexes, catalogue, and the split."""

from ncf_spark import schemas
from ncf_spark.job import Job, main
from ncf_spark.job.audience import read_audience
from ncf_spark.job.audience_checks import check_audience, check_item_rules
from ncf_spark.job.id_checks import check_ids, check_provided, note_catalogue
from ncf_spark.job.intake import read_catalogue, write_interactions
from ncf_spark.job.numbering import write_indexes
from ncf_spark.job.splitting import check_sizes, write_split


def run(job: Job) -> None:
    """Later steps read the events and the catalogue from our own tables only."""
    audience = read_audience(job)
    check_audience(job, audience)
    check_item_rules(job)
    schema = schemas.with_features(schemas.CATALOGUE, list(job.config.activity.features))
    catalogue = job.write("catalogue", read_catalogue(job), schema)
    interactions = write_interactions(job)
    note_catalogue(job, interactions, catalogue)
    check_provided(job, interactions)
    user_index, item_index, num_items = write_indexes(job, interactions)
    check_ids(job, audience, user_index)
    check_sizes(job, num_items)
    write_split(job, interactions, user_index, item_index, num_items)


if __name__ == "__main__":
    main(run, "build_interactions", __doc__, run="start")
