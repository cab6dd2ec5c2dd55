"""The champion of a night: what is published, of whichever kind, and how it was chosen."""

from __future__ import annotations

from typing import Any, NamedTuple

from pyspark.sql import DataFrame

from ncf_spark import schemas
from ncf_spark.evaluation.choice import Candidate, Choice, choose
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.logs import log
from ncf_spark.storage import tables
from ncf_spark.storage.runs import Run
from ncf_spark.training.models import judged_paths


class Champion(NamedTuple):
    """What the night's tables are made from.

    Args:
        name: of the model, in metrics.
        kind: of scorer: model, dot (vectors), popularity or item_item.
        path: in the run, of the model's folder or the baseline's table.
    """

    name: str
    kind: str
    path: str

    @property
    def source(self) -> str:
        """What user_topk says of its rows: model, or the baseline's name."""
        return "model" if self.kind == "model" else self.name

    @property
    def has_vectors(self) -> bool:
        """Whether users and items have vectors."""
        return self.kind in ("model", "dot")


def read_champion(job: Job) -> Champion:
    """What was chosen in the job's run.

    Raises:
        DataError: when evaluate has not finished.
    """
    return _champion(job.read_rows("champion", schemas.CHAMPION))


def champion_of(job: Job, run: Run) -> Champion:
    """What a finished run published; of a run without such a choice, its own model."""
    if "champion" in (run.step_record("evaluate") or {}).get("tables", {}):
        uri = run.finished_table_uri("champion")
        return _champion(tables.read_rows(uri, schemas.CHAMPION, "champion"))
    record = run.step_record("train") or {}
    return Champion(record["config"]["model"]["kind"], "model", "model")


def item_vectors(champion: Champion) -> tuple[str, str]:
    """Kind and path of what tells items apart: the champion's vectors, else the own model's."""
    return (champion.kind, champion.path) if champion.has_vectors else ("model", "model")


def champion_users(job: Job, champion: Champion, users: DataFrame) -> DataFrame:
    """`users` with their vectors, where the champion needs some.

    Args:
        users: (user_index, …); those without a vector are left out.
    """
    if not champion.has_vectors:
        return users
    vectors = job.read(f"{champion.path}/user_vectors", schemas.USER_VECTORS)
    return vectors.join(users, on="user_index", how="inner")


def write_champion(job: Job, metrics: list[dict[str, Any]]) -> Choice:
    """Chooses by tonight's figures what is published, and writes and notes it.

    Args:
        metrics: rows of schemas.METRICS.
    """
    choice = _choose(job, metrics)
    log.info("%s: champion %s: %s", job.name, choice.champion, choice.reason)
    paths, selection = judged_paths(job), job.config.model.selection
    rows = [
        (
            *(c.name, *paths[c.name], selection.protocol, selection.metric, selection.k),
            *(c.value, c.low, c.high, c.name == choice.incumbent, c.name == choice.champion),
            choice.reason,
        )
        for c in choice.candidates
    ]
    table = job.spark.createDataFrame(rows, schemas.CHAMPION).coalesce(1)
    job.write("champion", table, schemas.CHAMPION)
    return choice


def _choose(job: Job, metrics: list[dict[str, Any]]) -> Choice:
    settings, own = job.config.model, job.config.model.kind
    selection = settings.selection
    by = {"segment": "all", **selection.model_dump()}
    figures = {
        row["model"]: (row["value"], row["low"], row["high"])
        for row in metrics
        if all(row[name] == value for name, value in by.items())
    }
    candidates = [
        Candidate(name, *figures.get(name, (None, None, None)))
        for name in settings.candidates or [own]
    ]
    before = job.warehouse.night_before(job.run)
    incumbent = champion_of(job, before).name if before else None
    measure = f"{selection.metric}@{selection.k} under {selection.protocol}"
    if not settings.candidates:
        reason = "model.candidates is empty, so the night's own model is published"
        return Choice(measure, candidates, own, incumbent, reason)
    return choose(measure, candidates, incumbent)


def _champion(candidates: list[dict[str, Any]]) -> Champion:
    [row] = [row for row in candidates if row["is_champion"]]
    return Champion(row["model"], row["kind"], row["place"])
