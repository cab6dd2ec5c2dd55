"""Events and catalogue -> interactions, indexes, catalogue, train, validation, holdout."""

from ncf_spark import schemas
from ncf_spark.interactions.indexing import append_index
from ncf_spark.job import Job, main
from ncf_spark.job.findings import note_catalogue
from ncf_spark.job.intake import check_recipients, read_catalogue, write_interactions
from ncf_spark.job.splitting import check_sizes, held_out_ids, write_split


def run(job: Job) -> None:
    """Everything after this step reads our own tables only."""
    check_recipients(job)
    schema = schemas.with_features(schemas.CATALOGUE, list(job.config.activity.features))
    catalogue = job.write("catalogue", read_catalogue(job), schema)
    interactions = write_interactions(job)
    note_catalogue(job, interactions, catalogue)
    indexes = {}
    for side, schema in schemas.INDEXES.items():
        ids = interactions.select(f"{side}_id").union(held_out_ids(job, f"{side}_id"))
        published = job.read_published(f"{side}_index", schema)
        index = append_index(ids, published, f"{side}_id", f"{side}_index")
        indexes[side] = job.write(f"{side}_index", index, schema)
    check_sizes(job)
    write_split(job, interactions, indexes["user"], indexes["item"])


if __name__ == "__main__":
    main(run, "build_interactions", __doc__, run="new")
