import re

import pytest
from pyspark.sql.types import DoubleType, StructType

from ncf_spark import schemas
from ncf_spark.errors import SchemaError
from ncf_spark.schemas import conform
from tests.conftest import rows

TABLES = {name: value for name, value in vars(schemas).items() if isinstance(value, StructType)}
TABLES |= {name: table.schema for name, table in schemas.TABLES.items()}


@pytest.mark.parametrize("table", TABLES)
def test_every_column_is_named_in_snake_case_and_explained(table):
    for field in TABLES[table]:
        assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", field.name), field.name
        assert field.metadata.get("comment"), field.name
    assert len(set(TABLES[table].names)) == len(TABLES[table].names)


@pytest.mark.parametrize("table", TABLES)
def test_a_column_is_nullable_only_where_null_has_a_meaning(table):
    for field in TABLES[table]:
        assert field.nullable == ("null: " in field.metadata["comment"]), field.name


@pytest.mark.parametrize("table", schemas.TABLES)
def test_the_key_of_a_table_is_of_its_columns(table):
    found = schemas.TABLES[table]
    assert set(found.key) <= set(found.schema.names)


def test_conform_selects_the_columns_in_order(spark):
    users = spark.createDataFrame([(7, "x", "a")], "user_index int, more string, user_id string")
    fitted = conform(users, schemas.USER_NUMBERS, "user_index")
    assert (fitted.columns, rows(fitted)) == (["user_id", "user_index"], [("a", 7)])


def test_conform_leaves_nulls_to_the_writer(spark):
    users = spark.createDataFrame([(None, 7)], "user_id string, user_index int")
    assert rows(conform(users, schemas.USER_NUMBERS, "user_index")) == [(None, 7)]


def test_conform_names_every_problem_at_once(spark):
    items = spark.createDataFrame([("a", 1, 2)], "item_id string, vector int, item_index long")
    with pytest.raises(SchemaError, match="item_vectors: column item_index is") as raised:
        conform(items, schemas.ITEM_VECTORS, "item_vectors")
    assert str(raised.value).splitlines() == [
        "item_vectors: column item_index is bigint, expected int.",
        "item_vectors: column vector is int, expected array<float>.",
    ]


def test_conform_lists_the_columns_that_there_are(spark):
    events = spark.createDataFrame([("a", "b")], "user string, item string")
    with pytest.raises(SchemaError, match="user_index: column user_id is missing") as raised:
        conform(events, schemas.USER_NUMBERS, "user_index")
    assert str(raised.value).splitlines() == [
        "user_index: column user_id is missing (string). Columns present: ['item', 'user'].",
        "user_index: column user_index is missing (int). Columns present: ['item', 'user'].",
    ]


def test_features_follow_as_doubles():
    table = schemas.with_features(schemas.USER_NUMBERS, ["followers", "posts"])
    assert table.names == ["user_id", "user_index", "followers", "posts"]
    assert (table["posts"].dataType, table["posts"].nullable) == (DoubleType(), False)
    assert schemas.USER_NUMBERS.names == ["user_id", "user_index"]


@pytest.mark.parametrize("name", ["price", "Price", "num_users", "activity", "a.b", "updated_at"])
def test_a_feature_that_would_be_mistaken_for_another_column_is_refused(name):
    with pytest.raises(SchemaError, match=rf"activity\.features: \['{name}'\] cannot be used"):
        schemas.with_features(schemas.CATALOGUE, ["followers", name])


def test_the_wide_campaign_has_seven_nullable_columns_a_slot():
    wide = schemas.campaign_schema(2)
    assert wide.names == [
        *["campaign_id", "run_date", "user_id", "email", "locale", "country", "segment", "arm"],
        *["item_1", "title_1", "url_1", "image_url_1", "price_1", "score_1", "source_1"],
        *["item_2", "title_2", "url_2", "image_url_2", "price_2", "score_2", "source_2"],
    ]
    assert {field.nullable for field in wide.fields[8:]} == {True}
    assert wide["price_2"].dataType == DoubleType()
