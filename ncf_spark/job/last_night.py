"""What a night judges: its own models and baselines, and what was published the night before."""

from __future__ import annotations

from pyspark.sql import DataFrame

from ncf_spark import schemas
from ncf_spark.config import LAST_NIGHT
from ncf_spark.evaluation.champion import Choice
from ncf_spark.evaluation.common import common_users_metric
from ncf_spark.evaluation.judging import Judged
from ncf_spark.job.champion import champion_of
from ncf_spark.job.context import Job
from ncf_spark.job.models import judged_places
from ncf_spark.storage import tables
from ncf_spark.storage.runs import Run


def judged_models(job: Job) -> list[Judged]:
    """Every model and baseline of the run, and what was published the night before.

    That one is judged with the vectors or tables of its own night, on the users that it knows.
    """
    judged = [
        Judged(name, kind, job.run.table_uri(place), _user_vectors(job, job.run, kind, place))
        for name, (kind, place) in judged_places(job).items()
    ]
    before = _last_night(job)
    if before is None:
        return judged
    name, kind, place = champion_of(job, before)
    job.note("last night's model", {"run": before.name, "model": name})
    vectors = _user_vectors(job, before, kind, place)
    return [*judged, Judged(LAST_NIGHT, kind, before.table_uri(place), vectors, known_users=True)]


def compare_with_last_night(job: Job, ranks: DataFrame, choice: Choice) -> str:
    """Notes how the champion does beside last night's model, over the users that both judged.

    Args:
        ranks: schemas.RANKS.

    Returns:
        The same as a sentence; empty when there is no last night's model.
    """
    before = _last_night(job)
    if before is None:
        return ""
    how = job.config.model.selection.model_dump()
    ours, theirs, num_users = common_users_metric(ranks, choice.champion, LAST_NIGHT, **how)
    figures = {choice.champion: ours, LAST_NIGHT: theirs, "users that both judged": num_users}
    job.note(f"{choice.measure}, beside last night's model", figures)
    if ours is None or theirs is None:
        return f"The model of {before.name} knows no user that is judged tonight."
    return (
        f"Over the {num_users:,} users that both judged, {choice.measure} is {ours:.4f} for "
        f"tonight's {choice.champion} and {theirs:.4f} for {LAST_NIGHT}, what {before.name} "
        "published."
    )


def _last_night(job: Job) -> Run | None:
    return job.warehouse.night_before(job.run) if job.config.evaluation.judge_last_night else None


def _user_vectors(job: Job, run: Run, kind: str, place: str) -> DataFrame | None:
    if kind not in ("model", "dot"):
        return None
    table, schema = f"{place}/user_vectors", schemas.USER_VECTORS
    if run is job.run:
        return job.read(table, schema)
    return tables.read_table(job.spark, run.finished_table_uri(table), schema, table)
