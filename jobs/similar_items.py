"""Champion or model -> item_topk: each item's nearest eligible neighbours, for product pages."""

from ncf_spark import schemas
from ncf_spark.job import Job, main
from ncf_spark.job.champion import item_vectors, read_champion
from ncf_spark.scoring.spark import build_item_topk


def run(job: Job) -> None:
    """Compares the item vectors by their cosine, for the items with interactions tonight."""
    kind, place = item_vectors(read_champion(job))
    items = job.read(f"{place}/item_vectors", schemas.ITEM_VECTORS).join(
        job.read("item_activity", schemas.ITEM_ACTIVITY), on="item_index", how="left_semi"
    )
    topk = build_item_topk(
        items,
        kind=kind,
        uri=job.run.table_uri(place),
        eligible_uri=job.run.finished_table_uri("eligible_items"),
        k=job.config.scoring.similar_k,
    )
    job.write("item_topk", topk, schemas.ITEM_TOPK)


if __name__ == "__main__":
    main(run, "similar_items", __doc__)
