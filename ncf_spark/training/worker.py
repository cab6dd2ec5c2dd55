"""The training of one worker: load, train, evaluate the epochs, save its part."""

from __future__ import annotations

import socket
import time
from dataclasses import asdict, replace
from typing import Any

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
from ncf_spark.training.batches import Resident
from ncf_spark.training.checkpoint import Checkpoints, load_parameters, parameters_of
from ncf_spark.training.communicator import Communicator
from ncf_spark.training.failures import reading
from ncf_spark.training.loop import LoopSettings, Trainer
from ncf_spark.training.mixture import item_probabilities
from ncf_spark.training.optimisers import MOMENTS, load_moments, moments_of
from ncf_spark.training.positives import PositiveSet
from ncf_spark.training.progress import write_history
from ncf_spark.training.sampler import FixedNegatives, NegativeSampler, Sampler
from ncf_spark.training.selection import BestEpoch
from ncf_spark.training.shards import UserShards
from ncf_spark.training.streaming import open_positives
from ncf_spark.training.task import TrainingTask
from ncf_spark.training.validation import ValidationItems
from ncf_spark.training.warm import load_start


def train_worker(
    task: TrainingTask,
    communicator: Communicator,
    device: torch.device,
) -> dict[str, Any]:
    """Trains this worker's part and writes it below `task.model_uri`.

    Returns:
        `history`, the record of each epoch of each phase, and `chosen_epochs` by phase, the same
        on every worker; its `host`; and the `positives` that it holds.
    """
    worker = Worker(task, communicator, device)
    pretraining = {} if worker.resumes_in(task.architecture.kind) else task.pretraining
    halves = [worker.fit_half(kind, settings) for kind, settings in pretraining.items()]
    model = worker.build(task.architecture)
    if halves:
        gmf, mlp = halves
        model.join(gmf, mlp, task.alpha)
        worker.halves.clear()
        del gmf, mlp, halves
    model = worker.fit(
        model, task.architecture.kind, task.loop, evaluate_first=bool(task.pretraining)
    )
    _save(task.model_uri, model, worker.shards)
    return {
        "history": worker.history,
        "chosen_epochs": worker.chosen_epochs,
        "host": socket.gethostname(),
        "positives": {
            "mode": worker.positives.mode,
            "num_positives": worker.positives.num_positives,
        },
    }


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
        with reading(task.train_uri):
            found = open_positives(task.train_uri, self.shards, task.resident_bytes, device)
        self.positives, self.validation = found, None
        if task.validation_uri is not None:
            with reading(task.validation_uri):
                self.validation = ValidationItems.read(task.validation_uri, self.shards, device)
        # Dropout draws from torch's own generator.
        torch.manual_seed(2**40 + self._seed())
        generator = torch.Generator(self.device).manual_seed(self._seed())
        self.sampler = self._build_sampler(generator)
        self.history: list[dict[str, Any]] = []
        self.chosen_epochs: dict[str, int] = {}
        # Parameters of the halves that are trained but not yet joined.
        self.halves: dict[str, dict[str, Tensor]] = {}
        self.checkpoints = Checkpoints(
            task.checkpoints_uri, task.identity, self.shards, communicator, device
        )
        self.last_checkpoint = time.monotonic()
        self.resumed = self.checkpoints.load_last()
        if self.resumed is not None:
            facts = self.resumed.facts
            self.history, self.chosen_epochs = facts["history"], facts["chosen_epochs"]
            self.halves = {kind: dict(self.resumed.slots[kind]) for kind in facts["halves"]}
            # Not the negatives of the earlier epochs again.
            generator.manual_seed(self._seed() + 2**20 * len(self.history))
            self._write_history()

    def resumes_in(self, phase: str) -> bool:
        """Whether training resumes from a checkpoint within this phase."""
        return self.resumed is not None and self.resumed.facts["phase"] == phase

    def _seed(self) -> int:
        return self.task.loop.seed * 1_009 + self.communicator.worker_rank

    def _build_sampler(self, generator: torch.Generator) -> Sampler:
        sampler = NegativeSampler(
            item_probabilities(self.task).to(self.device),
            self._rejected(),
            self.task.loop.num_negatives,
            self.task.max_retries or 0,
            generator,
        )
        if self.task.redraw:
            return sampler
        assert isinstance(self.positives, Resident), "the preflight refuses to stream these"
        return FixedNegatives(sampler, self.positives.users)

    def _rejected(self) -> PositiveSet | None:
        """The positives, which must not be drawn as negatives; None: they may."""
        if self.task.max_retries is None:
            return None
        num_items, own = self.task.architecture.num_items, self.positives
        with reading(self.task.train_uri):
            return PositiveSet(
                own.rows(), own.num_positives, self.shards.num_rows, num_items, self.device
            )

    def build(self, architecture: Architecture) -> Recommender:
        """A model with its initial values, on this worker's device."""
        model = describe(lambda: Recommender(architecture, self.shards.num_rows))
        model = materialise(model, self.device)
        seed = self.task.loop.seed
        initialise_shared(model, architecture, seed)
        initialise_users(model, architecture, self.shards.owned, self.task.num_users, seed)
        if self.task.start is not None and self.resumed is None:
            load_start(model, self.task.start, self.shards)
        return model

    def fit_half(self, kind: str, settings: LoopSettings) -> Recommender:
        """GMF or MLP: trained now, or from the checkpoint."""
        model = self.build(replace(self.task.architecture, kind=kind))
        if kind in self.halves:
            load_parameters(model, self.halves[kind])
        else:
            self.fit(model, kind, settings)
            self.halves[kind] = parameters_of(model)
        return model

    def fit(
        self,
        model: Recommender,
        phase: str,
        settings: LoopSettings,
        evaluate_first: bool = False,
    ) -> Recommender:
        """Trains a model until it stops improving, and sets it to the best epoch's parameters.

        Args:
            phase: its name in the history.
            evaluate_first: whether the untrained model may be the best.

        Raises:
            FloatingPointError: on all workers together, when the loss is not finite.
        """
        trainer = Trainer(model, self.sampler, self.positives, settings, self.communicator)
        best = BestEpoch(model, self.task.patience)
        done = self._resume(phase, trainer, best)
        if self.validation is not None and evaluate_first and not done:
            metrics = self.validation.evaluate(model, self.task.ks, self.communicator)
            best.update(0, metrics[self.task.choose_by])
            self._report({"phase": phase, "epoch": 0, **metrics})
        epoch = done
        while epoch < settings.epochs and not best.is_over:
            epoch += 1
            try:
                record = {"phase": phase, **trainer.train_epoch(epoch)}
            except FloatingPointError as error:
                half = f"pretraining.{phase}." if phase in self.task.pretraining else ""
                remedy = f"lower training.{half}learning_rate"
                raise FloatingPointError(f"{phase}: {error}; {remedy}") from None
            if self.validation is not None and self._is_due(epoch, settings.epochs):
                record |= self.validation.evaluate(model, self.task.ks, self.communicator)
                best.update(epoch, record[self.task.choose_by])
            self._report(record)
            if self._is_checkpoint_due(epoch):
                self._save_checkpoint(phase, epoch, trainer, best)
        best.restore()
        self.chosen_epochs[phase] = epoch if best.epoch is None else best.epoch
        return model

    def _is_checkpoint_due(self, epoch: int) -> bool:
        """The same on all workers: decided by the clock of worker 0."""
        epochs, minutes = self.task.checkpoint_epochs, self.task.checkpoint_minutes
        if epochs is None and minutes is None:
            return False
        passed = (time.monotonic() - self.last_checkpoint) / 60
        due = (epochs is not None and epoch % epochs == 0) or (
            minutes is not None and passed >= minutes
        )
        return bool(self.communicator.gather([int(due)])[0][0])

    def _save_checkpoint(self, phase: str, epoch: int, trainer: Trainer, best: BestEpoch) -> None:
        steps, moments = moments_of(trainer.optimisers, trainer.loss.parts)
        figures, kept = best.state()
        slots = {"parameters": parameters_of(trainer.model), **moments}
        if kept:
            slots["best"] = kept
        facts = {
            "phase": phase,
            "epoch": epoch,
            "optimiser_steps": steps,
            "best": figures,
            "halves": list(self.halves),
            "history": self.history,
            "chosen_epochs": self.chosen_epochs,
        }
        self.checkpoints.save(len(self.history), {**slots, **self.halves}, facts)
        self.last_checkpoint = time.monotonic()

    def _resume(self, phase: str, trainer: Trainer, best: BestEpoch) -> int:
        """Restores this phase from the checkpoint, if it has it; the epochs that are done."""
        if self.resumed is None or not self.resumes_in(phase):
            return 0
        slots, facts = self.resumed.slots, self.resumed.facts
        load_parameters(trainer.model, slots["parameters"])
        best.load_state(facts["best"], slots.get("best", {}))
        moments = {moment: slots[moment] for moment in MOMENTS if moment in slots}
        steps = facts["optimiser_steps"]
        load_moments(trainer.optimisers, trainer.loss.parts, steps, moments)
        epoch = int(facts["epoch"])
        trainer.steps_done = epoch * trainer.num_steps
        self.resumed = None
        return epoch

    def _is_due(self, epoch: int, epochs: int) -> bool:
        return epoch == epochs or epoch % self.task.evaluate_every == 0

    def _report(self, record: dict[str, Any]) -> None:
        self.history.append(record)
        self._write_history()

    def _write_history(self) -> None:
        if self.communicator.worker_rank == 0:
            write_history(self.task.model_uri, self.history)


def _save(uri: str, model: Recommender, shards: UserShards) -> None:
    vectors = model.user_vectors.detach().cpu().numpy()
    start = 0
    for shard, rows in shards.owned:
        store.save_users(uri, shard, shards.users_of(shard), vectors[start : start + rows])
        start += rows
    if shards.worker_rank == 0:
        store.save_shared(uri, model)


def save_manifest(task: TrainingTask, workers: list[dict[str, Any]]) -> None:
    """Writes the manifest, which completes the model that the workers wrote.

    Args:
        workers: what each worker returned, by rank.
    """
    of_all = {name: value for name, value in workers[0].items() if name != "host"}
    facts = {
        "num_users": task.num_users,
        "num_workers": len(workers),
        "hosts": [worker["host"] for worker in workers],
        "task": asdict(task),
        **of_all,
        "positives": [worker["positives"] for worker in workers],
    }
    store.save_manifest(task.model_uri, task.architecture, facts)
