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
    popularity = build_item_popularity(train, job.read("item_index", schemas.ITEM_INDEX))
    job.write("item_popularity", popularity, schemas.ITEM_POPULARITY)
    vectors = job.read("model/user_vectors", schemas.USER_VECTORS)
    holdout = job.read("holdout", schemas.HOLDOUT).transform(with_seen, train)
    holdout = holdout.join(vectors, on="user_index", how="inner").persist()
    block_bytes, uri = job.config.scoring.block_bytes, job.run.table_uri
    scorers = {
        job.config.model.kind: ("model", uri("model"), block_bytes),
        "popularity": ("popularity", uri("item_popularity"), block_bytes),
    }
    sampled = f"sampled_{settings.num_negatives}"
    ranks = [build_ranks(holdout, name=n, scorer=s, sampled=sampled) for n, s in scorers.items()]
    ranked = job.write("ranks", ranks[0].unionByName(ranks[1]), schemas.RANKS)
    counts = build_rank_counts(ranked, max_k=max(settings.ks)).collect()
    figures = job.spark.createDataFrame(metric_rows(counts, settings.ks), schemas.METRICS)
    rows = [row.asDict() for row in job.write("metrics", figures, schemas.METRICS).collect()]
    write_json(f"{job.run.uri}/metrics.json", rows)
    for row in rows:
        job.note("{model} {protocol} {metric}@{k}".format(**row), row["value"])


if __name__ == "__main__":
    main(run, "evaluate", __doc__)
