"""The indexes of a night: last night's numbers, continued."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.pipeline.context import Job
from ncf_spark.preparation.indexing import append_index
from ncf_spark.preparation.splitting import held_out_ids
from ncf_spark.schemas.results import IdCounts


def write_indexes(
    job: Job, interactions: DataFrame
) -> tuple[dict[str, DataFrame], dict[str, IdCounts]]:
    """Writes `user_index` and `item_index`, and counts who is new, present and departed.

    Returns:
        Both, by `user` and `item`.
    """
    indexes, found, last = {}, {}, job.warehouse.last_complete_run()
    for side, schema in schemas.INDEXES.items():
        table = f"{side}_index"
        ids = interactions.select(f"{side}_id").union(held_out_ids(job, f"{side}_id"))
        # Of the run before the numbers alone, which older runs have too.
        numbers = job.read_last(table, schemas.NUMBERS[side])
        num_known = 0 if last is None else last.recorded_rows(table)
        index = append_index(ids, numbers, f"{side}_id", table, num_known=num_known)
        counts = {"present": F.count_if("is_present")}
        indexes[side] = job.write(table, index, schema, counts=counts)
        num_rows, present = job.num_rows(table), job.counts[table]["present"]
        found[side] = IdCounts(
            present=present, departed=num_rows - present, new=num_rows - num_known
        )
    return indexes, found
