"""All settings of a run: typed, validated, all errors at once.

Types, ranges and descriptions are here and in the modules beside, the values in `conf/base.yaml`: a
default has one place.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from ncf_spark.config.campaign import Campaign, SuppressionList, problems_of_campaign
from ncf_spark.config.candidates import problems_of_candidates
from ncf_spark.config.evaluation import Evaluation
from ncf_spark.config.learning import Model, Sampling, Training
from ncf_spark.config.measuring import Measurement, Outcomes
from ncf_spark.config.monitoring import Logging, Monitoring
from ncf_spark.config.problems import describe
from ncf_spark.config.publishing import Gates, Storage
from ncf_spark.config.sections import Count, NonNegative, Positive, Section, Share, Text
from ncf_spark.config.tables import (
    Catalogue,
    Input,
    ProvidedHoldout,
    Recipients,
    SendLog,
    Source,
)


class Run(Section):
    """The night."""

    date: date | None
    """Date of the night (YYYY-MM-DD). `--run-date` overrides it. `null`: today, in UTC."""
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    """Seed of the initial weights, of the negatives and of every other random choice."""


class Activity(Section):
    """How active an item is, from 0 (the least active) to 1."""

    features: dict[str, Positive]
    """Columns of the catalogue with their weights, for example `{followers: 1.0, posts_last_month:
    1.0}`. Values are log-scaled; a missing value counts as 0. `{}`: activity follows from users and
    events.
    """
    half_life_days: Positive
    """Without features: the age at which an event counts half."""
    new_item_days: Annotated[int, Field(ge=0)]
    """Items first seen within so many days are not drawn as inactive negatives."""


class Split(Section):
    """How interactions are divided into train, validation and holdout."""

    method: Literal["leave_one_out", "temporal", "provided"]
    """`leave_one_out`: each user's last event is held out. `temporal`: the last days are.
    `provided`: the test set of `split.holdout`.
    """
    holdout_days: Count
    """For `temporal`: pairs first seen in the last so many days are held out."""
    validation: bool
    """Keep the last train pair of each user with two or more pairs out of train, to choose the best
    epoch by it. Without times, a hash chooses the pair.
    """
    holdout: ProvidedHoldout


class Scoring(Section):
    """How many items are kept for each user and each item."""

    k: Count
    """Recommendations kept for each user."""
    similar_k: Count
    """Similar items kept for each item, both by vectors and by common buyers."""
    similar_shrinkage: NonNegative
    """For common buyers: added to the product of the norms, so that pairs with few buyers count
    less.
    """
    block_bytes: Annotated[int, Field(ge=2**16)]
    """Size in bytes of the largest intermediate result when a block of users is scored on a CPU.
    The size of a core's second-level cache is a good value.
    """


class Generate(Section):
    """Events made by `jobs/generate_events.py`, for trials and tests."""

    path: Text
    """Folder to write: events, items and recipients."""
    num_users: Count
    """Users. Few are busy, most have few events, some may have none."""
    num_items: Count
    """Items, at least `num_categories`."""
    num_events: Annotated[int, Field(ge=1, le=10_000_000_000)]
    """Events, before `messy_share` adds duplicates."""
    num_categories: Count
    """Categories. Each user prefers three of them."""
    days: Count
    """The events cover so many days, up to the end of the run date."""
    partitions: Count
    """Files of events, written in parallel."""
    messy_share: Share
    """Share of rows with errors: duplicates, nulls, unknown types, unreadable times."""

    @model_validator(mode="after")
    def _items_in_categories(self) -> Generate:
        if self.num_items < self.num_categories:
            raise ValueError(
                f"num_items is {self.num_items} but num_categories is {self.num_categories}; "
                "each category needs an item"
            )
        return self


class Config(Section):
    """Every setting of a run, with its meaning and unit.

    Another file, in any folder, overrides some of the settings, and `--set section.key=value` (any
    number of times) overrides both. `base.yaml` is taken from the folder of that file, else from
    `conf/`. Texts may name environment variables: `${NAME}`, or `${NAME:-default}`; secrets belong
    there. A path without a scheme is on the local file system, relative to the working directory;
    on a cluster write `hdfs://…` or `s3a://…`.
    """

    run: Run
    storage: Storage
    logging: Logging
    monitoring: Monitoring
    input: Input
    catalogue: Catalogue
    recipients: Recipients
    suppressions: dict[str, SuppressionList]
    """Lists of people who get no mail, each under a name of your choice, for example
    `{unsubscribed: {path: /crm/unsubscribed.csv, columns: {email: Email}}}`. `{}`: everyone who
    consents may get mail.

    A list has `format: csv` and `options: {header: true}` unless it says otherwise. Ids and
    addresses are compared in one form: Unicode NFKC, lower case, without white space and invisible
    characters; addresses also without `mailto:`, names, quotes and punctuation around them, and
    with domains in Unicode and in punycode treated alike. Every address of a user with several rows
    counts, and whoever shares an address with a user on a list gets no mail there either. A list is
    refused if a row holds no address, or two.
    """
    send_log: SendLog
    activity: Activity
    split: Split
    sampling: Sampling
    model: Model
    training: Training
    evaluation: Evaluation
    scoring: Scoring
    campaign: Campaign
    outcomes: Outcomes
    measurement: Measurement
    gates: Gates
    generate: Generate

    @property
    def models(self) -> dict[str, Config]:
        """The settings of every trained model, by its name; the first is the night's own.

        Raises:
            ValueError: with a line for each setting of evaluation.compared that is wrong.
        """
        found: dict[str, Config] = {self.model.kind: self}
        problems = []
        for name, overrides in self.evaluation.compared.items():
            try:
                found[name] = _overridden(self, name, overrides)
            except ValueError as error:
                problems += str(error).splitlines()
        if problems:
            raise ValueError("\n".join(problems))
        return found

    @property
    def sources(self) -> dict[str, Source]:
        """The customer's tables that are configured, by the section that names each."""
        named: dict[str, Source] = {
            "input": self.input,
            "catalogue": self.catalogue,
            "recipients": self.recipients,
            "send_log": self.send_log,
            "split.holdout": self.split.holdout,
            "outcomes": self.outcomes,
        }
        named |= {f"suppressions.{name}": one for name, one in self.suppressions.items()}
        return {name: source for name, source in named.items() if source.configured}

    @model_validator(mode="after")
    def _sections_agree(self) -> Config:
        problems = []
        if self.campaign.k > self.scoring.k:
            problems.append(
                f"campaign.k is {self.campaign.k} but scoring.k is {self.scoring.k}; "
                "raise scoring.k (a campaign shows scored items only)"
            )
        if self.training.patience is not None and not self.split.validation:
            problems.append("training.patience needs validation items; set split.validation: true")
        if self.training.warm_epochs is not None and self.split.method == "provided":
            problems.append(
                "training.warm_epochs cannot be used with split.method provided: a model that "
                "starts from earlier weights may have seen the test pairs; set it to null"
            )
        if self.split.method == "provided":
            if not self.split.holdout.configured:
                problems.append("split.method is provided; set split.holdout.path")
        elif self.input.columns.time is None:
            problems.append(
                f"split.method is {self.split.method}; set input.columns.time "
                "(or provide a test set: split.method provided)"
            )
        if self.gates.of_popularity is not None and "popularity" not in self.evaluation.baselines:
            problems.append(
                "gates.of_popularity compares with popularity; add it to evaluation.baselines, or "
                "set gates.of_popularity: null"
            )
        if self.activity.features and not self.catalogue.configured:
            problems.append(
                "activity.features needs the item features; set catalogue.path "
                "(or activity.features: null, to score activity by counts)"
            )
        problems += problems_of_candidates(self.model, self.evaluation)
        problems += problems_of_campaign(self)
        # What is wrong with the night's own model is reported once, not for each compared model.
        own = tuple(problems)
        problems += [line for line in self._problems_of_compared() if not line.endswith(own)]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _problems_of_compared(self) -> list[str]:
        problems = []
        if self.model.kind in self.evaluation.compared:
            problems.append(
                f"evaluation.compared: {self.model.kind} is the name of the night's own model; "
                "choose another name"
            )
        try:
            _ = self.models
        except ValueError as error:
            problems += str(error).splitlines()
        return problems


# The settings that may differ between models; all others belong to the run.
_OF_A_MODEL = ("model.", "sampling.", "training.", "run.seed")
_OF_THE_CHOICE = ("model.candidates", "model.selection")
_OF_THE_WORKERS = (
    *("num_workers", "num_shards", "device", "threads_per_worker", "worker_memory_bytes"),
    *("pin_workers", "start_timeout_s", "network_interfaces", "max_restarts"),
    *("warm_epochs", "full_retrain_every_days"),
)


def _overridden(config: Config, name: str, overrides: Mapping[str, Any]) -> Config:
    """The settings of a compared model, which has no compared models itself."""
    prefix = f"evaluation.compared.{name}"
    content = config.model_dump()
    content["evaluation"]["compared"] = {}
    content["model"]["candidates"] = []
    problems = []
    for key, value in overrides.items():
        *sections, last = key.split(".")
        section: Any = content
        for part in sections:
            section = section.get(part) if isinstance(section, dict) else None
        if "." not in key and isinstance(value, Mapping):
            problems.append(f"{key}: write each setting with its full name, such as model.kind: mf")
        elif (
            not key.startswith(_OF_A_MODEL)
            or key.startswith(_OF_THE_CHOICE)
            or last in _OF_THE_WORKERS
        ):
            problems.append(
                f"{key} cannot differ between models; "
                "a compared model may set model, sampling, training and run.seed"
            )
        elif not isinstance(section, dict) or last not in section:
            problems.append(f"{key}: unknown setting. conf/base.yaml lists all settings.")
        else:
            section[last] = value
    try:
        overridden = Config.model_validate(content)
    except ValidationError as error:
        problems += [line for problem in error.errors() for line in describe(problem)]
    if problems:
        raise ValueError("\n".join(f"{prefix}: {problem}" for problem in problems))
    return overridden
