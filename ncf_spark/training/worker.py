"""What one worker does from start to end: load, train, judge the epochs, save its part."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ncf_spark.model import store
from ncf_spark.model.deferred import describe, materialise
from ncf_spark.model.recommender import (
    Architecture,
    Recommender,
    initialise_shared,
    initialise_users,
)
from ncf_spark.storage import arrays
from ncf_spark.training.communicator import Communicator
from ncf_spark.training.loader import read_positives
from ncf_spark.training.loop import LoopSettings, Trainer
from ncf_spark.training.progress import write_history
from ncf_spark.training.sampler import FixedNegatives, NegativeSampler, Sampler
from ncf_spark.training.selection import BestEpoch
from ncf_spark.training.shards import UserShards
from ncf_spark.training.task import TrainingTask
from ncf_spark.training.validation import CHOOSE_BY, ValidationItems


def train_worker(
    task: TrainingTask,
    communicator: Communicator,
    device: torch.device,
) -> dict[str, Any]:
    """Trains this worker's part and writes it below `task.model_uri`.

    Returns:
        `history`, the record of each epoch of each phase, and `chosen_epochs` by phase; the same
        on every worker.
    """
    worker = Worker(task, communicator, device)
    halves = [
        worker.fit(worker.build(replace(task.architecture, kind=kind)), kind, settings)
        for kind, settings in task.pretraining.items()
    ]
    model = worker.build(task.architecture)
    if halves:
        gmf, mlp = halves
        model.join(gmf, mlp, task.alpha)
        del gmf, mlp, halves
    model = worker.fit(model, task.architecture.kind, task.loop, judge_first=bool(task.pretraining))
    _save(task.model_uri, model, worker.shards)
    return {"history": worker.history, "chosen_epochs": worker.chosen_epochs}


class Worker:
    """One worker's data, and the phases of training that it went through."""

    def __init__(
        self, task: TrainingTask, communicator: Communicator, device: torch.device
    ) -> None:
        self.task = task
        self.communicator = communicator
        self.device = device
        self.shards = UserShards(
            task.num_users, task.num_shards, communicator.worker_rank, communicator.num_workers
        )
        users, items = read_positives(task.train_uri, [shard for shard, _ in self.shards.owned])
        self.users = torch.from_numpy(self.shards.rows_of(users)).to(device)
        self.items = torch.from_numpy(items.astype(np.int64)).to(device)
        self.validation = (
            None
            if task.validation_uri is None
            else ValidationItems.read(task.validation_uri, self.shards, device)
        )
        # Dropout draws from torch's own generator.
        torch.manual_seed(2**40 + self._seed())
        self.sampler = self._build_sampler()
        self.history: list[dict[str, Any]] = []
        self.chosen_epochs: dict[str, int] = {}

    def _seed(self) -> int:
        return self.task.loop.seed * 1_009 + self.communicator.worker_rank

    def _build_sampler(self) -> Sampler:
        generator = torch.Generator(self.device).manual_seed(self._seed())
        sampler = NegativeSampler(
            _probabilities(self.task).to(self.device),
            self.users,
            self.items,
            self.task.loop.num_negatives,
            self.task.max_retries,
            generator,
        )
        return sampler if self.task.redraw else FixedNegatives(sampler, self.users)

    def build(self, architecture: Architecture) -> Recommender:
        """A model with its first values, on this worker's device."""
        model = describe(lambda: Recommender(architecture, self.shards.num_rows))
        model = materialise(model, self.device)
        seed = self.task.loop.seed
        initialise_shared(model, architecture, seed)
        initialise_users(model, architecture, self.shards.owned, self.task.num_users, seed)
        return model

    def fit(
        self,
        model: Recommender,
        phase: str,
        settings: LoopSettings,
        judge_first: bool = False,
    ) -> Recommender:
        """Trains a model until it stops improving; it ends with the best epoch's parameters.

        Args:
            phase: its name in the history.
            judge_first: whether the model may be best as it comes, before any epoch.

        Raises:
            FloatingPointError: on all workers together, when the loss is not finite.
        """
        trainer = Trainer(model, self.sampler, self.users, self.items, settings, self.communicator)
        best = BestEpoch(model, self.task.patience)
        if self.validation is not None and judge_first:
            judged = self.validation.evaluate(model, self.task.ks, self.communicator)
            best.see(0, judged[CHOOSE_BY])
            self._report({"phase": phase, "epoch": 0, **judged})
        for epoch in range(1, settings.epochs + 1):
            try:
                record = {"phase": phase, **trainer.train_epoch(epoch)}
            except FloatingPointError as error:
                half = f"pretraining.{phase}." if phase in self.task.pretraining else ""
                remedy = f"lower training.{half}learning_rate"
                raise FloatingPointError(f"{phase}: {error}; {remedy}") from None
            if self.validation is not None and self._is_due(epoch, settings.epochs):
                record |= self.validation.evaluate(model, self.task.ks, self.communicator)
                best.see(epoch, record[CHOOSE_BY])
            self._report(record)
            if best.is_over:
                break
        best.restore()
        self.chosen_epochs[phase] = epoch if best.epoch is None else best.epoch
        return model

    def _is_due(self, epoch: int, epochs: int) -> bool:
        return epoch == epochs or epoch % self.task.evaluate_every == 0

    def _report(self, record: dict[str, Any]) -> None:
        self.history.append(record)
        if self.communicator.worker_rank == 0:
            write_history(self.task.model_uri, self.history)


def _probabilities(task: TrainingTask) -> Tensor:
    """(I,) of each item: the mixture; 0 for those without interactions tonight."""
    columns = arrays.read_columns(task.activity_uri, ["item_index", *task.mixture])
    probabilities = torch.zeros(task.architecture.num_items, dtype=torch.float64)
    items = torch.tensor(columns["item_index"], dtype=torch.int64)
    for name, weight in task.mixture.items():
        probabilities[items] += weight * torch.tensor(columns[name])
    return probabilities


def _save(uri: str, model: Recommender, shards: UserShards) -> None:
    vectors = model.user_vectors.detach().cpu().numpy()
    start = 0
    for shard, rows in shards.owned:
        store.save_users(uri, shard, shards.users_of(shard), vectors[start : start + rows])
        start += rows
    if shards.worker_rank == 0:
        store.save_shared(uri, model)


def save_manifest(task: TrainingTask, workers: list[dict[str, Any]]) -> None:
    """Completes the model that the workers wrote; without its manifest it is not whole.

    Args:
        workers: what each worker returned, by rank.
    """
    facts = {
        "num_users": task.num_users,
        "num_workers": len(workers),
        "task": asdict(task),
        **workers[0],
    }
    store.save_manifest(task.model_uri, task.architecture, facts)
