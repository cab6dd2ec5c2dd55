"""What is odd about an input that can be used all the same: counted, and said with examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructField

from ncf_spark.interactions.events import number_column
from ncf_spark.job.context import Job
from ncf_spark.job.logs import log
from ncf_spark.schemas import DataError
from ncf_spark.storage.sources import column


def note_numbers(job: Job, raw: DataFrame, names: Sequence[str]) -> None:
    """Counts the catalogue's values that are no numbers where numbers are expected.

    Raises:
        DataError: when a column holds values and none of them is a number (9,50 is none).
    """
    if not names:
        return
    asked = []
    for name in names:
        text, is_number = column(name).cast("string"), number_column(name).isNotNull()
        is_wrong = (F.trim(text) != "") & ~is_number
        asked += [
            F.count_if(is_wrong).alias(f"wrong {name}"),
            F.count_if(is_number).alias(f"right {name}"),
            F.min(F.when(is_wrong, text)).alias(f"first {name}"),
            F.max(F.when(is_wrong, text)).alias(f"last {name}"),
        ]
    [found] = raw.agg(*asked).collect()
    for name in names:
        num_wrong = found[f"wrong {name}"]
        if not num_wrong:
            continue
        examples = sorted({found[f"first {name}"], found[f"last {name}"]})
        message = f"catalogue: column {name} is no number in {num_wrong:,} rows, e.g. {examples}"
        if not found[f"right {name}"]:
            raise DataError(f"{message}: in none of them. Numbers are written like 9.50.")
        job.note(f"catalogue rows whose {name} is no number, taken as missing", num_wrong)
        log.warning("%s", message)


def check_types(job: Job, fields: Mapping[str, StructField]) -> None:
    """Notes the types of the input's columns, and says which changed since the last run.

    Raises:
        DataError: when an id that was none has become a fraction: 17850 would be another user
            than 17850.0, and everyone would be new.
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
        is_id, whole = name in (columns.user, columns.item), not _is_fraction(then)
        if is_id and whole and _is_fraction(now):
            raise DataError(
                f"{message}: its ids would become others (17850.0 for 17850). Have them written as "
                "before, or as texts."
            )
        log.warning("%s", message)


def _is_fraction(type_name: str) -> bool:
    is_decimal = type_name.startswith("decimal") and not type_name.endswith(",0)")
    return type_name in ("float", "double") or is_decimal
