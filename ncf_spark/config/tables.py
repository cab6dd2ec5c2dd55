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
    """A table of yours: a path with a format, or a catalog table."""

    path: Text | None
    """File, folder or glob."""
    table: Text | None
    """A catalog table instead of a path, for example `shop.events`."""
    format: Text
    """A format that Spark reads by name: `csv`, `json`, `parquet`, `delta`, `iceberg` and so on."""
    options: dict[str, OptionText]
    """Reader options of the format, for example `{header: true, sep: ";"}`.

    A list of options replaces the default list as a whole. In a CSV, a quote within quotes is
    doubled unless `escape` says otherwise. MovieLens files are `csv` with `sep: "::"`.
    """
    ddl: Text | None
    """Types of the columns, for example `"user STRING, item STRING, rating DOUBLE"`."""
    derived: dict[str, Text]
    """Further columns in SQL, which `where` and `columns` may name, for example `{user:
    "concat(shop, '-', customer)"}`.
    """
    where: Text | None
    """SQL: which rows count, for example `"quantity > 0 and user is not null"`."""

    @property
    def configured(self) -> bool:
        """Whether the source has a path or a table."""
        return self.path is not None or self.table is not None

    @model_validator(mode="after")
    def _one_place(self) -> Source:
        if self.path is not None and self.table is not None:
            raise ValueError("has both path and table; keep one of them")
        return self


class EventColumns(Section):
    """Names of your columns; `null`: there is no such column."""

    user: Text
    """Id of the user."""
    item: Text
    """Id of the item."""
    time: Text | None
    """Time of the event."""
    type: Text | None
    """Type of the event."""
    value: Text | None
    """A rating, or any other number that `min_value` is compared with."""


class Input(Source):
    """The raw events, one row per event, and how they become interactions."""

    columns: EventColumns
    time_format: Text
    """`timestamp` (ISO 8601 texts or timestamps), `epoch_seconds`, `epoch_millis`, `epoch_micros`,
    `epoch_nanos`, or a Spark pattern: `dd/MM/yyyy HH:mm`, or `yyyyMMdd`, also for numbers such as
    20261001.
    """
    event_weights: dict[str, NonNegative]
    """Weight of each event type. Events of other types are dropped and counted. `{}`: every event
    weighs 1.
    """
    min_value: Number | None
    """Events with a lower value are dropped (for ratings, 4 keeps 4 and 5). `null`: no limit."""
    window_days: Count | None
    """Use only this many days, up to the end of the run date. `null`: use all days."""
    duplicates: Literal["drop", "keep"]
    """`drop`: events with equal user, item, time, type and value count once. `keep`: each counts.
    """
    min_user_items: Count
    """Users with fewer different items are dropped. This and the next rule repeat until both hold.
    """
    min_item_users: Count
    """Items with fewer different users are dropped."""
    max_bad_time_share: Share
    """The run stops if a larger share of times is unreadable; otherwise such events are dropped and
    counted.
    """

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
    """Names of your columns; `null`: there is no such column."""

    item: Text
    """Id of the item."""
    title: Text | None
    """Title."""
    category: Text | None
    """Category."""
    price: Text | None
    """Price, in the shop's currency."""
    url: Text | None
    """Address of the item's page."""
    image_url: Text | None
    """Address of the item's picture."""
    brand: Text | None
    """Brand."""
    in_stock: Text | None
    """Whether the item can be bought: true/false, 1/0, yes/no, the words of shop tools (`in_stock`,
    `preorder`, `out of stock`, `discontinued` …), or a number of pieces. Only items that can be
    bought are recommended.
    """
    active_from: Text | None
    """Time from which the item may be recommended; empty: no limit.

    The end of the run date (midnight UTC) decides, because the mail goes out then.
    """
    active_until: Text | None
    """Time from which the item may no longer be recommended; empty: no limit."""
    countries: Text | None
    """Countries where the item may be recommended: an array, or a text such as "DE, AT"; empty:
    everywhere.
    """
    updated_at: Text | None
    """A time or a number: of several rows of an item the latest counts.

    Without it, the greatest row counts, in the order of title, category, price and so on.
    """


class Catalogue(Source):
    """Item metadata and side features, one row per item."""

    columns: CatalogueColumns
    time_format: Text
    """Of `active_from`, `active_until` and `updated_at`; as `input.time_format`."""


class RecipientColumns(Section):
    """Names of your columns; `null`: there is no such column."""

    user: Text
    """Id of the user, as in the events."""
    email: Text | None
    """Address."""
    locale: Text | None
    """Language, such as `de_AT`."""
    country: Text | None
    """Country."""
    segment: Text | None
    """Segment of the shop."""
    consent: Text
    """Whether the user agreed to mail: true/false, 1/0, yes/no, and the words of Klaviyo, Braze,
    Mailchimp and Shopify (`SUBSCRIBED`, `opted_in`, `cleaned` …). Only a clear yes counts.
    """
    last_sent_at: Text | None
    """Time of the last mail. It counts for `campaign.frequency`, as `send_log` does."""


class ConsentValues(Section):
    """Your own words for consent, for example `{yes: [ja], no: [nein]}`."""

    yes: list[OptionText]
    """Words that mean yes, whatever they mean otherwise. Case, white space, `_` and `-` do not
    count.
    """
    no: list[OptionText]
    """Words that mean no. A no also excludes other users with the same address.

    A word in neither list that is not known either is no consent, and is counted.
    """

    @model_validator(mode="after")
    def _one_meaning(self) -> ConsentValues:
        if both := sorted({*self.yes} & {*self.no}):
            raise ValueError(f"yes and no both contain {both}; keep each word in one of them")
        return self


class Recipients(Source):
    """Who may receive a campaign.

    Without a path or table, every user with recommendations does.
    """

    columns: RecipientColumns
    time_format: Text
    """Of `last_sent_at`; as `input.time_format`."""
    consent_values: ConsentValues
    max_unknown_share: Share
    """Refuse the table if a larger share of its rows has an id that no user of the events has. 1.0
    never refuses: for a newsletter whose readers have mostly not bought yet.
    """


class SendLogColumns(Section):
    """Names of your columns; `null`: there is no such column."""

    user: Text
    """Id of the user."""
    item: Text | None
    """Id of the item in the mail."""
    campaign: Text | None
    """Campaign of the mail. `null`: every mail counts as a campaign of its own, by user and time.
    """
    sent_at: Text
    """Time of the mail."""


class SendLog(Source):
    """What was sent before: one row per mail, or one row per item in a mail."""

    columns: SendLogColumns
    time_format: Text
    """Of `sent_at`; as `input.time_format`."""


class HoldoutColumns(Section):
    """Names of your columns."""

    user: Text
    """Id of the user."""
    item: Text
    """Id of the item."""
    negatives: Text | None
    """An array of item ids to rank the item against. `null`: they are drawn."""


class ProvidedHoldout(Source):
    """For `provided`: a test set from a file."""

    columns: HoldoutColumns
