"""Our scorer on Spark: users × items by a NeuMF of 8 factors, the top 10 written to Parquet.

The model's weights are random: they don't change what there is to do. For each line `score` it
scores and writes all users, seen items left out; for `start` it does all of that but the pairs and
the writing; for `check` it compares some users with a plain float64 forward pass over every pair.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pyspark.sql import DataFrame, SparkSession

from ncf_spark.config import load_config
from ncf_spark.model import store
from ncf_spark.model.recommender import (
    Architecture,
    Recommender,
    initialise_shared,
    initialise_users,
)
from ncf_spark.pipeline import session
from ncf_spark.scoring.spark import build_user_topk, with_seen
from ncf_spark.scoring.spec import ScorerSpec
from ncf_spark.training.shards import UserShards
from tests.benchmarks.contenders.sessions import forget_workers, start_spark
from tests.benchmarks.duel import ROOT

SETTINGS = ["model.kind=neumf", "model.factors=8", "model.tower=[64, 32, 16, 8]"]
SHARDS = 16
CHECKED_USERS = 200


def write_model(folder: Path, num_users: int, num_items: int) -> Recommender:
    """A model with spread-out random scores, stored as the workers would."""
    config = load_config(ROOT / "conf" / "base.yaml", [*SETTINGS, "model.dropout=[0]"])
    architecture = Architecture.of(config.model, num_items)
    shards = UserShards(num_users, SHARDS, 0, 1)
    model = Recommender(architecture, num_users)
    initialise_shared(model, architecture, 1)
    initialise_users(model, architecture, shards.owned, num_users, 1)
    with torch.no_grad():
        model.user_vectors.mul_(100)
        model.item_vectors.mul_(100)
    start = 0
    vectors = model.user_vectors.detach().numpy()
    for shard, rows in shards.owned:
        indexes = shards.users_of(shard)
        store.save_users(str(folder / "model"), shard, indexes, vectors[start : start + rows])
        start += rows
    store.save_shared(str(folder / "model"), model)
    store.save_manifest(str(folder / "model"), architecture, {})
    return model


class Scoring:
    """The tables of one benchmark and the requests on them."""

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        self._spark, self._folder = spark, folder
        arrays = np.load(folder / "pairs.npz")
        self.num_users, self.num_items = int(arrays["num_users"]), int(arrays["num_items"])
        self._model = write_model(folder, self.num_users, self.num_items)
        self._config = load_config(ROOT / "conf" / "base.yaml", [])
        eligible = pd.DataFrame({"item_index": np.arange(self.num_items, dtype=np.int32)})
        (folder / "eligible").mkdir()
        eligible.to_parquet(folder / "eligible" / "part.parquet")

        self._scorer = ScorerSpec(
            "model",
            f"file://{folder}/model",
            self._config.scoring.block_bytes,
            items_uri=f"file://{folder}/eligible",
        )

    @property
    def _users(self) -> DataFrame:
        read = self._spark.read.parquet
        users = read(f"{self._folder}/model/user_vectors")
        return with_seen(users, read(f"{self._folder}/pairs"))

    def score(self) -> dict[str, float]:
        """Seconds for all users, from the start of Python workers on."""
        forget_workers(self._spark)
        started = time.perf_counter()
        topk = build_user_topk(
            self._users,
            scorer=self._scorer,
            k=10,
            source="model",
        )
        topk.write.mode("overwrite").parquet(f"{self._folder}/user_topk")
        return {"seconds": time.perf_counter() - started}

    def start(self) -> dict[str, float]:
        """Seconds until all users and what scores them have reached Python workers."""
        forget_workers(self._spark)
        spec = self._scorer

        def load(batches: Iterator[Any]) -> Iterator[Any]:
            from ncf_spark.scoring.spec import load_scorer  # what a worker imports to score

            load_scorer(spec)
            for _ in batches:
                yield from ()

        started = time.perf_counter()
        ordered = self._users.sortWithinPartitions("user_index")
        ordered.mapInArrow(load, "user_index int").write.format("noop").mode("overwrite").save()
        return {"seconds": time.perf_counter() - started}

    @torch.no_grad()
    def check(self) -> dict[str, float]:
        """Users whose list differs from a forward pass in float64 by more than a tie."""
        topk = self._spark.read.parquet(f"{self._folder}/user_topk")
        pairs = self._spark.read.parquet(f"{self._folder}/pairs")
        some = f"user_index < {CHECKED_USERS * SHARDS} and user_index % {SHARDS} = 3"
        found = topk.where(some).orderBy("user_index", "rank").toPandas()
        seen = pairs.where(some).toPandas().groupby("user_index").item_index
        shards = UserShards(self.num_users, SHARDS, 0, 1)
        model = self._model.double().eval()
        wrong = 0
        for user, rows in found.groupby("user_index"):
            [row] = shards.rows_of(np.array([user]))
            every = torch.arange(self.num_items)
            scores = model(torch.tensor([row]), every.unsqueeze(0))[0]
            if user in seen.groups:
                scores[torch.as_tensor(seen.get_group(user).to_numpy()).long()] = -torch.inf
            best = scores.topk(10).values
            own = scores[torch.as_tensor(rows.item_index.to_numpy()).long()]
            wrong += not (len(rows) == 10 and bool(((best - own).abs() <= 1e-5 * best.abs()).all()))
        self._model.float()
        return {"users": found.user_index.nunique(), "wrong": wrong}


def main(folder: str) -> None:
    """Answers the requests on standard input: score, start or check."""
    as_jobs_do = {key.replace(".", "_"): value for key, value in session._FOR_LARGE_INPUTS.items()}
    scoring = Scoring(start_spark("score_users", **as_jobs_do), Path(folder))
    for request in sys.stdin:
        answer = getattr(scoring, request.strip())()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
