"""How values of a customer's columns are shown, and what is said of odd ids and of times."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ncf_spark.inputs.columns import (
    ID_FINDINGS,
    fitting_time_formats,
    is_serial,
    number_sql,
    sql_name,
)
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.logs import log

# Above this share of its rows a finding is looked at, or refused.
NOTABLE_SHARE = 0.01
# Examples that a message shows, and those that a format must fit to be named.
_NUM_SHOWN, NUM_TRIED = 3, 20

# What such ids are, in the step's record and in a warning.
_ODD_IDS = {
    "word": (
        "ids that are words for a missing value",
        "are words for a missing value, and count as ids: {examples}. If they mean that none is "
        "known, leave these rows out by {section}.where.",
    ),
    "number": (
        "ids that look like numbers stored as doubles",
        "look like numbers that were stored as doubles, and stay as they are: {examples}. Have ids "
        "written as integers or texts, so that they are the same in every table.",
    ),
    "blank": (
        "ids with blanks or control characters at their ends, taken off",
        "had blanks at their ends or control characters (NUL, tab …), which were taken off.",
    ),
}


def count_ids(ours: str) -> dict[str, Column]:
    """Aggregates for `note_ids`: how many ids are odd, by what is read in `<ours>_finding`."""
    finding = F.col(f"{ours}_finding")
    return {f"{ours} {odd}": F.count_if(finding == odd) for odd in ID_FINDINGS}


def note_ids(job: Job, section: str, ours: str, found: Mapping[str, int], rows: DataFrame) -> None:
    """Says which ids of a column are odd.

    Args:
        ours: our name of the column.
        found: of `count_ids`.
        rows: that were counted, with <ours>_id and <ours>_finding, for examples.
    """
    for finding in ID_FINDINGS:
        if not (count := found[f"{ours} {finding}"]):
            continue
        (what, said), examples = _ODD_IDS[finding], ""
        if "{examples}" in said:
            examples = most_frequent(rows.where(F.col(f"{ours}_finding") == finding), f"{ours}_id")
        log.warning(
            "%s: %s ids (%s.columns.%s) %s",
            *(section, f"{count:,}", section, ours),
            said.format(examples=examples, section=section),
        )
        job.note(f"{section}.columns.{ours}: {what}", count)


def most_frequent(rows: DataFrame, name: str) -> str:
    """'view' (70), 'Purchase' (12): the five most frequent values of a column."""
    counted = rows.groupBy(name).agg(F.count(F.lit(1)).alias("n"))
    found = counted.orderBy(F.desc("n"), name).limit(5).collect()
    return ", ".join(f"{shown(row[0])} ({row['n']:,})" for row in found)


def shown(value: str | None) -> str:
    """A value in quotes, without the addresses in it."""
    return "nothing" if value is None else repr(re.sub(r"[^\s@]+@[^\s@]+", "…@…", value))


def first_texts(rows: DataFrame) -> list[str]:
    """Some values of a table's only column."""
    return [str(row[0]) for row in rows.limit(NUM_TRIED).collect() if row[0] is not None]


def shown_list(texts: Sequence[str]) -> str:
    """The first three of some values."""
    return f"[{', '.join(shown(text) for text in texts[:_NUM_SHOWN])}]"


def time_advice(
    section: str, ours: str, name: str, texts: Sequence[str], but: str | None = None
) -> str | None:
    """How texts of a column of times are read as recent ones; None where no way is known.

    Args:
        ours: our name of the column.
        name: the customer's.
        but: the format that does not read them.
    """
    column = sql_name(name)
    if texts and all(text.strip() == name for text in texts):
        return (
            "That is the column's own name: a header stands among the rows. Leave it out by "
            f"{section}.where: \"{column} is distinct from '{name}'\"."
        )
    if is_serial(texts):
        sql = f"timestamp_seconds((try_cast({column} AS DOUBLE) - 25569) * 86400)"
        return (
            f'They are days as Excel counts them: set {section}.derived: {{{ours}: "{sql}"}} and '
            f"{section}.columns.{ours}: {ours}."
        )
    names = " or ".join(found for found in fitting_time_formats(texts) if found != but)
    return (
        f"As {names} these are plausible times: set {section}.time_format: {names}."
        if names
        else None
    )


def texts_of_numbers(rows: DataFrame, text: Column, number: Column) -> tuple[list[str], list[str]]:
    """Some texts of a column that are no numbers, and some that are."""
    text = text.cast("string")
    filled = rows.where(F.trim(text) != "")
    parts = [
        filled.where(is_wrong).select(text, F.lit(is_first)).limit(NUM_TRIED)
        for is_first, is_wrong in ((True, number.isNull()), (False, number.isNotNull()))
    ]
    found = [tuple(row) for row in parts[0].union(parts[1]).collect()]
    return [t for t, is_wrong in found if is_wrong], [t for t, is_wrong in found if not is_wrong]


def number_advice(section: str, ours: str, name: str, wrong: list[str], right: list[str]) -> str:
    """How the texts of a column become numbers.

    Args:
        ours: our name of the column.
        name: the customer's.
        wrong, right: as of `texts_of_numbers`.
    """
    sql = number_sql(name, [*wrong, *right]) if wrong else None
    if sql is None:
        return f"Numbers are written like 9.50; convert others by {section}.derived."
    named = "" if ours == name else f" and {section}.columns.{ours}: {ours}"
    return f'They are read by {section}.derived: {{{ours}: "{sql}"}}{named}.'


def named(*aggregates: Mapping[str, Column]) -> list[Column]:
    """The aggregates of several mappings, each as a column of its name."""
    return [count.alias(name) for some in aggregates for name, count in some.items()]
