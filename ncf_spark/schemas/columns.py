"""How tables are described, and columns that several tables have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pyspark.sql.types import (
    ArrayType,
    DataType,
    FloatType,
    IntegerType,
    StringType,
    StructField,
    StructType,
)


class Table(NamedTuple):
    """A table that is stored.

    Args:
        grain: what a row is, with what else `docs/tables.md` says of the table.
        key: the columns that identify a row.
    """

    grain: str
    key: tuple[str, ...]
    schema: StructType


# By name, which is the table's folder in a run.
TABLES: dict[str, Table] = {}


def table(
    name: str, grain: str, key: tuple[str, ...], columns: Iterable[StructField]
) -> StructType:
    """The schema of a table, which is added to TABLES."""
    schema = StructType(list(columns))
    TABLES[name] = Table(grain, key, schema)
    return schema


def column(name: str, data_type: DataType, comment: str, *, nullable: bool = False) -> StructField:
    """A column with a comment on its unit and its edge cases."""
    return StructField(name, data_type, nullable, {"comment": comment})


USER_ID = column("user_id", StringType(), "your id of the user")

ITEM_ID = column("item_id", StringType(), "your id of the item")

USER_INDEX_COLUMN = column("user_index", IntegerType(), "from 0 without gaps, the same every night")

ITEM_INDEX_COLUMN = column("item_index", IntegerType(), "from 0 without gaps, the same every night")

RANK = column("rank", IntegerType(), "position in the list, from 1")

VECTOR = column("vector", ArrayType(FloatType(), False), "GMF part, then MLP part")
