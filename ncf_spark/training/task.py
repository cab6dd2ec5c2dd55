"""The description of a training that every worker receives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ncf_spark.config import Config
from ncf_spark.evaluation.metrics import main_cut_off
from ncf_spark.model.recommender import Architecture
from ncf_spark.training.loop import LoopSettings

# Paths, and settings that do not change the outcome.
_NOT_IN_IDENTITY = (
    *("train_uri", "validation_uri", "activity_uri", "model_uri", "checkpoints_uri"),
    *("checkpoint_epochs", "checkpoint_minutes", "resident_bytes"),
)


@dataclass(frozen=True)
class Start:
    """The stored model that training starts from, of the same architecture.

    Args:
        run: its run.
        num_users, num_shards: of its tables.
    """

    run: str
    model_uri: str
    num_users: int
    num_shards: int


@dataclass(frozen=True)
class TrainingTask:
    """What every worker receives: paths and plain values, no data.

    Args:
        checkpoints_uri: of the checkpoints, from which training resumes.
        tables: when each step that wrote the tables was finished.
        start: None: training starts from random weights.
        validation_uri: None: no items were kept back, and the last epoch counts.
        mixture: weight of each distribution of negatives, by its column in `item_activity`.
        pretraining: how GMF and MLP are trained before they are joined; empty: they are not.
        alpha: GMF's share in the joined output layer.
        max_retries: None: a positive may be drawn as a negative.
        resident_bytes: None: the positives are held in memory, however many.
    """

    train_uri: str
    validation_uri: str | None
    activity_uri: str
    model_uri: str
    checkpoints_uri: str
    tables: Mapping[str, str]
    start: Start | None
    num_users: int
    num_shards: int
    architecture: Architecture
    loop: LoopSettings
    pretraining: Mapping[str, LoopSettings]
    alpha: float
    patience: int | None
    evaluate_every: int
    checkpoint_epochs: int | None
    checkpoint_minutes: float | None
    mixture: Mapping[str, float]
    max_retries: int | None
    redraw: bool
    resident_bytes: int | None
    ks: tuple[int, ...]

    @property
    def choose_by(self) -> str:
        """The metric that epochs are chosen by."""
        return f"ndcg@{main_cut_off(self.ks)}"

    @property
    def phases(self) -> dict[str, int]:
        """Epochs of each phase, at most."""
        halves = {kind: settings.epochs for kind, settings in self.pretraining.items()}
        return {**halves, self.architecture.kind: self.loop.epochs}

    @property
    def identity(self) -> dict[str, Any]:
        """What identifies a training: `{"loop.seed": 1, …}`, flat, as JSON has it."""
        content = {k: v for k, v in asdict(self).items() if k not in _NOT_IN_IDENTITY}
        content["start"] = None if self.start is None else self.start.run
        return dict(_flat({**content, "validation": self.validation_uri is not None}))

    @classmethod
    def of(
        cls, config: Config, paths: Mapping[str, Any], *, num_users: int, num_items: int
    ) -> TrainingTask:
        """From the configuration, the paths of the tables and the sizes of the indexes.

        With a start there is no pretraining, and `training.warm_epochs` are the epochs.
        """
        training, sampling = config.training, config.sampling
        loop = LoopSettings.of(config)
        halves = training.pretraining.halves if config.model.kind == "neumf" else {}
        start = None if paths["start"] is None else Start(**paths["start"])
        if start is not None:
            assert training.warm_epochs is not None
            loop, halves = replace(loop, epochs=training.warm_epochs), {}
        return cls(
            **{**paths, "start": start},
            num_users=num_users,
            num_shards=training.num_shards,
            architecture=Architecture.of(config.model, num_items),
            loop=loop,
            pretraining={
                kind: replace(loop, optimiser="adam", **half.model_dump())
                for kind, half in halves.items()
            },
            alpha=training.pretraining.alpha,
            patience=training.patience,
            evaluate_every=training.evaluate_every,
            checkpoint_epochs=training.checkpoint_every.epochs,
            checkpoint_minutes=training.checkpoint_every.minutes,
            mixture=sampling.mixture,
            max_retries=sampling.max_retries if sampling.reject_positives else None,
            redraw=sampling.redraw,
            resident_bytes=training.resident_bytes,
            ks=tuple(config.evaluation.ks),
        )


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, list(value) if isinstance(value, tuple) else value
