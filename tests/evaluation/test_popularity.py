import pytest

from ncf_spark.evaluation.popularity import build_item_popularity
from tests.conftest import rows

INDEX = [("x", 0), ("y", 1), ("z", 2)]


@pytest.mark.parametrize("order", [1, -1])
def test_users_of_each_item_are_counted_and_items_without_any_are_0(spark, order):
    train = spark.createDataFrame(
        [(0, 0), (1, 0), (1, 2)][::order], "user_index int, item_index int"
    )
    items = spark.createDataFrame(INDEX[::order], "item_id string, item_index int")
    popularity = build_item_popularity(train, items)
    assert popularity.dtypes == [("item_index", "int"), ("num_users", "bigint")]
    assert rows(popularity) == [(0, 2), (1, 0), (2, 1)]


def test_without_train_every_item_has_0(spark):
    train = spark.createDataFrame([], "user_index int, item_index int")
    items = spark.createDataFrame(INDEX, "item_id string, item_index int")
    assert rows(build_item_popularity(train, items)) == [(0, 0), (1, 0), (2, 0)]
