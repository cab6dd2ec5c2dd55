"""Whether a DataFrame fits a table."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from ncf_spark.errors import SchemaError


def conform(rows: DataFrame, schema: StructType, table: str) -> DataFrame:
    """`rows` with exactly the columns of `schema`, in its order.

    Raises:
        SchemaError: naming every column that is missing or of another type.
    """
    check_columns(rows.schema, schema, table)
    return rows.select(*[F.col(field.name) for field in schema])


def check_columns(present: StructType, schema: StructType, table: str) -> None:
    """Raises SchemaError naming every column of `schema` that is missing or of another type."""
    found = {field.name: field.dataType for field in present}
    problems = []
    for field in schema:
        if field.name not in found:
            problems.append(
                f"{table}: column {field.name} is missing ({field.dataType.simpleString()}). "
                f"Columns present: {sorted(found)}."
            )
        elif found[field.name].simpleString() != field.dataType.simpleString():
            problems.append(
                f"{table}: column {field.name} is {found[field.name].simpleString()}, "
                f"expected {field.dataType.simpleString()}."
            )
    if problems:
        raise SchemaError("\n".join(problems))
