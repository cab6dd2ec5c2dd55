"""Scores a million users against 20 thousand items by the Spark job's functions, in bounded memory.

python -m tests.benchmarks.million_users                   # about 10 minutes on 2 cores
python -m tests.benchmarks.million_users --users 50000

NeuMF of 8 factors and tower 64-32-16-8 with spread-out random vectors, 20 seen items a user, the
top 10 written to Parquet. Measured are the largest Python worker, and what Spark shuffled; the
lists of 10 thousand users are compared with a float64 pass over every pair by NumPy.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from ncf_spark.model.recommender import Recommender
from ncf_spark.scoring.spark import build_user_topk, with_seen
from ncf_spark.scoring.spec import ScorerSpec
from ncf_spark.training.shards import UserShards
from tests.benchmarks.contenders.score_users import SHARDS, write_model
from tests.benchmarks.contenders.sessions import start_spark
from tests.benchmarks.duel import record

K = 10
SEEN = 20
CHECKED = 10_000
TILE_BYTES = 2**20


class PeakOfWorkers:
    """The largest resident size of a Python worker, sampled while the body runs."""

    def __enter__(self) -> PeakOfWorkers:
        self.bytes, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._done.wait(0.25):
            for process in psutil.Process().children(recursive=True):
                try:
                    if "pyspark.daemon" in process.cmdline():
                        self.bytes = max(self.bytes, process.memory_info().rss)
                except psutil.Error:  # it has just ended
                    continue


def build_pairs(spark: SparkSession, num_users: int, num_items: int) -> DataFrame:
    """(user_index, item_index): SEEN hashed items of each user, some of them twice."""
    item = F.pmod(F.xxhash64("user_index", "nth"), F.lit(num_items)).cast("int")
    users = spark.range(num_users).select(F.col("id").cast("int").alias("user_index"))
    drawn = users.withColumn("nth", F.explode(F.sequence(F.lit(1), F.lit(SEEN))))
    return drawn.select("user_index", item.alias("item_index"))


def score(spark: SparkSession, uri: str) -> tuple[float, str]:
    """Seconds for all users, and the plan that was run."""
    started = time.perf_counter()
    read = spark.read.parquet
    topk = build_user_topk(
        read(f"{uri}/model/user_vectors").transform(with_seen, read(f"{uri}/pairs")),
        scorer=ScorerSpec("model", f"{uri}/model", TILE_BYTES, items_uri=f"{uri}/eligible"),
        k=K,
        source="model",
    )
    topk.write.parquet(f"{uri}/user_topk")
    plan = topk._jdf.queryExecution().executedPlan().toString()
    return time.perf_counter() - started, plan


def shuffles_of_scores(plan: str) -> int:
    """Exchanges that the rows pass after they left Python: a plan's last step comes first."""
    return plan[: plan.index("MapInArrow")].count("Exchange")


def shuffled_records(events: Path) -> int:
    """Rows that tasks wrote for other tasks, by Spark's own event log."""
    lines = (line for file in events.iterdir() for line in file.read_text().splitlines())
    ends = (json.loads(line) for line in lines if '"SparkListenerTaskEnd"' in line)
    metrics = (end["Task Metrics"]["Shuffle Write Metrics"] for end in ends)
    return sum(written["Shuffle Records Written"] for written in metrics)


def wrong_lists(model: Recommender, topk: pd.DataFrame, pairs: pd.DataFrame) -> int:
    """Users whose list differs from float64's by more than a tie within 1e-5 relative."""
    seen = pairs.groupby("user_index").item_index.apply(np.array)
    # The model's users are laid out shard by shard.
    shards = UserShards(len(model.user_vectors), SHARDS, 0, 1)
    vectors = model.user_vectors.detach().numpy()
    shared = [(n, v) for n, v in model.named_parameters() if n != "user_vectors"]
    p = {name: value.detach().double().numpy() for name, value in shared}
    width = len(p["head.gmf.output"])
    first, bias = p["head.mlp.first.weight"], p["head.mlp.first.bias"]
    half = first.shape[1] // 2
    of_items = p["item_vectors"][:, width:] @ first[:, half:].T
    wrong = 0
    for user, rows in topk.sort_values(["user_index", "rank"]).groupby("user_index"):
        vector = vectors[shards.rows_of(np.array([user]))[0]].astype(np.float64)
        hidden = np.maximum(of_items + first[:, :half] @ vector[width:] + bias, 0)
        for layer in ("layers.0", "layers.1"):
            weight, shift = p[f"head.mlp.{layer}.weight"], p[f"head.mlp.{layer}.bias"]
            hidden = np.maximum(hidden @ weight.T + shift, 0)
        weighted = vector[:width] * p["head.gmf.output"]
        scores = hidden @ p["head.mlp.output"] + p["item_vectors"][:, :width] @ weighted + p["bias"]
        scores[seen[user]] = -np.inf
        best = np.sort(scores)[: -K - 1 : -1]
        own = scores[rows.item_index.to_numpy()]
        wrong += not (
            len(rows) == K
            and rows.item_index.is_unique
            and (best - own <= 1e-5 * np.abs(best)).all()
        )
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=20_000)
    arguments = parser.parse_args()
    num_users, num_items = arguments.users, arguments.items
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "events").mkdir()
        model = write_model(folder, num_users, num_items)
        (folder / "eligible").mkdir()
        items = pd.DataFrame({"item_index": np.arange(num_items, dtype=np.int32)})
        items.to_parquet(folder / "eligible" / "part.parquet")
        maker = start_spark("million_users_input")
        build_pairs(maker, num_users, num_items).write.parquet(f"{folder}/pairs")
        maker.stop()
        log = {
            **{"spark_eventLog_enabled": "true", "spark_eventLog_dir": f"file://{folder}/events"},
            **{"spark_eventLog_rolling_enabled": "false", "spark_eventLog_compress": "false"},
        }
        spark = start_spark("million_users", **log)
        with PeakOfWorkers() as peak:
            seconds, plan = score(spark, str(folder))
        step = max(1, num_users // CHECKED)
        some = f"user_index % {step} = 0 and user_index < {step * CHECKED}"
        topk = spark.read.parquet(f"{folder}/user_topk")
        count, checked = topk.count(), topk.where(some).toPandas()
        pairs = spark.read.parquet(f"{folder}/pairs").where(some).toPandas()
        spark.stop()
        shuffled = shuffled_records(folder / "events")
        report(seconds, peak.bytes, plan, shuffled, count, arguments)
        wrong, users = wrong_lists(model, checked, pairs), checked.user_index.nunique()
        print(f"{wrong} of {users:,} users differ from float64, beyond ties")


def report(
    seconds: float, peak: int, plan: str, shuffled: int, rows: int, arguments: argparse.Namespace
) -> None:
    """Prints and keeps the figures."""
    size = f"{arguments.users:,} users × {arguments.items:,} items"
    speed = arguments.users * arguments.items / seconds
    print(f"{size}: {seconds:.0f} s, {speed / 1e6:.1f} M pairs/s, {rows:,} rows")
    gib, most = peak / 2**30, 2.0
    title = f"scoring {size}, GiB of the largest Python worker"
    record(title, ours=gib, peer=most, ratio=gib / most, bar="≤ 1")
    # The seen pairs and the users are joined, and no more than these.
    joined = arguments.users * (1 + SEEN)
    title = f"scoring {size}, rows shuffled, users and seen pairs"
    record(title, ours=shuffled, peer=joined, ratio=shuffled / joined, bar="≤ 1")
    print(f"{shuffles_of_scores(plan)} shuffles of scores")


if __name__ == "__main__":
    main()
