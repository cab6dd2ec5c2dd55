"""Spark's ALS: `recommendForAllUsers(10)` and the write, for each line `score`.

It is fitted once, to enough of the pairs that it knows every user and item.
"""

from __future__ import annotations

import json
import sys
import time

from pyspark.ml.recommendation import ALS
from pyspark.sql import functions as F

from tests.benchmarks.contenders.sessions import start_spark

RANK = 64


def main(folder: str) -> None:
    """Answers the requests on standard input."""
    # Quickest so: with the 128 partitions of conf/spark/local.conf it took half as long again.
    quickest = {"spark_sql_shuffle_partitions": "4"}
    quickest["spark_sql_objectHashAggregate_sortBased_fallbackThreshold"] = "128"
    spark = start_spark("als", **quickest)
    pairs = spark.read.parquet(f"{folder}/pairs").where("keep").withColumn("rating", F.lit(1.0))
    columns = {"userCol": "user_index", "itemCol": "item_index", "ratingCol": "rating"}
    model = ALS(rank=RANK, maxIter=1, implicitPrefs=True, seed=1, **columns).fit(pairs)
    for _ in sys.stdin:
        started = time.perf_counter()
        best = model.recommendForAllUsers(10)
        best.write.mode("overwrite").parquet(f"{folder}/als_topk")
        seconds = time.perf_counter() - started
        sizes = {"users": model.userFactors.count(), "items": model.itemFactors.count()}
        print(json.dumps({"seconds": seconds, **sizes}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
