"""Models, baselines and holdout -> ranks, metrics, metrics.json, champion, report/index.html."""

from ncf_spark import schemas
from ncf_spark.job import Job, main
from ncf_spark.job.champion import write_champion
from ncf_spark.job.last_night import judged_models
from ncf_spark.job.report import item_categories, known_pairs, write_metrics, write_report
from ncf_spark.scoring.ranks import build_all_ranks, build_held_out


def run(job: Job) -> None:
    """Ranks each holdout item by every model, counts what came of it, and chooses the champion."""
    settings, known, categories = job.config.evaluation, known_pairs(job), item_categories(job)
    held_out = build_held_out(job.read("holdout", schemas.HOLDOUT), known)
    held_out = job.stage(held_out, "held_out")  # each model reads it
    ranks = build_all_ranks(
        held_out,
        judged_models(job),
        sampled=f"sampled_{settings.num_negatives}",
        max_k=max(settings.ks),
        num_items=job.num_rows("item_index"),
        items_uri=job.run.table_uri("item_popularity"),
        block_bytes=job.config.scoring.block_bytes,
    )
    ranks = job.write("ranks", ranks, schemas.RANKS)
    user_sums = write_metrics(job, ranks, categories)
    metrics = job.read_rows("metrics", schemas.METRICS)
    write_report(job, ranks, user_sums, categories, metrics, write_champion(job, metrics))


if __name__ == "__main__":
    main(run, "evaluate", __doc__)
