"""Builds the rows of a tool's file from recipients and their lists: lines of text, or Parquet."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ncf_spark.campaign.files.cells import (
    clean,
    escaped,
    plain_number,
    quoted,
    truncated,
    utc_text,
)
from ncf_spark.campaign.files.profiles import NOT_TRUNCATED, SLOT_HEADERS, Profile, columns
from ncf_spark.campaign.recipients import is_address

_KEEP_NULLS = {"ignoreNullFields": "false"}
_NUMBERS = ("price", "score")
_STATE = ("key", "row_hash", "updated_at")
# Not in the hash: they change every night, with the date and with each model that is trained.
_VOLATILE = ("run_date", "updated_at", "model_version")


@dataclass(frozen=True)
class Export:
    """The values that all rows of an export share.

    Args:
        updated_at: of the rows that are new or changed in this export.
    """

    campaign_id: str
    run_date: date
    model_version: str
    updated_at: datetime


def manifest_facts(
    profile: Profile, export: Export, *, k: int, hash_emails: bool
) -> dict[str, Any]:
    """What the manifest says about an export besides its files; no personal data."""
    return {
        "profile": profile.name,
        "campaign_id": export.campaign_id,
        "run_date": str(export.run_date),
        "model_version": export.model_version,
        "updated_at": export.updated_at.isoformat(),
        "columns": columns(profile, k),
        "hashed_emails": hash_emails and "email" in profile.personal,
    }


def filter_addressable(lists: DataFrame, profile: Profile) -> DataFrame:
    """The recipients with the profile's key: a user id, or a valid address."""
    return lists.where(is_address("email") if profile.key == "email" else F.trim("user_id") != "")


def build_rows(
    lists: DataFrame,
    profile: Profile,
    *,
    export: Export,
    k: int,
    last_state: DataFrame | None = None,
    hash_emails: bool = False,
) -> DataFrame:
    """(key, row_hash, updated_at, line), one row a recipient; `line` has no line end yet.

    For Parquet, `row` in place of `line`: a struct with the profile's columns.

    Args:
        lists: `schemas.CAMPAIGN_LISTS`, each key once; the export fails on a recipient without a
            key.
        k: slots of a text line; in the flat layout the cells of missing slots are empty.
        last_state: `schemas.CAMPAIGN_STATE` of the last export; None: every row is new.
        hash_emails: whether each address is replaced by the SHA-256, in hexadecimal, of the trimmed
            lower-case address.
    """
    rows = _with_state(lists, profile, export, last_state, hash_emails)
    if profile.suffix == "parquet":
        head = [F.col(name).alias(header) for header, name in profile.columns.items()]
        return rows.select(*_STATE, F.struct(*head, F.col("slots")).alias("row"))
    texts = rows.withColumns(
        {"run_date": F.col("run_date").cast("string"), "slots": F.slice("slots", 1, k)}
    )
    layouts: dict[str, Callable[[Profile, int], Column]] = {
        "flat": _flat_line,
        "arrays": _arrays_line,
        "payload": _payload_line,
        "nested": _nested_line,
    }
    return texts.select(*_STATE, layouts[profile.layout](profile, k).alias("line"))


def _with_state(
    lists: DataFrame,
    profile: Profile,
    export: Export,
    last_state: DataFrame | None,
    hash_emails: bool,
) -> DataFrame:
    """`lists` with the values of the export, the key, the hash and the time of the last change."""
    address = F.col("email")
    if hash_emails:
        address = F.sha2(F.lower(F.btrim(address, F.lit(" \t\r\n"))), 256)
    rows = lists.withColumns(
        {
            "email": address,
            **{name: clean(F.col(name)) for name in ("locale", "country", "segment")},
            "campaign_id": F.lit(export.campaign_id),
            "run_date": F.lit(export.run_date),
            "model_version": F.lit(export.model_version),
        }
    )
    rows = rows.withColumns({"key": _key(profile), "row_hash": _row_hash(profile)})
    changed_at = F.lit(export.updated_at).cast("timestamp")
    if last_state is None:
        return rows.withColumn("updated_at", changed_at)
    last = last_state.select("key", "row_hash", "updated_at")
    carried = rows.join(last, on=["key", "row_hash"], how="left")
    return carried.withColumn("updated_at", F.coalesce("updated_at", changed_at))


def _key(profile: Profile) -> Column:
    missing = F.raise_error(
        F.lit(
            f"campaign files: a recipient has no {profile.key}, which profile {profile.name} "
            "needs. Leave out such recipients first, with filter_addressable."
        )
    )
    return F.coalesce(F.col(profile.key), missing.cast("string"))


def _row_hash(profile: Profile) -> Column:
    """A hash of what an email shows and who gets it, without dates, model version and scores.

    Scores change with every model that is trained, and no email shows them; the order of the items,
    which they decide, is in the hash.
    """
    # As JSON text: Spark's hash of a struct skips nulls, so that a URL without a title has the same
    # hash as a title without a URL.
    held = [name for name in dict.fromkeys(profile.columns.values()) if name not in _VOLATILE]
    shown = [F.col(f"slots.{name}").alias(name) for name in SLOT_HEADERS if name != "score"]
    return F.xxhash64(F.to_json(F.struct(*held, *shown), _KEEP_NULLS))


# --- CSV ----------------------------------------------------------------------------------------


def _flat_line(profile: Profile, k: int) -> Column:
    fields = len(SLOT_HEADERS)

    def cells(slot: Column) -> Column:
        return F.concat_ws(",", *[_slot_cell(profile, slot, name) for name in SLOT_HEADERS])

    filled = F.array_join(F.transform("slots", cells), ",")
    # The cells of the missing slots, each with the comma before it.
    empty = F.lit("," * fields * k).substr(F.lit(1), fields * (k - F.size("slots")))
    return F.concat(_head_cells(profile), F.lit(","), filled, empty)


def _slot_cell(profile: Profile, slot: Column, name: str) -> Column:
    if name in _NUMBERS:
        return F.coalesce(plain_number(slot[name]), F.lit(""))
    return _text_cell(profile, slot[name], name)


def _text_cell(profile: Profile, text: Column, name: str) -> Column:
    safe = escaped(text)
    if profile.max_text_bytes is not None and name not in NOT_TRUNCATED:
        safe = truncated(safe, profile.max_text_bytes)
    return quoted(safe)


def _head_cells(profile: Profile) -> Column:
    """The cells before the slots, with commas between them."""
    cells = []
    for name in profile.columns.values():
        if name == "updated_at":
            cells.append(utc_text(F.col(name)))
        elif name == "run_date":
            cells.append(F.col(name))
        else:
            cells.append(_text_cell(profile, F.col(name), name))
    return F.concat_ws(",", *cells)


def _arrays_line(profile: Profile, k: int) -> Column:
    def numbers(name: str) -> Column:
        texts = F.transform(f"slots.{name}", plain_number)
        return F.concat(F.lit("["), F.array_join(texts, ",", "null"), F.lit("]"))

    cells = [
        quoted(numbers(name) if name in _NUMBERS else F.to_json(f"slots.{name}"))
        for name in SLOT_HEADERS
    ]
    return F.concat_ws(",", _head_cells(profile), *cells)


# --- JSON ---------------------------------------------------------------------------------------


def _object(profile: Profile, without: Collection[str] = ()) -> Column:
    """A JSON object of the profile's columns and the slots, an array of objects; nulls written."""
    head = [
        (utc_text(F.col(name)) if name == "updated_at" else F.col(name)).alias(header)
        for header, name in profile.columns.items()
        if header not in without
    ]
    slots = F.transform("slots", _slot_of_texts).alias("slots")
    text = F.to_json(F.struct(*head, slots), _KEEP_NULLS)
    # Numbers are passed as texts, or Spark would write exponents. A quote within a text has a
    # backslash before it, so the pattern matches these members only.
    return F.regexp_replace(text, r'"(price|score)":"([^"]*)"', '"$1":$2')


def _slot_of_texts(slot: Column) -> Column:
    fields = {n: plain_number(slot[n]) if n in _NUMBERS else slot[n] for n in SLOT_HEADERS}
    return F.struct(*[value.alias(name) for name, value in fields.items()])


def _nested_line(profile: Profile, k: int) -> Column:
    return _object(profile)


def _payload_line(profile: Profile, k: int) -> Column:
    outer = [F.col("user_id").alias("ID"), utc_text(F.col("updated_at")).alias("UPDATED_AT")]
    payload = _object(profile, without=("ID", "UPDATED_AT")).alias("PAYLOAD")
    return F.to_json(F.struct(*outer, payload), _KEEP_NULLS)
