"""The indexes of a night: last night's numbers, continued."""

from __future__ import annotations

from pyspark.sql import DataFrame

from ncf_spark import schemas
from ncf_spark.interactions.indexing import append_index
from ncf_spark.job.context import Job
from ncf_spark.job.splitting import held_out_ids


def write_indexes(job: Job, interactions: DataFrame) -> tuple[DataFrame, DataFrame, int]:
    """Writes `user_index` and `item_index`, and counts who is new, present and departed.

    Returns:
        Both, and how many items are present.
    """
    indexes, present = {}, {}
    for side, schema in schemas.INDEXES.items():
        ids = interactions.select(f"{side}_id").union(held_out_ids(job, f"{side}_id"))
        # Of the run before the numbers alone, which older runs have too.
        numbers = job.read_last(f"{side}_index", schemas.NUMBERS[side])
        num_known = numbers.count()
        index = append_index(ids, numbers, f"{side}_id", f"{side}_index")
        indexes[side] = job.write(f"{side}_index", index, schema)
        num_rows = job.num_rows(f"{side}_index")
        present[side] = indexes[side].where("is_present").count()
        counts = {"present": present[side], "departed": num_rows - present[side]}
        job.note(f"{side}s", {**counts, "new": num_rows - num_known})
    return indexes["user"], indexes["item"], present["item"]
