"""Columns that several tables have."""

from __future__ import annotations

from pyspark.sql.types import ArrayType, DataType, FloatType, IntegerType, StringType, StructField


def column(name: str, data_type: DataType, comment: str, *, nullable: bool = False) -> StructField:
    """A column with a comment on its unit and its edge cases."""
    return StructField(name, data_type, nullable, {"comment": comment})


USER_ID = column("user_id", StringType(), "the customer's id")

ITEM_ID = column("item_id", StringType(), "the customer's id")

USER_INDEX_COLUMN = column("user_index", IntegerType(), "from 0 without gaps, the same every night")

ITEM_INDEX_COLUMN = column("item_index", IntegerType(), "from 0 without gaps, the same every night")

RANK = column("rank", IntegerType(), "position in the list, from 1")

VECTOR = column("vector", ArrayType(FloatType(), False), "GMF part, then MLP part")
