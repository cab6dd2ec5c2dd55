"""Model, interactions and eligibility -> user_topk: each user's best items that they don't know."""

from ncf_spark import schemas
from ncf_spark.campaign.eligibility import build_eligible_items
from ncf_spark.interactions.indexing import with_index
from ncf_spark.job import Job, main
from ncf_spark.scoring.spark import build_user_topk, with_seen


def run(job: Job) -> None:
    """Scores the users whose vectors were trained tonight."""
    features = list(job.config.activity.features)
    eligible = build_eligible_items(
        job.read("item_activity", schemas.with_features(schemas.ITEM_ACTIVITY, features)),
        job.read("catalogue", schemas.with_features(schemas.CATALOGUE, features)),
        in_catalogue=job.config.catalogue.configured,
    )
    job.write("eligible_items", eligible, schemas.ELIGIBLE_ITEMS)
    pairs = (
        job.read("interactions", schemas.INTERACTIONS)
        .transform(with_index, job.read("user_index", schemas.USER_INDEX), "user_id")
        .transform(with_index, job.read("item_index", schemas.ITEM_INDEX), "item_id")
    )
    users = (
        job.read("model/user_vectors", schemas.USER_VECTORS)
        .join(job.read("train", schemas.TRAIN), on="user_index", how="left_semi")
        .transform(with_seen, pairs)
    )
    topk = build_user_topk(
        users,
        model_uri=job.run.table_uri("model"),
        eligible_uri=job.run.table_uri("eligible_items"),
        k=job.config.scoring.k,
        block_bytes=job.config.scoring.block_bytes,
    )
    job.write("user_topk", topk, schemas.USER_TOPK)


if __name__ == "__main__":
    main(run, "score_users", __doc__)
