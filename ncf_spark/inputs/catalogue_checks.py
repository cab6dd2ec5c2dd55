"""What is odd about the values of the catalogue: refused, or counted and said."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ncf_spark.errors import DataError
from ncf_spark.inputs import values
from ncf_spark.inputs.catalogue import changed_column, stock_column
from ncf_spark.inputs.columns import (
    id_column,
    id_finding,
    number_column,
    text_column,
    time_column,
    time_text,
)
from ncf_spark.inputs.sources import column
from ncf_spark.inputs.time_checks import Kind, Times
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.logs import log

_TIMES: dict[str, Kind] = {
    "active_from": "bound",
    "active_until": "bound",
    "updated_at": "version",
}
_NO_STOCK = ["nan", "null", "none", "na", "n/a", "\\n"]


def note_catalogue_values(job: Job, rows: DataFrame, features: Sequence[str]) -> None:
    """Counts the catalogue's odd ids, and its values that cannot be read, in one pass.

    Args:
        rows: of the customer's, that count.
        features: columns with side features.

    Raises:
        DataError: when most values of a column are no numbers (9,50 is none), when most stocks
            cannot be read, or any time.
    """
    columns, times = job.config.catalogue.columns, _times(job, rows)
    numbers = [*features, *([columns.price] if columns.price else [])]
    rows = rows.withColumns(
        {
            "item_id": id_column(rows, columns.item),
            "item_finding": id_finding(rows, columns.item),
        }
    )
    asked = {
        "no id": F.count_if(F.col("item_id").isNull()),
        "further": F.count("item_id") - F.count_distinct("item_id"),
        **values.count_ids("item"),
        **_of_numbers(numbers),
        **_of_stock(columns.in_stock),
        **{name: count for one in times for name, count in one.counts.items()},
    }
    [row] = rows.agg(*[count.alias(name) for name, count in asked.items()]).collect()
    found = row.asDict()
    _check_numbers(job, rows, found, numbers)
    _check_stock(job, rows, found)
    problems = [problem for one in times if (problem := one.problem(found, rows))]
    if problems:
        raise DataError("\n".join(problems))
    if found["no id"]:
        job.note("catalogue rows without an item id, left out", found["no id"])
    _note_further_rows(job, found["further"])
    values.note_ids(job, "catalogue", "item", found, rows)


def _note_further_rows(job: Job, count: int) -> None:
    if not count:
        return
    job.note("catalogue rows of items that have another row, which counts instead", count)
    if job.config.catalogue.columns.updated_at is None:
        log.warning(
            "catalogue: %s rows are of items that have another row, and nothing says which is the "
            "newer: one of them counts, which may be the older. Set catalogue.columns.updated_at "
            "to the column that says when a row was changed, or leave old rows out by "
            "catalogue.where.",
            f"{count:,}",
        )


def _of_numbers(names: Sequence[str]) -> dict[str, Column]:
    asked: dict[str, Column] = {}
    for name in names:
        is_number = number_column(name).isNotNull()
        is_filled = F.trim(column(name).cast("string")) != ""
        asked |= {
            f"filled {name}": F.count_if(is_filled),
            f"wrong {name}": F.count_if(is_filled & ~is_number),
        }
    return asked


def _check_numbers(job: Job, rows: DataFrame, found: dict[str, int], names: Sequence[str]) -> None:
    """Raises DataError with all columns of which most values are no numbers."""
    problems = []
    for name in names:
        num_wrong, num_filled = found[f"wrong {name}"], found[f"filled {name}"]
        if not num_wrong:
            continue
        wrong, right = values.texts_of_numbers(rows, column(name), number_column(name))
        ours = "price" if name == job.config.catalogue.columns.price else name
        message = (
            f"catalogue: column {name} is no number in {num_wrong:,} of {num_filled:,} rows that "
            f"hold something, for instance {values.shown_list(wrong)}. "
            f"{values.number_advice('catalogue', ours, name, wrong, right)}"
        )
        if num_wrong > num_filled / 2:
            problems.append(message)
            continue
        job.note(f"catalogue rows whose {name} is no number, taken as missing", num_wrong)
        log.warning("%s Until then they count as missing.", message)
    if problems:
        raise DataError("\n".join(problems))


def _is_filled(name: str) -> Column:
    text = text_column(name)
    return text.isNotNull() & ~F.lower(F.trim(text)).isin(_NO_STOCK)


def _of_stock(name: str | None) -> dict[str, Column]:
    if name is None:
        return {}
    is_unread = _is_filled(name) & stock_column(name).isNull()
    return {"stocks": F.count_if(_is_filled(name)), "unread": F.count_if(is_unread)}


def _check_stock(job: Job, rows: DataFrame, found: dict[str, int]) -> None:
    name = job.config.catalogue.columns.in_stock
    if name is None or not found["unread"]:
        return
    unread = rows.where(_is_filled(name) & stock_column(name).isNull()).select(
        text_column(name).alias("stock")
    )
    message = (
        f"catalogue: column {name} (catalogue.columns.in_stock) cannot be read in "
        f"{found['unread']:,} of {found['stocks']:,} rows that hold something, and these items are "
        f"not for sale: {values.most_frequent(unread, 'stock')}. Write in_stock or out_of_stock, "
        "true or false, or a number of pieces; convert others by catalogue.derived"
    )
    if found["unread"] > found["stocks"] / 2:
        raise DataError(f"{message}.")
    log.warning("%s", message)
    job.note("catalogue rows whose stock cannot be read, not for sale", found["unread"])


def _times(job: Job, rows: DataFrame) -> list[Times]:
    columns, time_format = job.config.catalogue.columns, job.config.catalogue.time_format
    found = []
    for ours, kind in _TIMES.items():
        if name := getattr(columns, ours):
            read = (time_column if kind == "bound" else changed_column)(rows, name, time_format)
            text = time_text(rows, name)
            found.append(Times("catalogue", ours, name, text, read, time_format, kind))
    return found
