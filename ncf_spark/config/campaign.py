"""What a campaign sends: who receives, what may be recommended, and how slots are filled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from ncf_spark.config.sections import Count, NonNegative, Number, Section, Share, Text
from ncf_spark.config.tables import Source

if TYPE_CHECKING:
    from ncf_spark.config.settings import Config


class SuppressionColumns(Section):
    """Names of the columns of a suppression list; at least one of them."""

    user: Text | None = None
    email: Text | None = None
    email_sha256: Text | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> SuppressionColumns:
        if self.user is None and self.email is None and self.email_sha256 is None:
            raise ValueError("names none of user, email, email_sha256; name at least one")
        return self


# Lists have names of the shop's own, so base.yaml cannot hold these.
_UNLESS_SAID = {
    **dict.fromkeys(("path", "table", "ddl", "where")),
    **{"format": "csv", "options": {}, "derived": {}},
}


class SuppressionList(Source):
    """Users or addresses that are not written to."""

    columns: SuppressionColumns

    @model_validator(mode="before")
    @classmethod
    def _with_defaults(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        found = {**_UNLESS_SAID, **given}
        options = found["options"]
        if found["format"] == "csv" and isinstance(options, Mapping):
            found["options"] = {"header": "true", **options}
        return found

    @model_validator(mode="after")
    def _somewhere(self) -> SuppressionList:
        if not self.configured:
            raise ValueError("has neither path nor table; name one of them")
        return self


class Arms(Section):
    """Shares of the recipients that get something else than the model's recommendations."""

    popular: Share
    holdout: Share
    salt: Text

    @model_validator(mode="after")
    def _at_most_all(self) -> Arms:
        if self.popular + self.holdout > 1 + 1e-9:  # 0.9 + 0.1 may be a little more
            raise ValueError(
                f"popular is {self.popular} and holdout is {self.holdout}; together at most 1"
            )
        return self


class Frequency(Section):
    """At most so many sends to a user in so many days."""

    sends: Count
    days: Count


class ItemRules(Section):
    """Which items may be recommended."""

    required: list[Literal["title", "url", "image_url", "price"]]
    deny: list[Text]
    min_price: NonNegative | None
    max_price: NonNegative | None
    where: Text | None


class PairRules(Section):
    """What is not recommended to a user, though others may get it."""

    known: bool
    bought: bool
    bought_types: list[Text]
    bought_days: Count | None
    consumable: Text | None
    consumable_days: Count
    wanted: bool
    wanted_types: list[Text]
    sent_days: Count | None
    max_exposures: Count | None


class ListRules(Section):
    """What holds within the list of a recipient."""

    max_per_category: Count | None
    max_per_brand: Count | None
    min_categories: Count
    min_score: Number | None
    pin: Text | None
    boost: Text | None


class BestSellers(Section):
    """Whose best-sellers fill slots, and of which time."""

    by: Literal["country", "segment"] | None
    days: Count | None


ProfileName = Literal[
    "klaviyo",
    "braze_csv",
    "braze_json",
    "mailchimp",
    "generic_csv",
    "generic_jsonl",
    "generic_parquet",
]


class Files(Section):
    """The files that marketing tools load."""

    profiles: list[ProfileName]
    hash_emails: bool
    deltas: bool


class Campaign(Section):
    """What is exported."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$")]
    k: Count
    min_items: Count
    audience: Text | None
    frequency: Frequency | None
    arms: Arms
    items: ItemRules
    pairs: PairRules
    lists: ListRules
    tiers: list[Literal["model", "similar", "bestsellers"]]
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
            problems.append(f"tiers is {self.tiers}; name one or more tiers, each once")
        if problems:
            raise ValueError("; ".join(problems))
        return self


def problems_of_campaign(config: Config) -> list[str]:
    """What the rules of the campaign ask of a table or column that is not configured."""
    campaign, recipients = config.campaign, config.recipients
    problems = [
        f"{setting} needs {needed}, which is null"
        for setting, used, needed in _needs(campaign, bool(config.suppressions))
        if used and not _is_there(config, needed)
    ]
    problems += [
        f"campaign.files.profiles: {profile} knows people by their address; set "
        "recipients.columns.email"
        for profile in campaign.files.profiles
        if profile in ("klaviyo", "mailchimp") and not recipients.columns.email
    ]
    if campaign.pairs.wanted and not campaign.pairs.wanted_types:
        problems.append("campaign.pairs.wanted needs campaign.pairs.wanted_types, which is empty")
    if campaign.frequency and not (config.send_log.configured or recipients.columns.last_sent_at):
        problems.append(
            "campaign.frequency needs send_log.path, or recipients.columns.last_sent_at; both are "
            "null"
        )
    by = campaign.best_sellers.by
    if by and not getattr(recipients.columns, by):
        problems.append(
            f"campaign.best_sellers.by is {by}; set recipients.columns.{by}, or "
            "campaign.best_sellers.by: null"
        )
    return problems


def _needs(campaign: Campaign, has_suppressions: bool) -> list[tuple[str, object, str]]:
    """Each setting, whether it is used, and the setting without which it means nothing."""
    pairs, lists = campaign.pairs, campaign.lists
    return [
        ("campaign.pairs.sent_days", pairs.sent_days, "send_log.path"),
        ("campaign.pairs.sent_days", pairs.sent_days, "send_log.columns.item"),
        ("campaign.pairs.bought_types", pairs.bought_types, "input.columns.type"),
        ("campaign.pairs.bought_days", pairs.bought_days, "input.columns.time"),
        ("campaign.pairs.consumable", pairs.consumable, "input.columns.time"),
        ("campaign.best_sellers.days", campaign.best_sellers.days, "input.columns.time"),
        ("campaign.audience", campaign.audience, "recipients.path"),
        ("suppressions", has_suppressions, "recipients.path"),
        ("campaign.lists.max_per_category", lists.max_per_category, "catalogue.columns.category"),
        ("campaign.lists.max_per_brand", lists.max_per_brand, "catalogue.columns.brand"),
        *[
            (f"campaign.items.required: {name}", True, f"catalogue.columns.{name}")
            for name in campaign.items.required
        ],
    ]


def _is_there(config: Config, setting: str) -> bool:
    """Whether a column is named, or a table by its path or its name in the catalog."""
    section, *names = setting.split(".")
    source = getattr(config, section)
    if names == ["path"]:
        return bool(source.configured)
    return getattr(source.columns, names[-1]) is not None
