"""Defines the profiles: the format of the files that each marketing tool loads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True)
class Profile:
    """The format of a tool's files.

    Args:
        name: as in the configuration.
        suffix: of the files, without a dot.
        layout: of the slots. flat: a CSV column for each slot and field; arrays: a CSV column for
            each field, with a JSON array; payload: Braze's JSON lines, the attributes as a JSON
            text; nested: an array of objects.
        key: the column of the lists that identifies the recipient; it comes first.
        columns: header → column, of the lists or of the values that all rows share.
        max_bytes: of a file; None: no limit.
        max_text_bytes: longer texts are truncated, except NOT_TRUNCATED; None: no limit.
    """

    name: str
    suffix: Literal["csv", "jsonl", "parquet"]
    layout: Literal["flat", "arrays", "payload", "nested"]
    key: Literal["user_id", "email"]
    columns: Mapping[str, str]
    max_bytes: int | None
    max_text_bytes: int | None = None

    @property
    def line_end(self) -> str:
        """CRLF in CSV (RFC 4180), a line feed in JSON lines."""
        return "\r\n" if self.suffix == "csv" else "\n"

    @property
    def personal(self) -> tuple[str, ...]:
        """The columns of the lists that identify a person."""
        return tuple(name for name in ("user_id", "email") if name in self.columns.values())


# The same in all rows of an export, except arm and updated_at.
_COMMON = {name: name for name in ("campaign_id", "run_date", "arm", "model_version", "updated_at")}
_ALL = {
    **{name: name for name in ("user_id", "email", "locale", "country", "segment")},
    **_COMMON,
}

# Field of a slot → its column in the flat layout (before _1 … _k), and in the layout arrays.
SLOT_HEADERS = {
    "item_id": ("item", "item_ids"),
    "title": ("title", "titles"),
    "url": ("url", "urls"),
    "image_url": ("image", "image_urls"),
    "price": ("price", "prices"),
    "score": ("score", "scores"),
    "source": ("source", "sources"),
}

# Truncated, these would identify another person or item.
NOT_TRUNCATED = ("user_id", "email", "item_id", "url", "image_url")

_PROFILES = (
    # Klaviyo refuses files above 50 MB; it does not document whether a megabyte is 2^20 bytes.
    Profile("klaviyo", "csv", "arrays", "email", {"Email": "email", **_COMMON}, 50_000_000),
    Profile(
        "braze_csv", "csv", "flat", "user_id", {"external_id": "user_id", **_COMMON}, 500_000_000
    ),
    Profile(
        "braze_json",
        "jsonl",
        "payload",
        "user_id",
        {"ID": "user_id", "UPDATED_AT": "updated_at", **_COMMON},
        500_000_000,
    ),
    # No limit of a file is documented; a field of an audience has at most 255 bytes.
    Profile(
        "mailchimp",
        "csv",
        "flat",
        "email",
        {"Email Address": "email", **_COMMON},
        100_000_000,
        max_text_bytes=255,
    ),
    Profile("generic_csv", "csv", "flat", "user_id", _ALL, None),
    Profile("generic_jsonl", "jsonl", "nested", "user_id", _ALL, None),
    Profile("generic_parquet", "parquet", "nested", "user_id", _ALL, None),
)

PROFILES: Mapping[str, Profile] = MappingProxyType({p.name: p for p in _PROFILES})


def columns(profile: Profile, k: int) -> list[str]:
    """The columns of a file, in order; of JSON lines the keys of an object."""
    head = list(profile.columns)
    if profile.layout == "flat":
        return head + [f"{s}_{rank}" for rank in range(1, k + 1) for s, _ in SLOT_HEADERS.values()]
    if profile.layout == "arrays":
        return head + [plural for _, plural in SLOT_HEADERS.values()]
    return ["ID", "UPDATED_AT", "PAYLOAD"] if profile.layout == "payload" else [*head, "slots"]


def header(profile: Profile, k: int) -> str | None:
    """The first line of each file, without its line end; None: not CSV."""
    return ",".join(columns(profile, k)) if profile.suffix == "csv" else None
