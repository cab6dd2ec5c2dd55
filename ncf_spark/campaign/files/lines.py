"""Recipients with their lists → the rows of a tool's file, as text or as typed columns."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ncf_spark.campaign.files.cells import (
    clean,
    clipped,
    guarded,
    plain_number,
    quoted,
    utc_text,
)
from ncf_spark.campaign.files.profiles import NEVER_CUT, SLOT_HEADERS, Profile, columns
from ncf_spark.campaign.recipients import is_address

_KEEP_NULLS = {"ignoreNullFields": "false"}
_NUMBERS = ("price", "score")
# Not in the hash: they change every night, with the date and with each model that is trained.
_VOLATILE = ("run_date", "updated_at", "model_version")


@dataclass(frozen=True)
class Export:
    """What all rows of an export share.

    Args:
        updated_at: of the rows that are new or changed in this export.
    """

    campaign_id: str
    run_date: date
    model_version: str
    updated_at: datetime


def describe(profile: Profile, export: Export, *, k: int, hash_emails: bool) -> dict[str, Any]:
    """What a manifest says of an export besides its files; nothing of a person."""
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
    """The recipients whom the tool can know: with a user id, or with what is an address."""
    return lists.where(is_address("email") if profile.key == "email" else F.trim("user_id") != "")


def build_lines(
    lists: DataFrame,
    profile: Profile,
    *,
    export: Export,
    k: int,
    last_state: DataFrame | None = None,
    hash_emails: bool = False,
) -> DataFrame:
    """(key, row_hash, updated_at, line), one row a recipient; a line has no end yet.

    Args:
        lists: CAMPAIGN_LISTS, each key once; the export fails on a recipient without a key.
        k: slots of a CSV line; the cells of slots that a list lacks are empty.
        last_state: CAMPAIGN_STATE of the last export; None: every row is new.
        hash_emails: whether SHA-256 stands for each address, in hexadecimal, of the trimmed
            lower-case address.
    """
    rows = _with_state(lists, profile, export, last_state, hash_emails)
    texts = rows.withColumns(
        {
            "run_date": F.col("run_date").cast("string"),
            "slots": F.slice("slots", 1, k),
        }
    )
    layouts: dict[str, Callable[[Profile, int], Column]] = {
        "flat": _flat_line,
        "arrays": _arrays_line,
        "payload": _payload_line,
        "nested": _nested_line,
    }
    line = layouts[profile.layout](profile, k)
    return texts.select("key", "row_hash", "updated_at", line.alias("line"))


def build_rows(
    lists: DataFrame,
    profile: Profile,
    *,
    export: Export,
    last_state: DataFrame | None = None,
    hash_emails: bool = False,
) -> DataFrame:
    """(key, row_hash, updated_at, row), one row a recipient; `row` has the profile's columns.

    For Parquet; arguments as those of `build_lines`.
    """
    rows = _with_state(lists, profile, export, last_state, hash_emails)
    head = [F.col(name).alias(header) for header, name in profile.columns.items()]
    row = F.struct(*head, F.col("slots"))
    return rows.select("key", "row_hash", "updated_at", row.alias("row"))


def _with_state(
    lists: DataFrame,
    profile: Profile,
    export: Export,
    last_state: DataFrame | None,
    hash_emails: bool,
) -> DataFrame:
    """`lists` with what all rows share, the key, the hash and the time of the last change."""
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
            "needs. Leave such recipients out first, with filter_addressable."
        )
    )
    return F.coalesce(F.col(profile.key), missing.cast("string"))


def _row_hash(profile: Profile) -> Column:
    """Of what a mail shows and who gets it: without dates, the model's version and the scores.

    Scores move with every model that is trained and no mail shows them; what they are for, the
    order of the items, is in the hash.
    """
    # As JSON text: Spark's own hash of a struct passes over nulls, and so takes an address without
    # a title for a title without an address.
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
    safe = guarded(text)
    if profile.max_text_bytes is not None and name not in NEVER_CUT:
        safe = clipped(safe, profile.max_text_bytes)
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


def _object(profile: Profile, left_out: Collection[str] = ()) -> Column:
    """A JSON object of the profile's columns and the slots, an array of objects; nulls written."""
    head = [
        (utc_text(F.col(name)) if name == "updated_at" else F.col(name)).alias(header)
        for header, name in profile.columns.items()
        if header not in left_out
    ]
    slots = F.transform("slots", _slot_of_texts).alias("slots")
    text = F.to_json(F.struct(*head, slots), _KEEP_NULLS)
    # Numbers went in as texts, or they would come out with exponents. A quote within a text has a
    # backslash before it, so this finds the members alone.
    return F.regexp_replace(text, r'"(price|score)":"([^"]*)"', '"$1":$2')


def _slot_of_texts(slot: Column) -> Column:
    fields = {n: plain_number(slot[n]) if n in _NUMBERS else slot[n] for n in SLOT_HEADERS}
    return F.struct(*[value.alias(name) for name, value in fields.items()])


def _nested_line(profile: Profile, k: int) -> Column:
    return _object(profile)


def _payload_line(profile: Profile, k: int) -> Column:
    outer = [F.col("user_id").alias("ID"), utc_text(F.col("updated_at")).alias("UPDATED_AT")]
    payload = _object(profile, left_out=("ID", "UPDATED_AT")).alias("PAYLOAD")
    return F.to_json(F.struct(*outer, payload), _KEEP_NULLS)
