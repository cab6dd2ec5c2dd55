"""How many texts a profile changes, and which items it cannot take."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StringType

from ncf_spark.campaign.files.cells import guarded, is_formula, is_long
from ncf_spark.campaign.files.profiles import NEVER_CUT, SLOT_HEADERS, Profile


def build_list_counts(lists: DataFrame, profile: Profile) -> DataFrame:
    """(column, num_guarded, num_clipped) of the recipients' own columns, and of their slots'.

    Args:
        lists: CAMPAIGN_LISTS.
    """
    of_slots = build_changed_counts(lists.select(F.inline("slots")), profile)
    return build_changed_counts(lists, profile).unionByName(of_slots)


def build_changed_counts(rows: DataFrame, profile: Profile) -> DataFrame:
    """(column, num_guarded, num_clipped) for each text column of `rows` that the profile writes.

    Guarded are the cells with an apostrophe before what a spreadsheet would run, and clipped those
    cut to the profile's bytes. Of items these are items, of CAMPAIGN_LISTS recipients.
    """
    texts = [field.name for field in rows.schema if isinstance(field.dataType, StringType)]
    written = {*profile.columns.values(), *SLOT_HEADERS}
    counted = [name for name in texts if name in written]
    sums = [
        F.struct(
            F.lit(name).alias("column"),
            F.count_if(_is_guarded(profile, name)).alias("num_guarded"),
            F.count_if(_is_clipped(profile, name)).alias("num_clipped"),
        )
        for name in counted
    ]
    return rows.agg(F.array(*sums).alias("counts")).select(F.inline("counts"))


def _is_guarded(profile: Profile, name: str) -> Column:
    # Only CSV is opened in a spreadsheet; a cell with a JSON array begins with a bracket.
    in_cells = profile.suffix == "csv" and (
        profile.layout == "flat" or name in profile.columns.values()
    )
    return is_formula(F.col(name)) if in_cells else F.lit(False)


def _is_clipped(profile: Profile, name: str) -> Column:
    if profile.max_text_bytes is None or name in NEVER_CUT:
        return F.lit(False)
    return is_long(guarded(F.col(name)), profile.max_text_bytes)


def build_unfit_items(items: DataFrame, profile: Profile) -> DataFrame:
    """(item_id, column), a row for each name of an item that is too long for the profile.

    A URL or an id is never cut: leave these items out before the lists are made.

    Args:
        items: with item_id, and url and image_url where there are such.
    """
    names = [name for name in NEVER_CUT if name in SLOT_HEADERS and name in items.columns]
    limit = profile.max_text_bytes
    if limit is None:
        return items.where(F.lit(False)).select("item_id", F.lit("").alias("column"))
    found = [
        items.where(is_long(guarded(F.col(name)), limit)).select(
            "item_id", F.lit(name).alias("column")
        )
        for name in names
    ]
    return reduce(DataFrame.unionByName, found)
