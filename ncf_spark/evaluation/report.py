"""What the evaluation gathers for its report; only small tables reach the driver."""

from __future__ import annotations

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.config import LAST_NIGHT
from ncf_spark.evaluation.choice import Choice
from ncf_spark.evaluation.judging import (
    build_metric_differences,
    build_metrics,
    build_user_sums,
)
from ncf_spark.evaluation.last_night import last_night_sentence
from ncf_spark.evaluation.metrics import main_cut_off
from ncf_spark.evaluation.page.render import ReportData, render_report
from ncf_spark.evaluation.recommended import build_recommended_popularity
from ncf_spark.evaluation.segments import (
    MAX_CATEGORIES,
    build_category_counts,
    build_item_categories,
)
from ncf_spark.pipeline.context import Job, readable
from ncf_spark.schemas.results import LastNight, counts_of
from ncf_spark.storage import files
from ncf_spark.training.models import baseline_paths, failed_models, model_paths

_SPLITS = {
    "leave_one_out": "leave one out: each user's last item",
    "temporal": "temporal: the items first met in the last {holdout_days} days",
    "provided": "a provided test set",
}


_LEFT_OUT = "categories without a segment of their own"


def known_pairs(job: Job) -> DataFrame:
    """Train and validation pairs: what a user knows when the test item is recommended."""
    train = job.read("train", schemas.TRAIN)
    validation = job.read("validation", schemas.HOLDOUT)
    columns = ("user_index", "item_index")
    return train.select(*columns).unionByName(validation.select(*columns))


def item_categories(job: Job) -> DataFrame:
    """(item_index, category) of the items that have one."""
    given = schemas.with_features(schemas.CATALOGUE, list(job.config.activity.features))
    item_index = job.read("item_index", schemas.ITEM_INDEX)
    return build_item_categories(job.read("catalogue", given), item_index)


def write_metrics(job: Job, ranks: DataFrame, categories: DataFrame) -> DataFrame:
    """Writes every figure of every model.

    Returns:
        The sums that they come from, as `judging.build_user_sums` makes them.
    """
    settings = job.config.evaluation
    popularity = job.read("item_popularity", schemas.ITEM_POPULARITY)
    sums = build_user_sums(
        ranks,
        job.read("train", schemas.TRAIN),
        categories,
        popularity,
        ks=settings.ks,
        segment_bounds=settings.segment_bounds,
        bootstrap_samples=settings.bootstrap_samples,
        seed=job.config.run.seed,
    )
    # Of each model and segment a few rows, for the metrics and for the differences.
    sums = job.stage(sums, "user_sums")
    metrics = build_metrics(sums, ranks, popularity, ks=settings.ks)
    job.write("metrics", metrics, schemas.METRICS)
    return sums


def write_report(
    job: Job,
    ranks: DataFrame,
    user_sums: DataFrame,
    categories: DataFrame,
    metrics: list[dict[str, Any]],
    choice: Choice,
    last_night: LastNight | None,
) -> None:
    """Writes metrics.json and report/index.html.

    Args:
        user_sums: as of `write_metrics`.
        metrics: rows of schemas.METRICS.
    """
    settings, own = job.config.evaluation, job.config.model.kind
    _note_categories(job, ranks, categories)
    files.write_json(f"{job.run.uri}/metrics.json", metrics)
    popularity = job.read("item_popularity", schemas.ITEM_POPULARITY)
    shares = build_recommended_popularity(ranks, popularity, main_cut_off(settings.ks)).collect()
    # Last night's model is judged over other users, which no difference can be drawn from.
    tonight = user_sums.where(F.col("model") != LAST_NIGHT)
    differences = build_metric_differences(tonight, to=own, ks=settings.ks).collect()
    histories, chosen = _trainings(job)
    data = ReportData(
        run_name=job.run.name,
        run_date=str(job.run_date),
        split=_SPLITS[job.config.split.method].format(**job.config.split.model_dump()),
        selection=_selection(job),
        own=own,
        metrics=metrics,
        differences=[row.asDict() for row in differences],
        histories=histories,
        chosen_epochs=chosen,
        popularity=[row.asDict() for row in shares],
        facts=_facts(job),
        notes=_notes(job),
        baselines=list(baseline_paths(job)),
        choice=choice if job.config.model.candidates else None,
        last_night=last_night_sentence(job, choice.champion, last_night),
    )
    files.write_bytes(f"{job.run.table_uri('report')}/index.html", render_report(data).encode())


def _note_categories(job: Job, ranks: DataFrame, categories: DataFrame) -> None:
    """Says how many categories are too many for segments of their own."""
    found = build_category_counts(ranks, categories).count()
    if found > MAX_CATEGORIES:
        job.note(_LEFT_OUT, found - MAX_CATEGORIES)


def _trainings(job: Job) -> tuple[dict[str, list[dict[str, Any]]], dict[str, int]]:
    histories, chosen = {}, {}
    for name, (path, _) in model_paths(job).items():
        manifest = files.read_json(f"{job.run.table_uri(path)}/manifest.json")
        histories[name] = manifest["history"]
        chosen[name] = list(manifest["chosen_epochs"].values())[-1]
    return histories, chosen


def _facts(job: Job) -> list[tuple[str, Any]]:
    tables = {
        "users": "user_index",
        "items": "item_index",
        "train pairs": "train",
        "validation pairs": "validation",
        "holdout pairs": "holdout",
    }
    facts: list[tuple[str, Any]] = [(label, job.num_rows(t)) for label, t in tables.items()]
    record = job.run.step_record("train") or {}
    few, some = job.config.evaluation.segment_bounds
    facts.append(("train items of few, some, many", f"up to {few}, up to {some}, more"))
    facts.append(("seconds of the training step", round(record.get("seconds", 0))))
    facts += [(name, version) for name, version in record.get("versions", {}).items()]
    return facts


def _notes(job: Job) -> list[str]:
    """What the preparation found odd, as its steps recorded it."""
    found = []
    for step in ("build_interactions", "score_item_activity"):
        counts = counts_of(job.run.step_record(step) or {})
        found += [f"{step}: {name}: {readable(value)}" for name, value in counts]
    failed = failed_models(job).items()
    found += [f"train: {name} failed and is not compared with: {why}" for name, why in failed]
    if _LEFT_OUT in job.notes:
        found.append(f"evaluate: {_LEFT_OUT}: {readable(job.notes[_LEFT_OUT])}")
    return found


def _selection(job: Job) -> str:
    """Which item the epochs were chosen by, for the report."""
    if not job.num_rows("validation"):
        return "No epoch was chosen: each model is as its last epoch left it."
    timed = job.config.input.columns.time is not None
    which = "last train item" if timed else "train item that a hash chose (the input has no times)"
    return (
        f"Epochs were chosen by NDCG@{main_cut_off(job.config.evaluation.ks)} on a validation "
        f"item: each user's {which}, kept out of training. The test items were looked at once, by "
        "this report."
    )
