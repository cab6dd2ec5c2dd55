"""What a night judges: its own models and baselines, and what was published the night before."""

from __future__ import annotations

from pyspark.sql import DataFrame

from ncf_spark import schemas
from ncf_spark.config import LAST_NIGHT
from ncf_spark.evaluation.champion import champion_of
from ncf_spark.evaluation.common import common_metrics
from ncf_spark.evaluation.judging import Judged
from ncf_spark.evaluation.metrics import main_cut_off
from ncf_spark.pipeline.context import Job
from ncf_spark.schemas.results import LastNight
from ncf_spark.storage import tables
from ncf_spark.storage.runs import Run
from ncf_spark.training.models import judged_paths


def judged_models(job: Job) -> list[Judged]:
    """Every model and baseline of the run, and what was published the night before.

    That one is judged with the vectors or tables of its own night, on the users that it knows.
    """
    judged = [
        Judged(name, kind, job.run.table_uri(path), _user_vectors(job, job.run, kind, path))
        for name, (kind, path) in judged_paths(job).items()
    ]
    before = _last_night(job)
    if before is None:
        return judged
    _, kind, path = champion_of(job, before)
    vectors = _user_vectors(job, before, kind, path)
    return [*judged, Judged(LAST_NIGHT, kind, before.table_uri(path), vectors, known_users=True)]


def compare_with_last_night(job: Job, ranks: DataFrame, champion: str) -> LastNight | None:
    """How tonight's champion does beside last night's model; None: there is none.

    Args:
        ranks: schemas.RANKS.
    """
    before = _last_night(job)
    if before is None:
        return None
    ks = sorted({main_cut_off(job.config.evaluation.ks), job.config.model.selection.k})
    metrics = common_metrics(ranks, champion, LAST_NIGHT, ks=ks)
    return LastNight(run=before.name, model=champion_of(job, before).name, metrics=metrics)


def last_night_sentence(job: Job, champion: str, last_night: LastNight | None) -> str:
    """The comparison by `model.selection`, for the report; empty without a last night's model."""
    if last_night is None:
        return ""
    how = job.config.model.selection
    for common in last_night.metrics:
        if (common.protocol, common.metric, common.k) == (how.protocol, how.metric, how.k):
            return (
                f"Over the {common.num_users:,} users that both judged, {how.metric}@{how.k} under "
                f"{how.protocol} is {common.champion:.4f} for tonight's {champion} and "
                f"{common.last_night:.4f} for {LAST_NIGHT}, what {last_night.run} published."
            )
    return f"The model of {last_night.run} knows no user that is judged tonight."


def _last_night(job: Job) -> Run | None:
    return job.warehouse.night_before(job.run) if job.config.evaluation.judge_last_night else None


def _user_vectors(job: Job, run: Run, kind: str, path: str) -> DataFrame | None:
    if kind not in ("model", "dot"):
        return None
    table, schema = f"{path}/user_vectors", schemas.USER_VECTORS
    if run is job.run:
        return job.read(table, schema)
    return tables.read_table(job.spark, run.finished_table_uri(table), schema, table)
