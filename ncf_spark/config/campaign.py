"""Who receives a campaign, what may be recommended, and how slots are filled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ncf_spark.config.sections import Count, NonNegative, Number, Section, Share, Text
from ncf_spark.config.tables import Source


class SuppressionColumns(Section):
    """Names of your columns; at least one of them."""

    user: Text | None = None
    """Id of the user."""
    email: Text | None = None
    """Address."""
    email_sha256: Text | None = None
    """Hexadecimal SHA-256 of the address in lower case."""

    @model_validator(mode="after")
    def _one_of_them(self) -> SuppressionColumns:
        if self.user is None and self.email is None and self.email_sha256 is None:
            raise ValueError("has none of user, email, email_sha256; set at least one")
        return self


# Lists have names of the user's own, so base.yaml cannot hold their defaults.
_DEFAULTS = {
    **dict.fromkeys(("path", "table", "ddl", "where")),
    **{"format": "csv", "options": {}, "derived": {}},
}


class SuppressionList(Source):
    """Users or addresses that get no mail."""

    columns: SuppressionColumns

    @model_validator(mode="before")
    @classmethod
    def _with_defaults(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        found = {**_DEFAULTS, **given}
        options = found["options"]
        if found["format"] == "csv" and isinstance(options, Mapping):
            found["options"] = {"header": "true", **options}
        return found

    @model_validator(mode="after")
    def _somewhere(self) -> SuppressionList:
        if not self.configured:
            raise ValueError("has neither path nor table; set one of them")
        return self


class Arms(Section):
    """Shares of recipients who get something else, for comparison.

    A hash of salt, id and user decides: a user keeps the arm as long as the campaign lives.
    """

    popular: Share
    """Share that gets best-sellers instead."""
    holdout: Share
    """Share that gets nothing, and is listed in `campaign_recipients` for comparison."""
    salt: Text
    """The same for all campaigns. Another salt assigns all users anew."""

    @model_validator(mode="after")
    def _at_most_all(self) -> Arms:
        if self.popular + self.holdout > 1 + 1e-9:  # rounding: 0.9 + 0.1
            raise ValueError(
                f"popular is {self.popular} and holdout is {self.holdout}; together at most 1"
            )
        return self


class Frequency(Section):
    """At most this many mails to a user in this many days."""

    sends: Count
    """A user with this many mails gets none."""
    days: Count
    """Mails of this many days count, up to the end of the run date."""


class ItemRules(Section):
    """Which items may be recommended, in addition to the catalogue's stock, dates and countries.

    Other items are left out before scoring.
    """

    required: list[Literal["title", "url", "image_url", "price"]]
    """Columns of the catalogue that must not be empty."""
    deny: list[Text]
    """Item ids that are never shown."""
    min_price: NonNegative | None
    """Items that cost less, or have no price, are not shown. `null`: no limit."""
    max_price: NonNegative | None
    """Items that cost more, or have no price, are not shown. `null`: no limit."""
    where: Text | None
    """SQL over `item_id`, `title`, `category`, `brand`, `price`, `url`, `image_url`."""


class PairRules(Section):
    """What is not recommended to a user, by any tier."""

    known: bool
    """Leave out items of which the user has any event."""
    bought: bool
    """Leave out items that the user bought."""
    bought_types: list[Text]
    """Event types that are purchases. `[]`: all events are."""
    bought_days: Count | None
    """Only purchases of this many days, up to the end of the run date. `null`: all."""
    consumable: Text | None
    """SQL over the columns of `items.where`: items that are bought again and again. They may return
    after `consumable_days`.
    """
    consumable_days: Count
    """Days since the user's last event with a consumable item."""
    wanted: bool
    """Leave out items that the user had in a cart or on a wish list."""
    wanted_types: list[Text]
    """Event types that mean a cart or a wish list."""
    sent_days: Count | None
    """Leave out items that were sent to the user within this many days (`send_log`)."""
    max_exposures: Count | None
    """Rows of an export that may show the same item. Those who have it higher in their list keep
    it, then a hash decides. `null`: no limit.
    """


class ListRules(Section):
    """What holds within a recipient's list."""

    max_per_category: Count | None
    """Items of one category; those without a category are not counted. `null`: no limit."""
    max_per_brand: Count | None
    """Items of one brand, in the same way."""
    min_categories: Count
    """Different categories in a list. Items without one count as one category of their own."""
    min_score: Number | None
    """Lowest score of the model's items; other tiers have scores of another kind."""
    pin: Text | None
    """SQL over the columns of `items.where`: shown first, to everyone who may get them."""
    boost: Text | None
    """SQL, a number that is added to the model's score of an item, for example `"case when brand =
    'own' then 0.5 else 0 end"`. It reorders the `scoring.k` best items.
    """


class BestSellers(Section):
    """Whose best-sellers fill slots, and of which time."""

    by: Literal["country", "segment"] | None
    """Best-sellers of the recipient's own `country` or `segment` come before everyone's."""
    days: Count | None
    """By purchases of this many days, up to the end of the run date. `null`: all."""


ProfileName = Literal[
    "klaviyo",
    "braze_csv",
    "braze_json",
    "mailchimp",
    "generic_csv",
    "generic_jsonl",
    "generic_parquet",
]
# Profiles of tools that know people by their address.
BY_EMAIL = ("klaviyo", "mailchimp")


class Files(Section):
    """Files for marketing tools, in `campaign_files/<profile>/` of the run."""

    profiles: list[ProfileName]
    """The tools to write files for."""
    hash_emails: bool
    """Write the SHA-256 of each address (trimmed, lower case) instead of the address."""
    deltas: bool
    """Write only rows that changed since this campaign was last published, and who is to be
    removed. All rows are written the first time, and when `k` or `hash_emails` changed.
    """


class Campaign(Section):
    """Who receives mail, what may be recommended, and how slots are filled."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$")]
    """Letters, digits, dot, dash and underscore."""
    k: Count
    """Recommendations in a row, at most `scoring.k`."""
    min_items: Count
    """Recipients with fewer recommendations get no row."""
    audience: Text | None
    """SQL over `user_id`, `locale`, `country`, `segment`: who gets the campaign, for example
    `"country in ('DE', 'AT') and segment <> 'staff'"`. `null`: everyone.
    """
    frequency: Frequency | None
    """For example `{sends: 2, days: 7}`: users who had 2 mails in the last 7 days get none. `null`:
    no limit.
    """
    arms: Arms
    items: ItemRules
    pairs: PairRules
    lists: ListRules
    tiers: list[Literal["model", "similar", "bestsellers"]]
    """What fills slots, in this order. `model`: the model's list. `similar`: items similar to the
    user's latest purchases, by common buyers, then by vectors. `bestsellers`: best-sellers.
    """
    best_sellers: BestSellers
    files: Files

    @model_validator(mode="after")
    def _reachable(self) -> Campaign:
        problems = []
        if self.min_items > self.k:
            problems.append(f"min_items is {self.min_items} but k is only {self.k}")
        if self.lists.min_categories > self.min_items:
            problems.append(
                f"lists.min_categories is {self.lists.min_categories} but min_items is only "
                f"{self.min_items}; a row of {self.min_items} items cannot show more categories"
            )
        if len(set(self.tiers)) < len(self.tiers) or not self.tiers:
            problems.append(f"tiers is {self.tiers}; list one or more tiers, each once")
        if problems:
            raise ValueError("; ".join(problems))
        return self
