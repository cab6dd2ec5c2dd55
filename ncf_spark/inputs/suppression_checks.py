"""Checks that every row of a suppression list bars somebody."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from ncf_spark.inputs import values
from ncf_spark.inputs.audience import read_suppression_list
from ncf_spark.inputs.canonical import masked
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.logs import log

# What the rows of a list are counted by.
LIST_KINDS = ("user ids", "addresses", "hashes")
# How many wrong rows of a list a message shows.
_MOST_ROWS = 5


def log_suppressions(rows: Mapping[str, Mapping[str, int]], num_on: Mapping[str, int]) -> None:
    """Logs how long each suppression list is, and how many recipients stand on it.

    Args:
        rows: of each list by their kind, as in `People`.
        num_on: recipients by the list's name.
    """
    for name, held in rows.items():
        told = ", ".join(f"{num:,} {kind}" for kind, num in held.items() if num) or "no row"
        log.info("suppressions: %s: %s, %d match recipients", name, told, num_on.get(name, 0))


def count_lists(lists: Mapping[str, DataFrame]) -> dict[str, Row]:
    """Counts of each list that has rows."""
    if not lists:
        return {}
    parts = [rows.withColumn("list", F.lit(name)) for name, rows in lists.items()]
    counted = (
        reduce(DataFrame.unionByName, parts)
        .groupBy("list")
        .agg(
            F.count(F.lit(1)).alias("rows"),
            F.count("user").alias("user ids"),
            F.count_if(F.size("spellings") > 0).alias("addresses"),
            F.count("email_sha256").alias("hashes"),
            *[F.count_if(is_wrong).alias(name) for name, is_wrong in _wrong_in_lists().items()],
            *values.named(values.count_ids("user")),
        )
    )
    return {row["list"]: row for row in counted.collect()}


def problems_of_lists(
    job: Job, lists: Mapping[str, DataFrame], found: Mapping[str, Row]
) -> list[str]:
    """What is wrong with the rows of some lists; warns of lists without rows and of odd ids.

    Args:
        lists: `Audience.suppressions`.
        found: as of `count_lists`.
    """
    for name in lists:
        if name not in found:
            log.warning("suppressions.%s: holds no row, and bars nobody", name)
    for name, row in found.items():
        values.note_ids(job, f"suppressions.{name}", "user", row.asDict(), lists[name])
    return [problem for row in found.values() for problem in _problems_of_list(job, row)]


def _wrong_in_lists() -> dict[str, Column]:
    """What makes a row bar nobody."""
    return {
        "garbled": F.col("is_garbled"),
        "rows in a cell": F.col("has_rows_in_cell"),
        "email": F.col("is_no_address") & ~F.col("is_garbled"),
        "email_sha256": ~F.col("email_sha256").rlike(r"^[0-9a-f]{64}\z"),
    }


def _problems_of_list(job: Job, counts: Row) -> list[str]:
    name = f"suppressions.{counts['list']}"
    wrong = {what: num for what in _wrong_in_lists() if (num := counts[what])}
    problems = []
    for what, num in wrong.items():
        rows, told = _rows_of_list(job, counts["list"], what)
        of_all = f"{num:,} of {counts['rows']:,} rows"
        if what == "garbled":
            encoding = "windows-1252" if any("\ufffd" in row for row in rows) else "UTF-8"
            problems.append(
                f"{name}: {of_all} were read in another encoding than they are written in, and "
                f"would bar nobody: {told}. Say how the file is written, for instance by "
                f"{name}.options: {{encoding: {encoding}}}."
            )
            continue
        if what == "rows in a cell":
            problems.append(
                f"{name}: {of_all} hold a cell of several lines with further rows in it, which "
                f"would bar nobody: {told}. A quote before it is not closed: correct it."
            )
            continue
        wanted, one = {
            "email": ("an address", "address"),
            "email_sha256": ("a SHA-256 of 64 hexadecimal digits", "SHA-256 of an address"),
        }[what]
        problems.append(
            f"{name}.columns.{what}: {of_all} hold something else than {wanted} there, and would "
            f"bar nobody: {told}. Correct them, with one {one} a row, or name the right column "
            "(user, email or email_sha256)."
        )
    return problems


def _rows_of_list(job: Job, name: str, what: str) -> tuple[list[str], str]:
    """The first rows of a list that are wrong, and how a message tells them."""
    rows = read_suppression_list(job, name, numbered=True)
    column = F.coalesce(*[f"{one}_text" for one in ("email", "email_sha256", "user")])
    if what in ("email", "email_sha256"):
        column = F.col(f"{what}_text")
    wrong = rows.where(_wrong_in_lists()[what]).select("row_id", column.alias("text"))
    found = wrong.orderBy("row_id").limit(_MOST_ROWS).collect()
    told = ", ".join(f"row {row['row_id'] + 1} ({masked(row['text'])})" for row in found)
    return [row["text"] for row in found], f"{told} (rows are counted without the header)"
