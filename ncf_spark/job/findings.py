"""What is odd about an input that can be used all the same: counted, and said with examples."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructField

from ncf_spark.job.context import Job
from ncf_spark.job.logs import log
from ncf_spark.schemas import DataError


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


def note_catalogue(job: Job, interactions: DataFrame, catalogue: DataFrame) -> None:
    """Counts the items with events that the catalogue lacks: they are never recommended.

    Raises:
        DataError: when it lacks all of them.
    """
    if not job.config.catalogue.configured:
        return
    known = catalogue.select("item_id", F.lit(True).alias("is_known"))
    items = interactions.select("item_id").distinct()
    looked_up = items.join(known, on="item_id", how="left")
    missing = F.when(F.col("is_known").isNull(), F.col("item_id"))
    [(num_items, num_missing, first, last)] = looked_up.agg(
        F.count(F.lit(1)), F.count(missing), F.min(missing), F.max(missing)
    ).collect()
    if num_missing:
        message = (
            f"catalogue: {num_missing:,} of {num_items:,} items with events are not in it, "
            f"e.g. {sorted({first, last})}"
        )
        if num_missing == num_items:
            raise DataError(f"{message}. Compare the ids (catalogue.columns.item).")
        log.warning("%s; they will not be recommended", message)
    job.note("items with events that are not in the catalogue", num_missing)


def note_recipients(job: Job, recipients: DataFrame, consent_text: DataFrame) -> None:
    """Counts who may be written to, who refused, and consents that cannot be read.

    Args:
        recipients: `schemas.RECIPIENTS`.
        consent_text: (consent_text), the consents as they were written.
    """
    answers = F.when(F.col("consent"), "consenting").otherwise("refusing")
    status = (
        F.when(F.col("user_id").isNull(), "without a user id")
        .when(F.col("consent").isNull(), "with no or an unreadable consent")
        .otherwise(answers)
    )
    counted = recipients.groupBy(status.alias("status")).agg(F.count(F.lit(1)).alias("n"))
    counts = {row["status"]: row["n"] for row in counted.orderBy("status").collect()}
    job.note("rows of recipients", counts)
    unreadable = (
        consent_text.where(F.trim("consent_text") != "")
        .where("try_cast(consent_text AS BOOLEAN) IS NULL")
        .groupBy("consent_text")
        .agg(F.count(F.lit(1)).alias("n"))
    )
    found = unreadable.orderBy("n").limit(_MOST_ANSWERS + 1).collect()
    if not found:
        return
    # What has many values is another column: of addresses, say, and these belong into no log.
    is_consent = len(found) <= _MOST_ANSWERS and not any("@" in row[0] for row in found)
    log.warning(
        "recipients: consent reads neither yes nor no in %s; these get nothing. "
        "Write true or false, yes or no, 1 or 0.",
        {row["consent_text"]: row["n"] for row in found}
        if is_consent
        else "other texts than a consent has: recipients.columns.consent may name another column",
    )


# Different texts that a column of consents may hold beside yes and no.
_MOST_ANSWERS = 5
