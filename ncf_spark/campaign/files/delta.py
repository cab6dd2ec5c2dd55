"""What changed since a campaign's last export, so that a tool need not load all of it again.

Whoever loads the first export whole, then each night's changed rows, and takes out the removed
ones, holds what the last export holds.
"""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncf_spark.campaign.files.cells import guarded, quoted, utc_text
from ncf_spark.campaign.files.profiles import Profile


def build_delta(rows: DataFrame, last_state: DataFrame) -> DataFrame:
    """Those of the `rows` that are new, or whose hash is not what it was.

    Args:
        rows: (key, row_hash, …), of `build_lines` or `build_rows`, made with the same `last_state`.
        last_state: CAMPAIGN_STATE.
    """
    return rows.join(last_state.select("key", "row_hash"), on=["key", "row_hash"], how="left_anti")


def build_removals(rows: DataFrame, last_state: DataFrame, *, updated_at: datetime) -> DataFrame:
    """(key, updated_at) of the keys that were in the last export and are not in this one.

    Args:
        updated_at: of this export.
    """
    gone = last_state.join(rows.select("key"), on="key", how="left_anti")
    return gone.select("key", F.lit(updated_at).cast("timestamp").alias("updated_at"))


def build_state(rows: DataFrame) -> DataFrame:
    """CAMPAIGN_STATE, by which the next export tells what changed.

    It holds addresses where they are what the profile knows people by, unless they are hashed.
    """
    return rows.select("key", "row_hash", "updated_at")


def removal_columns(profile: Profile) -> list[str]:
    """The columns of a file of removals: the key, as in the profile's own files, and the time."""
    times = [header for header, name in profile.columns.items() if name == "updated_at"]
    return [next(iter(profile.columns)), times[0]]


def build_removal_lines(removals: DataFrame, profile: Profile) -> DataFrame:
    """(key, line) of the removals, for a text profile: CSV cells or a JSON object."""
    key, time = F.col("key"), utc_text(F.col("updated_at"))
    if profile.suffix == "csv":
        line = F.concat_ws(",", quoted(guarded(key)), time)
    else:
        names = removal_columns(profile)
        line = F.to_json(F.struct(key.alias(names[0]), time.alias(names[1])))
    return removals.select("key", line.alias("line"))


def build_removal_rows(removals: DataFrame, profile: Profile) -> DataFrame:
    """(key, row) of the removals, for Parquet: `row` is the key and the time."""
    names = removal_columns(profile)
    row = F.struct(F.col("key").alias(names[0]), F.col("updated_at").alias(names[1]))
    return removals.select("key", row.alias("row"))
