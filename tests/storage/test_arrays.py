import numpy as np
import pyarrow as pa
import pytest

from ncf_spark.storage import arrays, files


def test_a_matrix_becomes_a_list_column():
    batch = arrays.record_batch(
        {"user_index": np.array([4, 2], np.int32), "vector": np.array([[1, 2], [3, 4]], np.float32)}
    )
    assert batch.to_pydict() == {"user_index": [4, 2], "vector": [[1.0, 2.0], [3.0, 4.0]]}
    assert batch.schema.field("vector").type == pa.list_(pa.float32())


def test_matrix_undoes_record_batch():
    for rows in (0, 1, 3):
        vectors = np.arange(rows * 2, dtype=np.float32).reshape(rows, 2)
        column = arrays.record_batch({"vector": vectors}).column(0)
        assert arrays.matrix(column).tolist() == vectors.tolist()
    column = pa.array([[1, 2], [3, 4], [5, 6]]).slice(1, 1)
    assert arrays.matrix(column).tolist() == [[3, 4]]


@pytest.mark.parametrize("lists", [[[1, 2], [3]], [[1, 2], [3], [4, 5, 6]], [[1], None]])
def test_matrix_refuses_lists_of_different_lengths(lists):
    with pytest.raises(ValueError, match="different lengths"):
        arrays.matrix(pa.array(lists, pa.list_(pa.int32())))


def test_ragged_gives_each_list_by_its_offsets():
    values, offsets = arrays.ragged(pa.array([[7, 8], [], None, [9]], pa.list_(pa.int32())))
    assert (values.tolist(), offsets.tolist()) == ([7, 8, 9], [0, 2, 2, 2, 3])


def test_vectors_are_read_in_the_order_of_their_index(tmp_path):
    uri = files.to_uri(str(tmp_path / "Läden 100%"))
    arrays.write_vectors(f"{uri}/1.parquet", "item_index", np.array([2, 0]), np.float32([[2], [0]]))
    arrays.write_vectors(f"{uri}/2.parquet", "item_index", np.array([1]), np.float32([[1]]))
    indexes, vectors = arrays.read_vectors(uri, "item_index")
    assert (indexes.tolist(), vectors.tolist()) == ([0, 1, 2], [[0.0], [1.0], [2.0]])
    assert arrays.read_columns(uri, ["item_index"])["item_index"].dtype == np.int32
    assert arrays.count_rows(uri) == 3


def test_no_vectors_are_an_empty_matrix(tmp_path):
    uri = files.to_uri(str(tmp_path / "v.parquet"))
    arrays.write_vectors(uri, "item_index", np.empty(0), np.empty((0, 4), np.float32))
    indexes, vectors = arrays.read_vectors(uri, "item_index")
    assert (len(indexes), len(vectors)) == (0, 0)


def test_lists_of_several_files_stand_in_the_files_order(tmp_path, spark):
    uris = []
    for shard, table in enumerate([[(0, [5, 6])], [(1, []), (2, [7])]]):
        uri = files.to_uri(str(tmp_path / str(shard)))
        spark.createDataFrame(table, "user_index int, seen array<int>").coalesce(1).write.parquet(
            uri
        )
        uris.append(uri)
    scalars, values, offsets = arrays.read_lists(uris, "seen", ["user_index"])
    assert scalars["user_index"].tolist() == [0, 1, 2]
    assert (values.tolist(), offsets.tolist()) == ([5, 6, 7], [0, 2, 2, 3])
