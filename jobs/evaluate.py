"""Models and holdout -> ranks, metrics, metrics.json, report/index.html; with the baselines."""

from ncf_spark import schemas
from ncf_spark.evaluation.judging import build_metrics
from ncf_spark.job import Job, main
from ncf_spark.job.baselines import judged_models
from ncf_spark.job.report import item_categories, known_pairs, write_report
from ncf_spark.scoring.ranks import build_all_ranks, build_held_out


def run(job: Job) -> None:
    """Ranks each holdout item by every model, under both protocols, and counts what came of it."""
    settings, known, categories = job.config.evaluation, known_pairs(job), item_categories(job)
    held_out = build_held_out(job.read("holdout", schemas.HOLDOUT), known).persist()
    ranks = build_all_ranks(
        held_out,
        judged_models(job),
        sampled=f"sampled_{settings.num_negatives}",
        max_k=max(settings.ks),
        num_items=job.num_rows("item_index"),
        block_bytes=job.config.scoring.block_bytes,
    )
    ranks = job.write("ranks", ranks, schemas.RANKS)
    held_out.unpersist()
    metrics = build_metrics(
        ranks,
        job.read("train", schemas.TRAIN),
        categories,
        job.read("item_popularity", schemas.ITEM_POPULARITY),
        ks=settings.ks,
        segment_bounds=settings.segment_bounds,
        bootstrap_samples=settings.bootstrap_samples,
        seed=job.config.run.seed,
    )
    write_report(job, ranks, categories, job.write("metrics", metrics, schemas.METRICS))


if __name__ == "__main__":
    main(run, "evaluate", __doc__)
