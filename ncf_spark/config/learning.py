"""How models are built and trained."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ncf_spark.config.sections import Count, NonNegative, Positive, Section, Share, Text

Dropout = Annotated[float, Field(ge=0, lt=1)]


class Selection(Section):
    """The metric that chooses the champion."""

    protocol: Annotated[str, Field(pattern=r"^(full|sampled_[1-9][0-9]*)$")]
    """`full`, or `sampled_<evaluation.num_negatives>`."""
    metric: Literal["hr", "ndcg", "recall", "mrr", "map"]
    """The metric."""
    k: Count
    """Cut-off, one of `evaluation.ks`."""


class Model(Section):
    """What is trained, and what of it is published."""

    kind: Literal["mf", "gmf", "mlp", "neumf"]
    """`mf` (dot product and biases), `gmf`, `mlp` or `neumf`."""
    factors: Count
    """Predictive factors: width of the MF or GMF embeddings."""
    gmf_output: Literal["learned", "ones"]
    """Output weights of GMF: `learned`, or `ones`, which makes GMF plain matrix factorisation.

    Learned weights can grow while L2 shrinks the embeddings.
    """
    tower: Annotated[list[Count], Field(min_length=2)]
    """Widths of the MLP: user and item embedding side by side, then each layer."""
    activation: Literal["relu", "leaky_relu"]
    """Activation of the MLP."""
    dropout: Annotated[list[Dropout], Field(min_length=1)]
    """Share of the MLP's outputs dropped in training: one for all layers, or one per layer."""
    similarity: Literal["dot", "cosine"]
    """`mf`: how a user and an item are compared."""
    temperature: Positive
    """`mf`: divides the similarity. About 0.1 to 0.2 suits `cosine`."""
    non_negative: bool
    """`mf` and `gmf`: keep factors and output weights at 0 or above.

    Use it with `embedding_init: glorot_uniform` for `gmf`: starting from `normal`, many factors
    stay at 0 for good.
    """
    embedding_init: Literal["normal", "glorot_uniform"]
    """`normal` (standard deviation 0.01, as in the paper) or `glorot_uniform`."""
    output_init: Literal["normal", "lecun_uniform"]
    """Output layer: `lecun_uniform`, or `normal` as in the paper."""
    candidates: list[Text]
    """Models of the night of which the best is published: the kind above, names of
    `evaluation.compared` and `evaluation.baselines`, `als_64` and so on. `[]`: publish the model of
    this section.
    """
    selection: Selection

    @property
    def layer_dropout(self) -> list[float]:
        """The dropout of each layer of the tower."""
        return self.dropout * (len(self.tower) - 1) if len(self.dropout) == 1 else self.dropout

    @model_validator(mode="after")
    def _fits_together(self) -> Model:
        problems = []
        if self.tower[0] % 2:
            problems.append(
                f"tower starts with {self.tower[0]}, which must be even: "
                "it is the width of a user embedding plus an item embedding"
            )
        if len(self.layer_dropout) != len(self.tower) - 1:
            problems.append(
                f"dropout has {len(self.layer_dropout)} shares, but tower has "
                f"{len(self.tower) - 1} layers after its input; "
                "give one share for all layers, or one per layer"
            )
        if self.non_negative and self.kind not in ("mf", "gmf"):
            problems.append(f"non_negative needs kind mf or gmf, not {self.kind}")
        if self.similarity == "cosine" and self.kind != "mf":
            problems.append(f"similarity cosine needs kind mf, not {self.kind}")
        if problems:
            raise ValueError("\n".join(problems))
        return self


class Sampling(Section):
    """Which items serve as negatives: a mixture of distributions.

    The weights are normalised. The defaults were best on MovieLens 1M, with three seeds each
    (`docs/experiments`).
    """

    num_negatives: Annotated[int, Field(ge=1, le=100)]
    """Negatives for each positive."""
    low_activity: NonNegative
    """Weight of draws in proportion to 1 - activity."""
    low_activity_by_counts: NonNegative
    """The same, with the activity by users and events even if `activity.features` is set."""
    uniform: NonNegative
    """Weight of draws with equal probability."""
    popularity: NonNegative
    """Weight of draws in proportion to the number of users."""
    redraw: bool
    """`true`: draw anew in every step. `false`: draw once and keep the negatives in memory."""
    reject_positives: bool
    """Draw again if a negative is one of the user's positives."""
    max_retries: Count
    """A negative is drawn again at most this many times. One that is still a positive then is left
    out of the step and counted.
    """

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
    """Pretraining of one half of NeuMF."""

    epochs: Annotated[int, Field(ge=0)]
    """Passes over the data, at most (`patience` applies). 0 in both halves: no pretraining."""
    learning_rate: Positive
    """Highest learning rate."""
    l2: NonNegative
    """As `training.l2`."""


class Pretraining(Section):
    """`neumf`: train GMF and MLP with Adam first, then join them (He et al. 2017, sec. 3.4.1)."""

    gmf: Half
    """Pretraining of GMF."""
    mlp: Half
    """Pretraining of MLP."""
    alpha: Share
    """Share of GMF in the joined output layer and bias; MLP has the rest."""

    @property
    def halves(self) -> dict[str, Half]:
        """The halves by their kind; empty: no pretraining."""
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
    """A checkpoint is written after the epoch in which either limit is reached.

    If both are `null`, none is written.
    """

    epochs: Count | None
    """Epochs of a phase. `null`: only minutes count."""
    minutes: Positive | None
    """Minutes since the last checkpoint. `null`: only epochs count."""


class Training(Section):
    """How the model is trained."""

    num_workers: Count
    """Horovod workers; each needs a free Spark task slot."""
    num_shards: Count
    """Parts of `train`, by user; at least `num_workers`."""
    epochs: Count
    """Passes over the data, at most."""
    warm_epochs: Count | None
    """Passes over the data, at most, when training starts from the weights of the published run.
    `null`: always start from random weights.

    Only the night's own model starts from earlier weights, only without pretraining, and only while
    section `model` is unchanged. What the earlier model was trained on stays in `train`, also where
    the split would hold it out.
    """
    full_retrain_every_days: Count
    """With `warm_epochs`: start from random weights again after this many days."""
    patience: Count | None
    """Stop after this many evaluations without a better NDCG on the validation items. `null`: train
    all epochs.
    """
    batch_size: Count
    """Positives per worker and step."""
    loss: Literal["bce", "squared", "softmax"]
    """`bce` (binary cross-entropy), `squared`, or `softmax` (sampled soft-max: each positive
    against its own negatives).
    """
    optimiser: Literal["adam", "lazy_adam", "sgd"]
    """`adam`, `lazy_adam` (updates only the rows of the batch) or `sgd`."""
    learning_rate: Positive
    """Highest learning rate."""
    warmup_epochs: NonNegative
    """The learning rate rises from 0 during this many epochs."""
    decay: Literal["none", "linear", "cosine"]
    """Then it stays (`none`), or falls to 0 at the last epoch (`linear`, `cosine`)."""
    l2: NonNegative
    """Weight of the squared embedding rows of the batch."""
    l2_kernels: NonNegative
    """Weight of the squared kernels of the MLP."""
    l2_output: NonNegative
    """Weight of the squared output layer."""
    user_balance: Share
    """A positive weighs the number of its user's positives to the power of minus this. 0: all
    positives weigh the same. 1: all users do, as in the metrics.
    """
    precision: Literal["float32", "tf32", "bfloat16"]
    """Precision of the MLP in training: `float32`, `tf32` (a GPU rounds products to 10 bits) or
    `bfloat16`. Scores are always computed in float32.
    """
    exchange: Literal["float32", "float16"]
    """Precision of the gradients that workers exchange. `float16` sends half the bytes."""
    pretraining: Pretraining
    evaluate_every: Count
    """Epochs between evaluations on the validation items."""
    checkpoint_every: CheckpointEvery
    max_restarts: Annotated[int, Field(ge=0)]
    """After a lost worker, training restarts from the last checkpoint (or from the beginning), at
    most this many times. Permanent failures, such as a loss that is not finite, are not retried.
    """
    device: Literal["auto", "cpu", "cuda"]
    """`auto`: the GPU that Spark assigned, else one by local rank, else the CPU."""
    threads_per_worker: Count | None
    """Threads per worker. `null`: the machine's cores divided among its workers."""
    pin_workers: bool
    """Each of several workers on a machine stays on its own cores. Set it to `false` where other
    programs keep some of them busy.
    """
    resident_bytes: Count | None
    """A worker keeps its positives in memory up to this many bytes (12 per positive; the default
    holds 179 million). More are streamed from the files in every epoch, through a buffer of this
    size. `null`: no limit.

    With `sampling.redraw: false` they cannot be streamed. What rejects positives as negatives takes
    another 16 to 24 bytes per positive in either case (none with `sampling.reject_positives:
    false`).
    """
    worker_memory_bytes: Count | None
    """Memory that a worker may use, in addition to the interpreter with its libraries (about 0.4
    GB). A model that needs more is refused before executors start. `null`: no limit.

    The memory of a GPU is always checked.
    """
    start_timeout_s: Count
    """Seconds that Horovod waits for the workers to start."""
    network_interfaces: list[Text]
    """Network interfaces that workers use. `[]`: Horovod finds them."""

    @property
    def of_workers(self) -> dict[str, Any]:
        """Settings of the workers, which are the same for every model of a run."""
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
