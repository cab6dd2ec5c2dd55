"""The indexes of a night: last night's numbers, continued."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.interactions.indexing import append_index
from ncf_spark.job.context import Job
from ncf_spark.job.splitting import held_out_ids


def write_indexes(job: Job, interactions: DataFrame) -> tuple[DataFrame, DataFrame, int]:
    """Writes `user_index` and `item_index`, and counts who is new, present and departed.

    Returns:
        Both, and how many items are present.
    """
    indexes, present, last = {}, {}, job.warehouse.last_complete_run()
    for side, schema in schemas.INDEXES.items():
        table = f"{side}_index"
        ids = interactions.select(f"{side}_id").union(held_out_ids(job, f"{side}_id"))
        # Of the run before the numbers alone, which older runs have too.
        numbers = job.read_last(table, schemas.NUMBERS[side])
        num_known = 0 if last is None else last.recorded_rows(table)
        index = append_index(ids, numbers, f"{side}_id", table, num_known=num_known)
        counts = {"present": F.count_if("is_present")}
        indexes[side] = job.write(table, index, schema, counts=counts)
        num_rows, present[side] = job.num_rows(table), job.counts[table]["present"]
        figures = {"present": present[side], "departed": num_rows - present[side]}
        job.note(f"{side}s", {**figures, "new": num_rows - num_known})
    return indexes["user"], indexes["item"], present["item"]
