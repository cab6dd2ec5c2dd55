"""Finds what changed since a campaign's last export, so that a tool need not load all rows again.

A tool that loads the first export, and then each night's changed rows and removals, has the same
rows as the last export.
"""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncf_spark.campaign.files.cells import escaped, quoted, utc_text
from ncf_spark.campaign.files.profiles import Profile


def build_delta(rows: DataFrame, last_state: DataFrame) -> DataFrame:
    """Those of the `rows` that are new, or whose hash has changed.

    Args:
        rows: (key, row_hash, …), of `build_rows` with the same `last_state`.
        last_state: `schemas.CAMPAIGN_STATE`.
    """
    return rows.join(last_state.select("key", "row_hash"), on=["key", "row_hash"], how="left_anti")


def build_removals(rows: DataFrame, last_state: DataFrame, *, updated_at: datetime) -> DataFrame:
    """(key, updated_at) of the keys of the last export that are not in this one.

    Args:
        updated_at: of this export.
    """
    gone = last_state.join(rows.select("key"), on="key", how="left_anti")
    return gone.select("key", F.lit(updated_at).cast("timestamp").alias("updated_at"))


def build_state(rows: DataFrame) -> DataFrame:
    """`schemas.CAMPAIGN_STATE`, with which the next export finds what changed.

    The keys are addresses where the profile's key is the address, unless they are hashed.
    """
    return rows.select("key", "row_hash", "updated_at")


def removal_columns(profile: Profile) -> list[str]:
    """The columns of a file of removals: the key, as in the profile's own files, and the time."""
    times = [header for header, name in profile.columns.items() if name == "updated_at"]
    return [next(iter(profile.columns)), times[0]]


def build_removal_rows(removals: DataFrame, profile: Profile) -> DataFrame:
    """(key, line) of the removals, CSV cells or a JSON object; for Parquet (key, row)."""
    key, time = removal_columns(profile)
    if profile.suffix == "parquet":
        row = F.struct(F.col("key").alias(key), F.col("updated_at").alias(time))
        return removals.select("key", row.alias("row"))
    text = utc_text(F.col("updated_at"))
    if profile.suffix == "csv":
        line = F.concat_ws(",", quoted(escaped(F.col("key"))), text)
    else:
        line = F.to_json(F.struct(F.col("key").alias(key), text.alias(time)))
    return removals.select("key", line.alias("line"))
