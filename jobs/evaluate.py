"""Model and holdout -> ranks, metrics and metrics.json, beside item popularity."""

from ncf_spark import schemas
from ncf_spark.evaluation.report import build_rank_counts, metric_rows
from ncf_spark.interactions.popularity import build_item_popularity
from ncf_spark.job import Job, main
from ncf_spark.scoring.spark import build_ranks, with_seen
from ncf_spark.storage.files import write_json


def run(job: Job) -> None:
    """Ranks each holdout item twice, by the model and by popularity, under both protocols."""
    settings, train = job.config.evaluation, job.read("train", schemas.TRAIN)
    item_index = job.read("item_index", schemas.ITEM_INDEX)
    popularity = build_item_popularity(train, item_index)
    job.write("item_popularity", popularity, schemas.ITEM_POPULARITY)
    vectors = job.read("model/user_vectors", schemas.USER_VECTORS)
    holdout = job.read("holdout", schemas.HOLDOUT).transform(with_seen, train)
    holdout = holdout.join(vectors, on="user_index", how="inner").persist()
    places = {
        job.config.model.kind: (
            "model",
            job.run.table_uri("model"),
            job.config.scoring.block_bytes,
        ),
        "popularity": ("popularity", job.run.table_uri("item_popularity"), 0),
    }
    sampled = f"sampled_{settings.num_negatives}"
    ranked = [build_ranks(holdout, name=n, scorer=s, sampled=sampled) for n, s in places.items()]
    ranks = job.write("ranks", ranked[0].unionByName(ranked[1]), schemas.RANKS)
    rows = metric_rows(build_rank_counts(ranks, max_k=max(settings.ks)).collect(), settings.ks)
    metrics = job.spark.createDataFrame(rows, schemas.METRICS)
    job.write("metrics", metrics, schemas.METRICS)
    names = schemas.METRICS.fieldNames()
    write_json(f"{job.run.uri}/metrics.json", [dict(zip(names, row, strict=True)) for row in rows])
    for model, protocol, metric, k, _, value, *_ in rows:
        job.note(f"{model} {protocol} {metric}@{k}", value)


if __name__ == "__main__":
    main(run, "evaluate", __doc__)
