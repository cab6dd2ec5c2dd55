"""Counts the texts that a profile escapes for spreadsheets or truncates."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StringType

from ncf_spark.campaign.files.cells import escaped, is_formula, is_longer
from ncf_spark.campaign.files.profiles import NOT_TRUNCATED, SLOT_HEADERS, Profile


def build_list_counts(lists: DataFrame, profile: Profile) -> DataFrame:
    """(column, num_escaped, num_truncated) for each text column that the profile writes.

    Escaped cells get an apostrophe before what a spreadsheet would run; truncated ones are cut to
    the profile's bytes. Columns of recipients count recipients, columns of slots count slots.

    Args:
        lists: `schemas.CAMPAIGN_LISTS`.
    """
    of_slots = _counts(lists.select(F.inline("slots")), profile)
    return _counts(lists, profile).unionByName(of_slots)


def _counts(rows: DataFrame, profile: Profile) -> DataFrame:
    written = {*profile.columns.values(), *SLOT_HEADERS}
    texts = [field.name for field in rows.schema if isinstance(field.dataType, StringType)]
    sums = [
        F.struct(
            F.lit(name).alias("column"),
            F.count_if(_is_escaped(profile, name)).alias("num_escaped"),
            F.count_if(_is_truncated(profile, name)).alias("num_truncated"),
        )
        for name in texts
        if name in written
    ]
    return rows.agg(F.array(*sums).alias("counts")).select(F.inline("counts"))


def _is_escaped(profile: Profile, name: str) -> Column:
    # Only CSV is opened in a spreadsheet; a cell with a JSON array begins with a bracket.
    in_cells = profile.suffix == "csv" and (
        profile.layout == "flat" or name in profile.columns.values()
    )
    return is_formula(F.col(name)) if in_cells else F.lit(False)


def _is_truncated(profile: Profile, name: str) -> Column:
    if profile.max_text_bytes is None or name in NOT_TRUNCATED:
        return F.lit(False)
    return is_longer(escaped(F.col(name)), profile.max_text_bytes)
