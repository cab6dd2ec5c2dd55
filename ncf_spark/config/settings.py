"""Every setting as a typed, validated model.

Types and ranges stand here, values and explanations in `conf/base.yaml`: a default has one place.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Count = Annotated[int, Field(ge=1)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Text = Annotated[str, Field(min_length=1)]


def _option_text(value: object) -> object:
    """`header: true` and `maxColumns: 9` as the texts that Spark takes."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else value


OptionText = Annotated[str, BeforeValidator(_option_text)]


class Section(BaseModel):
    """A group of settings: unknown keys and values of another type are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Run(Section):
    """Which night this is."""

    date: date | None
    seed: Annotated[int, Field(ge=0, lt=2**31)]


class Storage(Section):
    """Where everything is written."""

    warehouse: Text


class Logging(Section):
    """How much is said."""

    level: Literal["DEBUG", "INFO", "WARNING"]


class Source(Section):
    """A table of the customer's: a path with a format, or a catalog table."""

    path: Text | None
    table: Text | None
    format: Text
    options: dict[str, OptionText]
    ddl: Text | None
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
    updated_at: Text | None


class Catalogue(Source):
    """Item metadata and side features."""

    columns: CatalogueColumns


class RecipientColumns(Section):
    """Names of the columns of the recipients."""

    user: Text
    email: Text | None
    country: Text | None
    consent: Text


class Recipients(Source):
    """Who may receive a campaign."""

    columns: RecipientColumns


class Activity(Section):
    """How active an item is."""

    features: dict[str, Positive]
    half_life_days: Positive
    new_item_days: Annotated[int, Field(ge=0)]


class HoldoutColumns(Section):
    """Names of the columns of a provided test set."""

    user: Text
    item: Text
    negatives: Text | None


class ProvidedHoldout(Source):
    """A test set from a file."""

    columns: HoldoutColumns


class Split(Section):
    """How interactions are divided into train and holdout."""

    method: Literal["leave_one_out", "temporal", "provided"]
    holdout_days: Count
    holdout: ProvidedHoldout


class Model(Section):
    """What is trained."""

    kind: Literal["gmf", "mlp", "neumf"]
    factors: Count
    tower: Annotated[list[Count], Field(min_length=2)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    embedding_init: Literal["normal", "glorot_uniform"]

    @model_validator(mode="after")
    def _even_input(self) -> Model:
        if self.tower[0] % 2:
            raise ValueError(
                f"tower starts with {self.tower[0]}, which must be even: "
                "it is the width of a user embedding beside an item embedding"
            )
        return self


class Sampling(Section):
    """Which items serve as negatives (weights of the mixture; they are normalised)."""

    num_negatives: Annotated[int, Field(ge=1, le=100)]
    low_activity: NonNegative
    uniform: NonNegative
    popularity: NonNegative
    max_retries: Count

    @model_validator(mode="after")
    def _some_weight(self) -> Sampling:
        if self.low_activity + self.uniform + self.popularity <= 0:
            raise ValueError("low_activity, uniform and popularity are all 0; raise one of them")
        return self


class Training(Section):
    """How the model is trained."""

    num_workers: Count
    num_shards: Count
    epochs: Count
    batch_size: Count
    learning_rate: Positive
    l2: NonNegative
    evaluate_every: Annotated[int, Field(ge=0)]
    device: Literal["auto", "cpu", "cuda"]
    threads_per_worker: Count | None
    worker_memory_bytes: Count | None
    start_timeout_s: Count
    network_interfaces: list[Text]

    @model_validator(mode="after")
    def _enough_shards(self) -> Training:
        if self.num_shards < self.num_workers:
            raise ValueError(
                f"num_workers is {self.num_workers} but num_shards is {self.num_shards}; "
                "raise num_shards (it must be at least the number of workers)"
            )
        return self


class Evaluation(Section):
    """How the model is judged."""

    ks: Annotated[list[Count], Field(min_length=1)]
    num_negatives: Count


class Scoring(Section):
    """How many items are kept for each user and each item."""

    k: Count
    similar_k: Count
    block_bytes: Annotated[int, Field(ge=2**16)]


class Campaign(Section):
    """What is exported."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
    k: Count
    min_items: Count

    @model_validator(mode="after")
    def _reachable(self) -> Campaign:
        if self.min_items > self.k:
            raise ValueError(f"min_items is {self.min_items} but k is only {self.k}")
        return self


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
    input: Input
    catalogue: Catalogue
    recipients: Recipients
    activity: Activity
    split: Split
    sampling: Sampling
    model: Model
    training: Training
    evaluation: Evaluation
    scoring: Scoring
    campaign: Campaign
    generate: Generate

    def loop_settings(self) -> dict[str, Any]:
        """What one worker's training loop is told."""
        return {
            "epochs": self.training.epochs,
            "batch_size": self.training.batch_size,
            "num_negatives": self.sampling.num_negatives,
            "learning_rate": self.training.learning_rate,
            "l2": self.training.l2,
            "seed": self.run.seed,
        }

    def task_settings(self) -> dict[str, Any]:
        """What a worker is told beside its loop."""
        return {
            "num_shards": self.training.num_shards,
            "evaluate_every": self.training.evaluate_every,
            "max_retries": self.sampling.max_retries,
            "ks": tuple(self.evaluation.ks),
        }

    def worker_settings(self) -> dict[str, Any]:
        """How the workers are started."""
        names = {
            "num_workers",
            "device",
            "threads_per_worker",
            "start_timeout_s",
            "network_interfaces",
        }
        return self.training.model_dump(include=names)

    @model_validator(mode="after")
    def _sections_agree(self) -> Config:
        problems = []
        if self.campaign.k > self.scoring.k:
            problems.append(
                f"campaign.k is {self.campaign.k} but scoring.k is {self.scoring.k}; "
                "raise scoring.k (a campaign shows what was scored)"
            )
        if self.split.method == "provided":
            if not self.split.holdout.configured:
                problems.append("split.method is provided; set split.holdout.path")
        elif self.input.columns.time is None:
            problems.append(
                f"split.method is {self.split.method}; set input.columns.time "
                "(or provide a test set: split.method provided)"
            )
        if self.activity.features and not self.catalogue.configured:
            problems.append(
                "activity.features needs the item features; set catalogue.path "
                "(or activity.features: null, to score activity by counts)"
            )
        if problems:
            raise ValueError("\n".join(problems))
        return self
