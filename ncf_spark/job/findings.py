"""What is odd about an input that can be used all the same: counted, and said with examples."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql.types import StructField

from ncf_spark.errors import DataError
from ncf_spark.job.context import Job
from ncf_spark.job.logs import log


def check_types(job: Job, fields: Mapping[str, StructField]) -> None:
    """Notes the types of the input's columns, and says which changed since the last run.

    Raises:
        DataError: when texts have become fractions: the user 007 would be 7, and everyone new.
    """
    types = {name: field.dataType.simpleString() for name, field in fields.items()}
    if "types of the input's columns" in job.notes:
        return
    job.note("types of the input's columns", types)
    last = job.warehouse.last_complete_run()
    record = None if last is None else last.step_record("build_interactions")
    before = (record or {}).get("notes", {}).get("types of the input's columns", {})
    columns = job.config.input.columns
    for name, now in types.items():
        then = before.get(name, now)
        if then == now:
            continue
        message = f"input: column {name} was {then} in the last run, and is {now} now"
        is_id = name in (columns.user, columns.item)
        if is_id and then == "string" and _is_fraction(now):
            raise DataError(
                f"{message}: its ids may become others (7 for 007). Have them written as texts."
            )
        log.warning("%s", message)


def _is_fraction(type_name: str) -> bool:
    is_decimal = type_name.startswith("decimal") and not type_name.endswith(",0)")
    return type_name in ("float", "double") or is_decimal
