"""How models are built, trained and judged."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ncf_spark.config.sections import Count, NonNegative, Positive, Section, Share, Text

Dropout = Annotated[float, Field(ge=0, lt=1)]


class Selection(Section):
    """The figure by which the champion is chosen."""

    protocol: Annotated[str, Field(pattern=r"^(full|sampled_[1-9][0-9]*)$")]
    metric: Literal["hr", "ndcg", "recall", "mrr", "map"]
    k: Count


class Model(Section):
    """What is trained, and what of it is published."""

    kind: Literal["mf", "gmf", "mlp", "neumf"]
    factors: Count
    gmf_output: Literal["learned", "ones"]
    tower: Annotated[list[Count], Field(min_length=2)]
    activation: Literal["relu", "leaky_relu"]
    dropout: Annotated[list[Dropout], Field(min_length=1)]
    similarity: Literal["dot", "cosine"]
    temperature: Positive
    non_negative: bool
    embedding_init: Literal["normal", "glorot_uniform"]
    output_init: Literal["normal", "lecun_uniform"]
    candidates: list[Text]
    selection: Selection

    @property
    def layer_dropout(self) -> list[float]:
        """The share of each layer of the tower."""
        return self.dropout * (len(self.tower) - 1) if len(self.dropout) == 1 else self.dropout

    @model_validator(mode="after")
    def _fits_together(self) -> Model:
        problems = []
        if self.tower[0] % 2:
            problems.append(
                f"tower starts with {self.tower[0]}, which must be even: "
                "it is the width of a user embedding beside an item embedding"
            )
        if len(self.layer_dropout) != len(self.tower) - 1:
            problems.append(
                f"dropout has {len(self.layer_dropout)} shares, but tower has "
                f"{len(self.tower) - 1} layers after its input; "
                "give one share for all, or one a layer"
            )
        if self.non_negative and self.kind not in ("mf", "gmf"):
            problems.append(f"non_negative needs kind mf or gmf, not {self.kind}")
        if self.similarity == "cosine" and self.kind != "mf":
            problems.append(f"similarity cosine needs kind mf, not {self.kind}")
        if problems:
            raise ValueError("\n".join(problems))
        return self


class Sampling(Section):
    """Which items serve as negatives (weights of the mixture; they are normalised)."""

    num_negatives: Annotated[int, Field(ge=1, le=100)]
    low_activity: NonNegative
    low_activity_by_counts: NonNegative
    uniform: NonNegative
    popularity: NonNegative
    redraw: bool
    reject_positives: bool
    max_retries: Count

    @property
    def mixture(self) -> dict[str, float]:
        """The weight of each distribution, by its name in `item_activity`; they sum to 1."""
        names = ("low_activity", "low_activity_by_counts", "uniform", "popularity")
        total = sum(getattr(self, name) for name in names)
        return {name: getattr(self, name) / total for name in names}

    @model_validator(mode="after")
    def _some_weight(self) -> Sampling:
        weights = (self.low_activity, self.low_activity_by_counts, self.uniform, self.popularity)
        if sum(weights) <= 0:
            raise ValueError(
                "low_activity, low_activity_by_counts, uniform and popularity are all 0; "
                "raise one of them"
            )
        return self


class Half(Section):
    """How one half of NeuMF is pretrained, by Adam."""

    epochs: Annotated[int, Field(ge=0)]
    learning_rate: Positive
    l2: NonNegative


class Pretraining(Section):
    """GMF and MLP trained first, then joined (He et al. 2017, section 3.4.1)."""

    gmf: Half
    mlp: Half
    alpha: Share

    @property
    def halves(self) -> dict[str, Half]:
        """The halves by their kind; empty where there is no pretraining."""
        return {"gmf": self.gmf, "mlp": self.mlp} if self.gmf.epochs else {}

    @model_validator(mode="after")
    def _both_or_none(self) -> Pretraining:
        if bool(self.gmf.epochs) != bool(self.mlp.epochs):
            raise ValueError(
                f"gmf.epochs is {self.gmf.epochs} and mlp.epochs is {self.mlp.epochs}; "
                "pretrain both, or set both to 0"
            )
        return self


class CheckpointEvery(Section):
    """When training leaves a checkpoint: after so many epochs or minutes, whichever comes first."""

    epochs: Count | None
    minutes: Positive | None


class Training(Section):
    """How the model is trained."""

    num_workers: Count
    num_shards: Count
    epochs: Count
    warm_epochs: Count | None
    full_retrain_every_days: Count
    patience: Count | None
    batch_size: Count
    loss: Literal["bce", "squared", "softmax"]
    optimiser: Literal["adam", "lazy_adam", "sgd"]
    learning_rate: Positive
    warmup_epochs: NonNegative
    decay: Literal["none", "linear", "cosine"]
    l2: NonNegative
    l2_kernels: NonNegative
    l2_output: NonNegative
    user_balance: Share
    precision: Literal["float32", "tf32", "bfloat16"]
    exchange: Literal["float32", "float16"]
    pretraining: Pretraining
    evaluate_every: Count
    checkpoint_every: CheckpointEvery
    max_restarts: Annotated[int, Field(ge=0)]
    device: Literal["auto", "cpu", "cuda"]
    threads_per_worker: Count | None
    pin_workers: bool
    resident_bytes: Count | None
    worker_memory_bytes: Count | None
    start_timeout_s: Count
    network_interfaces: list[Text]

    @property
    def of_workers(self) -> dict[str, Any]:
        """How the workers are started: the same for every model of a run."""
        names = (
            *("num_workers", "device", "threads_per_worker", "pin_workers", "start_timeout_s"),
            "max_restarts",
        )
        return self.model_dump(include={*names, "network_interfaces"})

    @model_validator(mode="after")
    def _enough_shards(self) -> Training:
        if self.num_shards < self.num_workers:
            raise ValueError(
                f"num_workers is {self.num_workers} but num_shards is {self.num_shards}; "
                "raise num_shards (it must be at least the number of workers)"
            )
        return self


class ItemItem(Section):
    """Item-item similarity, the baseline."""

    neighbours: Count
    shrinkage: NonNegative


class Als(Section):
    """Spark's ALS with implicit preferences, the baseline."""

    ranks: Annotated[list[Count], Field(min_length=1)]
    reg_param: NonNegative
    alpha: NonNegative
    iterations: Count

    @property
    def models(self) -> dict[str, dict[str, Any]]:
        """The settings of each model, by its name: als, or als_<rank> where there are several."""
        others = self.model_dump(exclude={"ranks"})
        if len(self.ranks) == 1:
            return {"als": {**others, "rank": self.ranks[0]}}
        return {f"als_{rank}": {**others, "rank": rank} for rank in self.ranks}


# How last night's model is called among tonight's.
LAST_NIGHT = "last_night"

# Below this the 2.5th and 97.5th percentiles are hardly more than the least and the greatest.
_LEAST_SAMPLES = 50

# Of a compared model: the name of a folder too.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


class Evaluation(Section):
    """How models are judged, and what they are compared with."""

    ks: Annotated[list[Count], Field(min_length=1)]
    num_negatives: Count
    bootstrap_samples: Annotated[int, Field(ge=0)]
    segment_bounds: Annotated[list[Count], Field(min_length=2, max_length=2)]
    baselines: list[Literal["popularity", "item_item", "als"]]
    item_item: ItemItem
    als: Als
    compared: dict[str, dict[str, Any]]
    judge_last_night: bool

    @property
    def baseline_models(self) -> dict[str, str]:
        """The baseline of each model that is compared with, by the model's name: als_8 → als."""
        found: dict[str, str] = {}
        for baseline in self.baselines:
            names = self.als.models if baseline == "als" else [baseline]
            found |= dict.fromkeys(names, baseline)
        return found

    @model_validator(mode="after")
    def _fits_together(self) -> Evaluation:
        low, high = self.segment_bounds
        if low >= high:
            raise ValueError(f"segment_bounds is {self.segment_bounds}; the first must be less")
        if 0 < self.bootstrap_samples < _LEAST_SAMPLES:
            raise ValueError(
                f"bootstrap_samples is {self.bootstrap_samples}; set at least {_LEAST_SAMPLES}, as "
                "fewer give no 95 % interval, or 0 for no intervals"
            )
        baselines = {"popularity", "item_item", "als", *self.als.models, LAST_NIGHT}
        taken = baselines & set(self.compared)
        if taken:
            raise ValueError(
                f"compared: {sorted(taken)} are names of baselines, or of last night's model; "
                "choose others"
            )
        odd = [name for name in self.compared if not _NAME.fullmatch(name)]
        if odd:
            raise ValueError(
                f"compared: {odd} cannot be names of models, which are names of folders; take "
                "up to 100 letters, digits, '.', '_' and '-', beginning with a letter or digit"
            )
        return self
