"""The customer's tables: where they are and what their columns are called."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from ncf_spark.config.sections import (
    Count,
    NonNegative,
    Number,
    OptionText,
    Section,
    Share,
    Text,
)


class Source(Section):
    """A table of the customer's: a path with a format, or a catalog table."""

    path: Text | None
    table: Text | None
    format: Text
    options: dict[str, OptionText]
    ddl: Text | None
    derived: dict[str, Text]
    where: Text | None

    @property
    def configured(self) -> bool:
        """Whether the source names a path or a table at all."""
        return self.path is not None or self.table is not None

    @model_validator(mode="after")
    def _one_place(self) -> Source:
        if self.path is not None and self.table is not None:
            raise ValueError("has both path and table; keep one of them")
        return self


class EventColumns(Section):
    """Names of the columns of the raw events."""

    user: Text
    item: Text
    time: Text | None
    type: Text | None
    value: Text | None


class Input(Source):
    """The raw events and how they become interactions."""

    columns: EventColumns
    time_format: Text
    event_weights: dict[str, NonNegative]
    min_value: Number | None
    window_days: Count | None
    duplicates: Literal["drop", "keep"]
    min_user_items: Count
    min_item_users: Count
    max_bad_time_share: Share

    @model_validator(mode="after")
    def _needs_columns(self) -> Input:
        needs = [
            ("window_days", self.window_days is not None, "time"),
            ("event_weights", bool(self.event_weights), "type"),
            ("min_value", self.min_value is not None, "value"),
        ]
        missing = [
            f"{setting} needs columns.{column}, which is null"
            for setting, used, column in needs
            if used and getattr(self.columns, column) is None
        ]
        if missing:
            raise ValueError("; ".join(missing))
        return self


class CatalogueColumns(Section):
    """Names of the columns of the item catalogue."""

    item: Text
    title: Text | None
    category: Text | None
    price: Text | None
    url: Text | None
    image_url: Text | None
    brand: Text | None
    in_stock: Text | None
    active_from: Text | None
    active_until: Text | None
    countries: Text | None
    updated_at: Text | None


class Catalogue(Source):
    """Item metadata and side features."""

    columns: CatalogueColumns
    time_format: Text


class RecipientColumns(Section):
    """Names of the columns of the recipients."""

    user: Text
    email: Text | None
    locale: Text | None
    country: Text | None
    segment: Text | None
    consent: Text
    last_sent_at: Text | None


class ConsentValues(Section):
    """Words of a shop's own for consent, beside those that are known."""

    yes: list[OptionText]
    no: list[OptionText]

    @model_validator(mode="after")
    def _one_meaning(self) -> ConsentValues:
        if both := sorted({*self.yes} & {*self.no}):
            raise ValueError(f"yes and no both name {both}; keep each in one of them")
        return self


class Recipients(Source):
    """Who may receive a campaign."""

    columns: RecipientColumns
    time_format: Text
    consent_values: ConsentValues
    max_unknown_share: Share


class SendLogColumns(Section):
    """Names of the columns of the log of what was sent."""

    user: Text
    item: Text | None
    campaign: Text | None
    sent_at: Text


class SendLog(Source):
    """What was sent to whom and when: one row a mail, or one an item in it."""

    columns: SendLogColumns
    time_format: Text


class HoldoutColumns(Section):
    """Names of the columns of a provided test set."""

    user: Text
    item: Text
    negatives: Text | None


class ProvidedHoldout(Source):
    """A test set from a file."""

    columns: HoldoutColumns
