"""Fourteen nights of Online Retail: what a warm start costs and brings, beside a cold one.

python -m tests.benchmarks.warm_nights   # NCF_DATA names the folder of the data

Each night's tables are made by the jobs, from the events up to its date. Two models are trained on
them by a worker alone, in this process: one begins with what the night before ended with, but for
the first night and one a week later, the other begins anew. Both are ranked on the same holdout, in
full. Seconds are a worker's, from reading its tables to its vectors in their files. Churn is the
mean share of a user's ten recommendations that the night before did not have.

Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.campaign.churn import build_churn
from ncf_spark.config import Config, load_config
from ncf_spark.evaluation.fitting import write_baselines
from ncf_spark.evaluation.report import known_pairs
from ncf_spark.night import STEPS
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.runner import run_step
from ncf_spark.schemas.results import Training
from ncf_spark.scoring.spark import build_trained_users, build_user_topk, with_seen
from ncf_spark.scoring.spec import ScorerSpec
from ncf_spark.storage import files
from ncf_spark.storage.runs import Run
from ncf_spark.storage.warehouse import Warehouse
from ncf_spark.training.communicator import SingleWorker
from ncf_spark.training.models import worker_paths
from ncf_spark.training.task import TrainingTask
from ncf_spark.training.warm_start import confirm_start
from ncf_spark.training.worker import save_manifest, train_worker
from tests.benchmarks.nights import ROOT, markdown

K = 10
# A model that has converged when it is cold: what a warm start leaves out is then not missing. A
# night a week begins anew, as is the default.
SETTINGS = (
    "training.warm_epochs=3",
    "evaluation.baselines=[popularity]",
)
PLACES = {"warm": "model", "cold": "compared/cold"}


def main() -> None:
    """Runs the nights one after the other and prints the table as it grows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--last", type=date.fromisoformat, default=date(2011, 12, 9))
    parser.add_argument("--nights", type=int, default=14)
    parser.add_argument("--folder", type=Path, default=Path("warehouse/benchmarks/warm_nights"))
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    overrides = [*SETTINGS, f"storage.warehouse={arguments.folder}", *arguments.set]
    config = load_config(str(ROOT / "conf" / "online_retail.yaml"), overrides)
    spark = session()
    lines, before = [], None
    for back in reversed(range(arguments.nights)):
        night = Night(spark, config, arguments.last - timedelta(days=back))
        lines.append(night.figures(before))
        print(lines[-1], file=sys.stderr, flush=True)
        before = night
    print(report(lines))
    spark.stop()


def session() -> SparkSession:
    """Two cores of this machine."""
    builder = SparkSession.builder.master("local[2]").appName("warm nights")
    for line in (ROOT / "conf" / "spark" / "local.conf").read_text().splitlines():
        if line.startswith("spark."):
            builder = builder.config(*line.split(maxsplit=1))
    made = builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()
    made.sparkContext.setLogLevel("ERROR")
    return made


class Night:
    """One night's run, with both models in it."""

    def __init__(self, spark: SparkSession, config: Config, run_date: date) -> None:
        warehouse = Warehouse(config.storage.warehouse)
        steps = {**STEPS, "train": replace(STEPS["train"], run=self._train)}
        self.job = Job(steps, "", config, spark, run_date, warehouse, warehouse.open_run(run_date))
        self.seconds: dict[str, float] = {}
        for self.job.name in ("build_interactions", "score_item_activity", "train"):
            run_step(self.job)
        # Published as the next night sees it; the other steps are not what is measured.
        files.write_json(f"{self.run.uri}/manifest.json", {"completed_at": str(run_date)})
        warehouse.publish(self.run)

    @property
    def run(self) -> Run:
        return self.job.run

    def _train(self, job: Job) -> Training:
        write_baselines(job)
        start = confirm_start(job)
        for name, path in PLACES.items():
            paths = worker_paths(job, path, job.run.table_uri("checkpoints"), start)
            task = TrainingTask.of(
                job.config,
                paths,
                num_users=job.num_rows("user_index"),
                num_items=job.num_rows("item_index"),
            )
            started = time.perf_counter()
            trained = train_worker(task, SingleWorker(), torch.device("cpu"))
            self.seconds[name] = time.perf_counter() - started
            save_manifest(task, [trained])
            job.note(f"{path}: chosen epochs", trained["chosen_epochs"])
        self.start = start.run
        return Training(start=start, failed={})

    def figures(self, before: Night | None) -> dict[str, Any]:
        """What the table says of the night."""
        found: dict[str, Any] = {"date": self.job.run_date, "from": self.start}
        trained = build_trained_users(self.job.read("split", schemas.SPLIT))
        judged = self.job.read("holdout", schemas.HOLDOUT).select("user_index", "item_index")
        known = with_seen(judged.select("user_index").distinct(), known_pairs(self.job))
        for name in PLACES:
            self._topk(name, trained).write.mode("overwrite").parquet(self.topk_uri(name))
            found[f"{name} ndcg"] = ndcg(judged, self._topk(name, known))
            found[f"{name} seconds"] = self.seconds[name]
            if before is not None:
                lists = [self.job.spark.read.parquet(n.topk_uri(name)) for n in (before, self)]
                row = build_churn(*lists, k=K).first()
                found[f"{name} churn"] = row["churn"]
        return found

    def topk_uri(self, name: str) -> str:
        return f"{self.run.table_uri(PLACES[name])}/topk"

    def _topk(self, name: str, users: DataFrame) -> DataFrame:
        """The ten best of tonight's items that each of `users` (user_index, seen) has not seen."""
        model_uri = self.run.table_uri(PLACES[name])
        vectors = self.job.spark.read.parquet(f"{model_uri}/user_vectors")
        return build_user_topk(
            vectors.join(users, on="user_index"),
            scorer=ScorerSpec(
                "model",
                model_uri,
                self.job.config.scoring.block_bytes,
                items_uri=self.run.table_uri("item_popularity"),
            ),
            k=K,
            source="model",
        )


def ndcg(judged: DataFrame, topk: DataFrame) -> float:
    """NDCG@10 in full ranking, of one held-out item a user: the path in its list says all."""
    gain = F.coalesce(1 / F.log2(F.col("rank") + 1), F.lit(0.0))
    row = judged.join(topk, on=["user_index", "item_index"], how="left").agg(F.avg(gain)).first()
    return float(row[0])


def report(lines: list[dict[str, Any]]) -> str:
    """One line a night, and the mean of the nights that began with another."""
    warm = [line for line in lines if line["from"] is not None]
    names = [f"{name} {figure}" for figure in ("ndcg", "seconds", "churn") for name in PLACES]
    texts = [[str(line["date"]), *[_text(line, n) for n in names]] for line in lines]
    means = {n: mean(line[n] for line in warm if n in line) for n in names} if warm else {}
    texts.append(["mean of those that began with another", *[_text(means, name) for name in names]])
    header = [
        "night",
        *[f"{n.split()[1].replace('ndcg', 'NDCG@10')}, {n.split()[0]}" for n in names],
    ]
    return markdown(header, texts)


def _text(line: dict[str, Any], name: str) -> str:
    if name not in line:
        return ""
    digits = {"ndcg": 4, "seconds": 1, "churn": 3}[name.split()[1]]
    return f"{line[name]:.{digits}f}"


if __name__ == "__main__":
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    main()
