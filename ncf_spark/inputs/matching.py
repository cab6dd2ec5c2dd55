"""Whether the ids of one table are those of another, and what would make them so."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ncf_spark.inputs.canonical import fold, id_key, trimmed


class Matches(NamedTuple):
    """Rows with an id, those whose id the other table has, and those whose it nearly has."""

    num_rows: int
    num_known: int
    num_near: int


def build_matches(asked: DataFrame, known: DataFrame) -> DataFrame:
    """One row for each id, but for how it is written: num_rows, num_known, unknown_id, known_id.

    `unknown_id` is an id of `asked` that `known` lacks, `known_id` one of `known`: of both in one
    row white space, case, leading apostrophes and zeros, or a trailing `.0` are the difference.

        asked: 'C-01, C-02   known: C-01, C-02   ->   (1, 0, 'C-01, C-01), (1, 1, null, C-02)

    Args:
        asked: one column of ids, one row for each that counts; nulls do not.
        known: one column of ids, which may repeat.
    """
    both = asked.select(F.col(asked.columns[0]).alias("id"), F.lit(1).alias("n")).unionByName(
        known.select(F.col(known.columns[0]).alias("id"), F.lit(None).cast("int").alias("n"))
    )
    is_known = F.bool_or(F.col("n").isNull()).alias("is_known")
    ids = both.where("id is not null").groupBy("id").agg(F.sum("n").alias("n"), is_known)
    is_unknown = ~F.col("is_known") & F.col("n").isNotNull()
    return (
        ids.groupBy(_loose("id").alias("loose"))
        .agg(
            F.coalesce(F.sum("n"), F.lit(0)).alias("num_rows"),
            F.coalesce(F.sum(F.when(F.col("is_known"), F.col("n"))), F.lit(0)).alias("num_known"),
            F.min(F.when(is_unknown, F.col("id"))).alias("unknown_id"),
            F.min(F.when(F.col("is_known"), F.col("id"))).alias("known_id"),
        )
        .drop("loose")
    )


def count_matches(matches: DataFrame) -> Matches:
    """The sums of a table as of `build_matches`, in one Spark job."""
    unknown = F.col("num_rows") - F.col("num_known")
    near = F.when(F.col("known_id").isNotNull(), unknown)
    row = matches.agg(F.sum("num_rows"), F.sum("num_known"), F.sum(near)).first()
    assert row is not None
    return Matches(*(int(value or 0) for value in row))


def differences(one: str, other: str) -> list[str]:
    """What has to be changed in two ids to make them equal, in words; empty: nothing would."""

    def changed(text: str, without: str) -> str:
        for name, change in _CHANGES.items():
            text = text if name == without else change(text)
        return text

    if changed(one, "") != changed(other, ""):
        return []
    return [name for name in _CHANGES if changed(one, name) != changed(other, name)]


# Zeros at the beginning, and those that fill a number up: C-016 is C-16, A-0 stays.
_ZEROS = "^0+(?=.)|(?<![0-9.,])0+(?=[0-9])"
_CHANGES: dict[str, Callable[[str], str]] = {
    "white space or characters that cannot be seen": trimmed,
    "upper and lower case": fold,
    "a leading apostrophe": lambda text: text.lstrip("'\u2019`"),
    "a trailing .0": lambda text: re.sub(r"\.0*$", "", text),
    "leading zeros": lambda text: re.sub(_ZEROS, "", text),
}


def _loose(name: str) -> Column:
    start = F.regexp_replace(id_key(F.col(name)), "^['\u2019`]+", "")
    return F.regexp_replace(F.regexp_replace(start, r"\.0*$", ""), _ZEROS, "")
