"""Contiguous numbers for ids, the same every night."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.window import Window

_NUM_BUCKETS = 512


def append_index(
    ids: DataFrame, previous: DataFrame, id_name: str, index_name: str, *, num_known: int
) -> DataFrame:
    """`previous` with the ids that it lacks, numbered on from its end, and who `is_present`.

    | previous | ids  | result                 |
    |----------|------|------------------------|
    | a 0, b 1 | b, c | a 0 departed, b 1, c 2 |

    An id that departed keeps its number, and has the same when it returns.

    New ids get their numbers by hash bucket and then by id: an order that depends on nothing but
    the ids, and that needs no pass over all of them in one task.

    Args:
        ids: one column, `id_name`: those in tonight's input; ids may repeat.
        previous: last night's (id_name, index_name, …), empty the first night.
        num_known: its rows: the first number that is free.
    """
    # Said before Spark infers it for one of the joins below, which would then not share a shuffle.
    present = ids.select(id_name).where(F.col(id_name).isNotNull()).distinct()
    present = present.withColumn("is_present", F.lit(True))
    everyone = previous.select(id_name, index_name).join(present, on=id_name, how="full")
    new = everyone.where(F.col(index_name).isNull()).select(
        id_name, F.pmod(F.xxhash64(id_name), F.lit(_NUM_BUCKETS)).alias("bucket")
    )
    within = Window.partitionBy("bucket").orderBy(id_name)
    numbered = (
        new.withColumn("position", F.row_number().over(within) - 1)
        .join(_bucket_starts(new), on="bucket", how="inner")
        .withColumn(index_name, F.lit(num_known) + F.col("start") + F.col("position"))
    )
    is_present = F.coalesce("is_present", F.lit(False)).alias("is_present")
    known = everyone.where(F.col(index_name).isNotNull())
    arrived = numbered.withColumn("is_present", F.lit(True))
    names = (F.col(id_name), F.col(index_name).cast("int").alias(index_name))
    return known.select(*names, is_present).unionByName(arrived.select(*names, "is_present"))


def _bucket_starts(new: DataFrame) -> DataFrame:
    """(bucket, start): how many new ids lie in the buckets before."""
    counts = new.groupBy("bucket").agg(F.count(F.lit(1)).alias("n"))
    # In one row: the buckets are few, however many ids there are.
    listed = counts.agg(F.array_sort(F.collect_list(F.struct("bucket", "n"))).alias("buckets"))

    def with_start(one: Column, position: Column) -> Column:
        before = F.slice("buckets", 1, position)
        start = F.aggregate(before, F.lit(0).cast("long"), lambda sum, other: sum + other["n"])
        return F.struct(one["bucket"].alias("bucket"), start.alias("start"))

    return listed.select(F.inline(F.transform("buckets", with_start)))


def with_index(rows: DataFrame, index: DataFrame, id_name: str) -> DataFrame:
    """`rows` with the index of their id in place of the id; rows of unknown ids are left out."""
    return rows.join(index.drop("is_present"), on=id_name, how="inner").drop(id_name)


def with_indexes(pairs: DataFrame, user_index: DataFrame, item_index: DataFrame) -> DataFrame:
    """`pairs` with user_index and item_index in place of user_id and item_id."""
    return pairs.transform(with_index, user_index, "user_id").transform(
        with_index, item_index, "item_id"
    )
