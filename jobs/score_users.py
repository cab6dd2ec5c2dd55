"""Model, interactions and eligibility -> user_topk: each user's best items that they don't know."""

from ncf_spark import schemas
from ncf_spark.campaign.eligibility import build_eligible_items
from ncf_spark.interactions.indexing import with_indexes
from ncf_spark.job import Job, main
from ncf_spark.scoring.spark import build_user_topk, with_seen


def run(job: Job) -> None:
    """Scores the users whose vectors were trained tonight."""
    scoring, uri = job.config.scoring, job.run.table_uri
    activity = job.read("item_activity", schemas.ITEM_ACTIVITY)
    catalogue = job.read("catalogue", schemas.CATALOGUE)
    listed = job.config.catalogue.configured
    eligible = build_eligible_items(activity, catalogue, in_catalogue=listed)
    remedy = "No item of the events is in the catalogue: compare their ids."
    job.write("eligible_items", eligible, schemas.ELIGIBLE_ITEMS, if_empty=remedy)
    interactions = job.read("interactions", schemas.INTERACTIONS)
    indexes = [job.read(f"{s}_index", schemas.INDEXES[s]) for s in ("user", "item")]
    users = (
        job.read("model/user_vectors", schemas.USER_VECTORS)
        .join(job.read("train", schemas.TRAIN), on="user_index", how="left_semi")
        .transform(with_seen, with_indexes(interactions, *indexes))
    )
    topk = build_user_topk(
        users,
        model_uri=uri("model"),
        eligible_uri=uri("eligible_items"),
        k=scoring.k,
        block_bytes=scoring.block_bytes,
    )
    job.write("user_topk", topk, schemas.USER_TOPK)


if __name__ == "__main__":
    main(run, "score_users", __doc__)
