"""Models, baselines and holdout → ranks, metrics, metrics.json, champion, report/index.html."""

from __future__ import annotations

from ncf_spark import schemas
from ncf_spark.evaluation.champion import write_champion
from ncf_spark.evaluation.last_night import compare_with_last_night, judged_models
from ncf_spark.evaluation.metrics import main_cut_off
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.step import Step
from ncf_spark.schemas.results import Candidate, Evaluation, Metric


def evaluate(job: Job) -> Evaluation:
    """Ranks each holdout item by every model, counts what came of it, and chooses the champion."""
    # Imported when it runs: torch and Matplotlib take seconds, and the step may be skipped.
    from ncf_spark.evaluation.ranks import build_all_ranks, build_held_out
    from ncf_spark.evaluation.report import (
        item_categories,
        known_pairs,
        write_metrics,
        write_report,
    )

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
    choice = write_champion(job, metrics)
    last_night = compare_with_last_night(job, ranks, choice.champion)
    write_report(job, ranks, user_sums, categories, metrics, choice, last_night)
    k = main_cut_off(settings.ks)
    shown = [row for row in metrics if row["segment"] == "all" and row["k"] == k]
    return Evaluation(
        champion=choice.champion,
        reason=choice.reason,
        measure=choice.measure,
        incumbent=choice.incumbent,
        candidates=[
            Candidate(name=c.name, value=c.value, low=c.low, high=c.high) for c in choice.candidates
        ],
        metrics=sorted(
            (Metric(**row) for row in shown), key=lambda m: (m.model, m.protocol, m.metric)
        ),
        last_night=last_night,
    )


EVALUATE = Step(
    "evaluate",
    evaluate,
    reads=(
        *("item_index", "catalogue", "train", "validation", "holdout"),
        *("model", "compared", "item_popularity", "item_neighbours"),
    ),
    writes=("ranks", "metrics", "champion", "report"),
    settings=("run.seed", "model", "evaluation"),
    must_match={
        "build_interactions": (
            *("split.method", "split.holdout_days", "split.validation"),
            *("input.columns.time", "evaluation.num_negatives"),
        ),
        "train": ("model.kind", "evaluation.baselines", "evaluation.compared"),
    },
    other_runs=("night_before",),
)
