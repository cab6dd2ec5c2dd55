"""All settings of a run: typed, validated, all errors at once.

Types and ranges stand here and in the modules beside, values and explanations in `conf/base.yaml`:
a default has one place.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from ncf_spark.config.campaign import Campaign, SuppressionList, problems_of_campaign
from ncf_spark.config.candidates import problems_of_candidates
from ncf_spark.config.learning import Evaluation, Model, Sampling, Training
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
    """Which night this is."""

    date: date | None
    seed: Annotated[int, Field(ge=0, lt=2**31)]


class Activity(Section):
    """How active an item is."""

    features: dict[str, Positive]
    half_life_days: Positive
    new_item_days: Annotated[int, Field(ge=0)]


class Split(Section):
    """How interactions are divided into train and holdout."""

    method: Literal["leave_one_out", "temporal", "provided"]
    holdout_days: Count
    validation: bool
    holdout: ProvidedHoldout


class Scoring(Section):
    """How many items are kept for each user and each item."""

    k: Count
    similar_k: Count
    similar_shrinkage: NonNegative
    block_bytes: Annotated[int, Field(ge=2**16)]


class Generate(Section):
    """Size and nature of generated events."""

    path: Text
    num_users: Count
    num_items: Count
    num_events: Annotated[int, Field(ge=1, le=10_000_000_000)]
    num_categories: Count
    days: Count
    partitions: Count
    messy_share: Share

    @model_validator(mode="after")
    def _items_in_categories(self) -> Generate:
        if self.num_items < self.num_categories:
            raise ValueError(
                f"num_items is {self.num_items} but num_categories is {self.num_categories}; "
                "each category needs an item"
            )
        return self


class Config(Section):
    """All settings of one run; `conf/base.yaml` explains each."""

    run: Run
    storage: Storage
    logging: Logging
    monitoring: Monitoring
    input: Input
    catalogue: Catalogue
    recipients: Recipients
    suppressions: dict[str, SuppressionList]
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
        """The settings of every model that is trained, by its name; the first is the night's own.

        Raises:
            ValueError: when settings of evaluation.compared are not those of a model, or are wrong;
                with one line for each.
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
                "raise scoring.k (a campaign shows what was scored)"
            )
        if self.training.patience is not None and not self.split.validation:
            problems.append(
                "training.patience needs items to judge epochs by; set split.validation: true"
            )
        if self.training.warm_epochs is not None and self.split.method == "provided":
            problems.append(
                "training.warm_epochs cannot be used with split.method provided: a model that "
                "goes on from an earlier night may know the test pairs; set it to null"
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
        # What is wrong with the night's own model is wrong with those beside it, and is said once.
        own = tuple(problems)
        problems += [line for line in self._problems_of_compared() if not line.endswith(own)]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _problems_of_compared(self) -> list[str]:
        problems = []
        if self.model.kind in self.evaluation.compared:
            problems.append(
                f"evaluation.compared: {self.model.kind} is the name of the model itself; "
                "choose another"
            )
        try:
            _ = self.models
        except ValueError as error:
            problems += str(error).splitlines()
        return problems


# What a compared model may have of its own: everything else belongs to the run.
_OF_A_MODEL = ("model.", "sampling.", "training.", "run.seed")
_OF_THE_CHOICE = ("model.candidates", "model.selection")
_OF_THE_WORKERS = (
    *("num_workers", "num_shards", "device", "threads_per_worker", "worker_memory_bytes"),
    *("pin_workers", "start_timeout_s", "network_interfaces", "max_restarts"),
    *("warm_epochs", "full_retrain_every_days"),
)


def _overridden(config: Config, name: str, overrides: Mapping[str, Any]) -> Config:
    """`config` with the settings of a compared model, which compares nothing itself."""
    place = f"evaluation.compared.{name}"
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
            problems.append(
                f"{key}: write each setting with its whole name, such as model.kind: mf"
            )
        elif (
            not key.startswith(_OF_A_MODEL)
            or key.startswith(_OF_THE_CHOICE)
            or last in _OF_THE_WORKERS
        ):
            problems.append(
                f"{key} cannot differ between models; "
                "a compared model has settings of model, sampling and training, and run.seed"
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
        raise ValueError("\n".join(f"{place}: {problem}" for problem in problems))
    return overridden
