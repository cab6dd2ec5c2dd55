"""One step and one epoch of training.

Shapes: P positives of a step, N negatives of each, D width of a vector, U users of a worker.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from ncf_spark.config import Config
from ncf_spark.model.recommender import Recommender
from ncf_spark.training.batches import Batch, Positives
from ncf_spark.training.communicator import Communicator
from ncf_spark.training.gradients import Gradients
from ncf_spark.training.item_side import EachItem, EveryItem
from ncf_spark.training.losses import LOSSES, counted, terms_per_positive
from ncf_spark.training.optimisers import Optimisers, learning_rate_at
from ncf_spark.training.sampler import Sampler

# Of the widest layer of a slice.
_SLICE_BYTES = 2**21


@dataclass(frozen=True)
class LoopSettings:
    """What the loop needs of the configuration; conf/base.yaml explains each."""

    epochs: int
    batch_size: int
    num_negatives: int
    loss: str
    optimiser: str
    learning_rate: float
    warmup_epochs: float
    decay: str
    l2: float
    l2_kernels: float
    l2_output: float
    user_balance: float
    seed: int

    @classmethod
    def of(cls, config: Config) -> LoopSettings:
        """From the configuration (sections training, sampling and run)."""
        names = {field.name for field in fields(cls)}
        return cls(
            num_negatives=config.sampling.num_negatives,
            seed=config.run.seed,
            **config.training.model_dump(include=names),
        )


class Trainer:
    """A model with its optimiser, sampler and positives on one worker.

    Args:
        positives: of this worker.
    """

    def __init__(
        self,
        model: Recommender,
        sampler: Sampler,
        positives: Positives,
        settings: LoopSettings,
        communicator: Communicator,
    ) -> None:
        self.model = model
        self.sampler = sampler
        self.positives = positives
        self.settings = settings
        self.communicator = communicator
        lazy = settings.optimiser == "lazy_adam"
        samples = settings.batch_size * (1 + settings.num_negatives) * communicator.num_workers
        few = samples < len(model.item_vectors)
        self.gradients = Gradients(model, sparse_users=lazy, sparse_items=lazy and few)
        self.optimisers = Optimisers(model, settings.optimiser)
        self.loss = LOSSES[settings.loss]
        self.terms = terms_per_positive(settings.loss, settings.num_negatives)
        self.worker_positives = [n for [n] in communicator.gather([positives.num_positives])]
        self.user_weights = user_weights(
            positives, model.user_vectors, settings.user_balance, communicator
        )
        self.num_steps = -(-max(self.worker_positives) // settings.batch_size)
        self.steps_done = 0

    def train_epoch(self, epoch: int) -> dict[str, Any]:
        """Takes each positive of each worker once.

        Returns:
            epoch, loss (mean over samples; of soft-max over positives), samples, seconds,
            unresolved (negatives left out).

        Raises:
            FloatingPointError: when the loss is not finite.
        """
        started = time.monotonic()
        self.model.train()
        sum_of_losses = torch.zeros((), dtype=torch.float64, device=self.user_weights.device)
        unresolved = 0
        for batch, global_size in self._batches(epoch):
            loss, given_up = self.train_step(batch, global_size)
            sum_of_losses += loss
            unresolved += given_up
        totals = torch.tensor([sum_of_losses.item(), unresolved], dtype=torch.float64)
        self.communicator.sum_(totals, "totals")
        if not totals.isfinite().all():  # the same on every worker, so all stop together
            raise FloatingPointError(f"the loss is not finite after epoch {epoch}")
        positives = sum(self.worker_positives)
        return {
            "epoch": epoch,
            "loss": float(totals[0]) / (positives * self.terms),
            "samples": positives * (1 + self.settings.num_negatives),
            "seconds": time.monotonic() - started,
            "unresolved": int(totals[1]),
        }

    def train_step(self, batch: Batch, global_size: int) -> tuple[Tensor, int]:
        """One step of the optimiser on the mean loss over all workers' samples.

        Args:
            batch: this worker's positives; it may be empty.
            global_size: positives of all workers in this step.

        Returns:
            The sum of the losses of this worker's samples, (), and the number of its unresolved
            negatives.
        """
        users = batch.users
        negatives, unresolved = self.sampler.draw(users, batch.positions)
        weights = self.user_weights.index_select(0, users)
        items = torch.cat([batch.items.unsqueeze(1), negatives], dim=1)  # (P, N + 1)
        counts = counted(items, unresolved)
        self.gradients.clear()
        model, with_squares = self.model, bool(self.settings.l2)
        item_side = (
            EachItem(model, self.gradients, with_squares)
            if items.numel() < len(model.item_vectors)
            else EveryItem(model, with_squares)
        )
        loss = torch.zeros((), device=users.device)
        for part in self._slices(len(users)):
            user_rows = model.user_vectors.detach().index_select(0, users[part]).requires_grad_()
            encoded = item_side.encode(items[part])
            logits = model.head.pairs(model.head.encode_users(user_rows), encoded) + model.bias
            of_positives = self.loss(logits, None if counts is None else counts[part])  # (P,)
            part_of_loss = (of_positives * weights[part]).sum()
            objective = part_of_loss / (global_size * self.terms)
            if self.settings.l2:
                penalty = self._penalty(user_rows, encoded[-1], weights[part])
                objective = objective + penalty / global_size
            objective.backward()
            self.gradients.add_users(users[part], user_rows)
            item_side.collect(items[part])
            loss += part_of_loss.detach()
        item_side.finish()
        self._add_penalty_of_weights()
        self.gradients.exchange(self.communicator)
        self.optimisers.step(self._learning_rate())
        if model.non_negative:
            model.clamp_non_negative()
        self.steps_done += 1
        return loss, len(unresolved)

    def _learning_rate(self) -> float:
        settings = self.settings
        return learning_rate_at(
            self.steps_done,
            settings.epochs * self.num_steps,
            highest=settings.learning_rate,
            warmup_steps=settings.warmup_epochs * self.num_steps,
            decay=settings.decay,
        )

    def _penalty(self, user_vectors: Tensor, item_squares: Tensor, weights: Tensor) -> Tensor:
        """L2 on the batch's rows: each positive's user, and the mean over its items; added up.

        Args:
            item_squares: (P, N + 1) of each item the sum of its vector's squares.
            weights: (P,) of the positives.
        """
        rows = _squares_of(user_vectors) + item_squares.mean(dim=1)
        return self.settings.l2 * (rows * weights).sum()

    def _add_penalty_of_weights(self) -> None:
        """L2 on the kernels and on the output layer, this worker's share of it.

        Every worker has the same weights, and all gradients are added up.
        """
        settings, head = self.settings, self.model.head
        kernels = [m.weight for m in head.modules() if isinstance(m, nn.Linear)]
        outputs = [
            p for n, p in head.named_parameters() if n.endswith("output") and p.requires_grad
        ]
        for share, weights in (settings.l2_kernels, kernels), (settings.l2_output, outputs):
            if share and weights:  # MF and GMF have no kernels, and MF has no output layer
                penalty = share * torch.stack([p.square().sum() for p in weights]).sum()
                (penalty / self.communicator.num_workers).backward()

    def _slices(self, positives: int) -> list[slice]:
        """Parts of a step whose widest layer fits the cache of a core; on a GPU, the whole step."""
        width = 1 + self.settings.num_negatives
        size = max(1, _SLICE_BYTES // (4 * self.model.head.widest * width))
        if self.model.item_vectors.is_cuda:
            size = max(1, positives)  # one, if empty
        return [slice(low, low + size) for low in range(0, max(1, positives), size)]

    def _batches(self, epoch: int) -> Iterator[tuple[Batch, int]]:
        """(this worker's positives, positives of all workers) for each step of an epoch.

        Every worker takes as many steps as the one with the most positives needs; those with
        fewer spread theirs evenly, so that each positive is taken once and no step is missed.
        """
        seed = (self.settings.seed * 100_003 + epoch) * 1_009 + self.communicator.worker_rank
        own = self.positives.num_positives
        sizes = (self._size(own, step) for step in range(self.num_steps))
        for step, batch in enumerate(self.positives.batches(sizes, seed)):
            yield batch, sum(self._size(n, step) for n in self.worker_positives)

    def _size(self, positives: int, step: int) -> int:
        """How many of a worker's positives a step takes."""
        return positives * (step + 1) // self.num_steps - positives * step // self.num_steps


def user_weights(
    positives: Positives, user_vectors: Tensor, user_balance: float, communicator: Communicator
) -> Tensor:
    """(U,) weight of each user's positives: their number to the -user_balance.

    Scaled to a mean of 1 over the positives of all workers. At 0 all positives are equal, and users
    count by how many they have; at 1 all users are equal, as they are to the metrics.

    Args:
        user_vectors: (U, …) this worker's.
    """
    weights = torch.ones(len(user_vectors), device=user_vectors.device)
    if not user_balance:
        return weights
    counts = torch.zeros(len(weights), dtype=torch.float64, device=weights.device)
    for users, _ in positives.rows():
        counts.index_add_(0, users.to(counts.device), counts.new_ones(len(users)))
    weights = torch.where(counts > 0, counts**-user_balance, 0)
    totals = torch.stack([(counts * weights).sum(), counts.sum()]).cpu()
    communicator.sum_(totals, "weights")
    return (weights * (totals[1] / totals[0]).item()).float()


def _squares_of(vectors: Tensor) -> Tensor:
    return vectors.square().sum(dim=-1)
