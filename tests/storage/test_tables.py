import numpy as np
import pyarrow.parquet as pq
import pytest
from pyspark.errors import AnalysisException
from pyspark.sql import functions as F

from ncf_spark.errors import DataError, SchemaError
from ncf_spark.schemas import TRAIN, USER_NUMBERS, USER_VECTORS
from ncf_spark.storage import arrays, files, tables
from tests.conftest import rows

USERS = [("a", 0), ("b", 1), ("c", 2)]


def test_a_table_is_read_as_it_was_written_and_counted(spark, tmp_path):
    uri = files.to_uri(str(tmp_path / "Läden 100% #1"))
    users = spark.createDataFrame(
        [("x", *user) for user in USERS], "more string, user_id string, user_index int"
    )
    longest = {"longest": F.max(F.length("user_id"))}
    found = tables.write_table(users, uri, USER_NUMBERS, "user_index", counts=longest)
    assert found == {"num_rows": 3, "longest": 1}
    assert rows(tables.read_table(spark, uri, USER_NUMBERS, "user_index")) == USERS
    assert arrays.count_rows(uri) == 3
    # Writing again replaces it.
    tables.write_table(users.limit(0), uri, USER_NUMBERS, "user_index")
    assert rows(tables.read_table(spark, uri, USER_NUMBERS, "user_index")) == []


def test_a_table_in_folders_keeps_its_columns_and_their_order(spark, tmp_path):
    uri = files.to_uri(str(tmp_path / "train"))
    train = [(0, 5, 0), (1, 5, 1), (3, 6, 1)]
    written = tables.write_table(
        spark.createDataFrame(train, TRAIN), uri, TRAIN, "train", partition_by=["shard"]
    )
    assert written == {"num_rows": 3}
    assert sorted(name for name in files.list_names(uri) if "=" in name) == ["shard=0", "shard=1"]
    read = tables.read_table(spark, uri, TRAIN, "train")
    assert (read.columns, rows(read)) == (["user_index", "item_index", "shard"], train)


def test_row_groups_are_of_the_size_that_is_asked_for(spark, tmp_path):
    uri = files.to_uri(str(tmp_path / "train"))
    train = (
        spark.range(300_000)
        .selectExpr(
            "cast(id as int) as user_index", "cast(hash(id) as int) as item_index", "0 as shard"
        )
        .coalesce(1)
    )
    groups = {}
    for size in (None, 2**19):
        tables.write_table(train, uri, TRAIN, "train", ["shard"], row_group_bytes=size)
        [part] = files.list_files(uri, ".parquet")
        groups[size] = pq.ParquetFile(part.removeprefix("file://")).num_row_groups
    assert groups[None] == 1
    assert groups[2**19] >= 4


@pytest.mark.parametrize("partition_by", [[], ["shard"]])
def test_an_empty_table_is_read_as_empty(spark, tmp_path, partition_by):
    uri = files.to_uri(str(tmp_path / "train"))
    empty = spark.createDataFrame([(0, 5, 0)], TRAIN).where("user_index > 0")
    sums = {"sum": F.sum("item_index")}
    found = tables.write_table(empty, uri, TRAIN, "train", partition_by, counts=sums)
    assert found == {"num_rows": 0, "sum": 0}
    read = tables.read_table(spark, uri, TRAIN, "train")
    assert (read.columns, rows(read)) == (["user_index", "item_index", "shard"], [])
    assert arrays.count_rows(uri) == 0


def test_a_table_is_opened_without_a_job(spark, tmp_path):
    """Of Spark's own files, in folders or not, and of those that training writes."""
    train, vectors = (files.to_uri(str(tmp_path / name)) for name in ("train", "user_vectors"))
    written = spark.createDataFrame([(0, 5, 0)], TRAIN)
    tables.write_table(written, train, TRAIN, "train", ["shard"])
    arrays.write_vectors(
        f"{vectors}/shard=0/0.parquet", "user_index", np.array([3]), np.float32([[0.5, 1.0]])
    )
    spark.sparkContext.setJobGroup("opened", "tables")
    opened = tables.read_table(spark, train, TRAIN, "train")
    of_users = tables.read_table(spark, vectors, USER_VECTORS, "user_vectors")
    started = spark.sparkContext.statusTracker().getJobIdsForGroup("opened")
    spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)
    assert list(started) == []
    assert (rows(opened), rows(of_users)) == ([(0, 5, 0)], [(3, [0.5, 1.0])])


def test_a_missing_table_and_a_file_without_a_footer_are_errors(spark, tmp_path):
    uri = files.to_uri(str(tmp_path))
    with pytest.raises(AnalysisException, match="PATH_NOT_FOUND"):
        tables.read_table(spark, f"{uri}/none", TRAIN, "train")
    (tmp_path / "part.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"part\.parquet: cannot be read .* run the step that"):
        tables.read_table(spark, uri, USER_NUMBERS, "user_index")


def test_nulls_where_none_may_be_are_counted_for_every_column(spark, tmp_path):
    users = spark.createDataFrame(
        [("a", None), (None, None), ("c", 2)], "user_id string, user_index int"
    )
    with pytest.raises(DataError, match="user_id is null in 1 rows") as raised:
        tables.write_table(users, files.to_uri(str(tmp_path / "u")), USER_NUMBERS, "user_index")
    assert str(raised.value).splitlines() == [
        "user_index: column user_id is null in 1 rows, but must not be (your id of the user).",
        "user_index: column user_index is null in 2 rows, but must not be "
        "(from 0 without gaps, the same every night).",
    ]


def test_a_table_of_another_shape_is_refused_on_both_ways(spark, tmp_path):
    uri = files.to_uri(str(tmp_path / "t"))
    wrong = spark.createDataFrame(USERS, "user_id string, user_index long")
    with pytest.raises(SchemaError, match="column user_index is bigint, expected int"):
        tables.write_table(wrong, uri, USER_NUMBERS, "user_index")
    wrong.write.parquet(uri)
    with pytest.raises(SchemaError, match="column user_index is bigint, expected int"):
        tables.read_table(spark, uri, USER_NUMBERS, "user_index")
