"""Champion or model, and history -> item_topk: each item's nearest eligible neighbours."""

from ncf_spark import schemas
from ncf_spark.campaign.pairs import build_purchases
from ncf_spark.job import Job, main
from ncf_spark.job.champion import item_vectors, read_champion
from ncf_spark.scoring.bought_together import build_bought_together
from ncf_spark.scoring.spark import build_item_topk


def run(job: Job) -> None:
    """Compares the items with interactions tonight, by their vectors and by their buyers."""
    settings, (kind, place) = job.config.scoring, item_vectors(read_champion(job))
    activity = job.read("item_activity", schemas.ITEM_ACTIVITY)
    vectors = job.read(f"{place}/item_vectors", schemas.ITEM_VECTORS)
    by_embedding = build_item_topk(
        vectors.join(activity, on="item_index", how="left_semi"),
        kind=kind,
        uri=job.run.table_uri(place),
        eligible_uri=job.run.finished_table_uri("eligible_items"),
        k=settings.similar_k,
    )
    by_buyers = build_bought_together(
        build_purchases(
            job.read("history", schemas.HISTORY),
            job.read("user_index", schemas.USER_INDEX),
            activity,
        ),
        job.read("eligible_items", schemas.ELIGIBLE_ITEMS),
        num_items=job.num_rows("item_index"),
        k=settings.similar_k,
        shrinkage=settings.similar_shrinkage,
    )
    topk = job.write("item_topk", by_embedding.unionByName(by_buyers), schemas.ITEM_TOPK)
    job.note("items with similar ones", topk.select("item_index").distinct().count())


if __name__ == "__main__":
    main(run, "similar_items", __doc__)
