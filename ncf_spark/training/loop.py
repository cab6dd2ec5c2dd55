"""One step and one epoch of training.

Shapes: P positives of a step, N negatives of each, D width of a vector, M positives of a worker.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from ncf_spark.config import Config
from ncf_spark.model.recommender import Recommender
from ncf_spark.training.communicator import Communicator
from ncf_spark.training.losses import LOSSES, counted, terms_per_positive
from ncf_spark.training.optimisers import Optimisers, learning_rate_at
from ncf_spark.training.sampler import Sampler


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


class SharedGradients:
    """The gradients of all shared parameters, side by side in one buffer.

    One all-reduce of one buffer takes less time than one of each parameter.
    """

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        sizes = [p.numel() for p in parameters]
        self.flat = torch.zeros(sum(sizes), device=parameters[0].device)
        for parameter, part in zip(parameters, self.flat.split(sizes), strict=True):
            parameter.grad = part.view_as(parameter)


class Trainer:
    """A model with its optimiser, sampler and positives on one worker.

    Args:
        users: (M,) table rows of the positives.
        items: (M,) their items.
    """

    def __init__(
        self,
        model: Recommender,
        sampler: Sampler,
        users: Tensor,
        items: Tensor,
        settings: LoopSettings,
        communicator: Communicator,
    ) -> None:
        self.model = model
        self.sampler = sampler
        self.users = users
        self.items = items
        self.settings = settings
        self.communicator = communicator
        self.shared = SharedGradients(model.shared_parameters())
        self.optimisers = Optimisers(model, settings.optimiser)
        self.loss = LOSSES[settings.loss]
        self.terms = terms_per_positive(settings.loss, settings.num_negatives)
        self.worker_positives = [n for [n] in communicator.gather([len(users)])]
        self.weights = positive_weights(users, settings.user_balance, communicator)
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
        totals = torch.zeros(2, dtype=torch.float64)
        for batch, global_size in self._batches(epoch):
            loss, unresolved = self.train_step(batch, global_size)
            totals += torch.tensor([loss, unresolved], dtype=torch.float64)
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

    def train_step(self, batch: Tensor, global_size: int) -> tuple[float, int]:
        """One step of the optimiser on the mean loss over all workers' samples.

        Args:
            batch: (P,) positions of this worker's positives; it may be empty.
            global_size: positives of all workers in this step.

        Returns:
            The sum of the losses of this worker's samples, and its unresolved negatives.
        """
        users, items = self.users[batch], self.items[batch]
        negatives, unresolved = self.sampler.draw(users, batch)
        self.shared.flat.zero_()
        self.model.user_vectors.grad = None
        user_vectors = self._rows_of_users(users)  # (P, D)
        item_vectors = self.model.item_vectors[torch.cat([items.unsqueeze(1), negatives], dim=1)]
        logits = self.model.pairs(user_vectors, item_vectors)  # (P, N + 1), the positive first
        losses = self.loss(logits, counted(logits, unresolved)) * self.weights[batch]  # (P,)
        loss = losses.sum()
        objective = loss / (global_size * self.terms)
        objective = objective + self._penalty(user_vectors, item_vectors, batch) / global_size
        objective = objective + self._penalty_of_weights()
        objective.backward()
        self.communicator.sum_(self.shared.flat, "shared_gradients")
        self.optimisers.step(self._learning_rate())
        if self.model.non_negative:
            self.model.clamp_non_negative()
        self.steps_done += 1
        return loss.item(), len(unresolved)

    def _rows_of_users(self, users: Tensor) -> Tensor:
        if self.settings.optimiser == "lazy_adam":
            return nn.functional.embedding(users, self.model.user_vectors, sparse=True)
        return self.model.user_vectors[users]

    def _learning_rate(self) -> float:
        settings = self.settings
        return learning_rate_at(
            self.steps_done,
            settings.epochs * self.num_steps,
            highest=settings.learning_rate,
            warmup_steps=settings.warmup_epochs * self.num_steps,
            decay=settings.decay,
        )

    def _penalty(self, user_vectors: Tensor, item_vectors: Tensor, batch: Tensor) -> Tensor:
        """L2 on the batch's rows: each positive's user, and the mean over its items; added up."""
        if not self.settings.l2:
            return user_vectors.new_zeros(())
        of_items = item_vectors.square().sum(dim=2).mean(dim=1)
        rows = user_vectors.square().sum(dim=1) + of_items
        return self.settings.l2 * (rows * self.weights[batch]).sum()

    def _penalty_of_weights(self) -> Tensor:
        """L2 on the kernels and on the output layer, this worker's share of it.

        Every worker has the same weights, and all gradients are added up.
        """
        settings, head = self.settings, self.model.head
        penalty = self.model.bias.new_zeros(())
        if settings.l2_kernels:
            kernels = [m.weight for m in head.modules() if isinstance(m, nn.Linear)]
            penalty = penalty + settings.l2_kernels * _squares(kernels)
        if settings.l2_output:
            outputs = [p for n, p in head.named_parameters() if n.endswith("output")]
            penalty = penalty + settings.l2_output * _squares(outputs)
        return penalty / self.communicator.num_workers

    def _batches(self, epoch: int) -> Iterator[tuple[Tensor, int]]:
        """(positions of the positives, positives of all workers) for each step of an epoch.

        Every worker takes as many steps as the one with the most positives needs; those with
        fewer spread theirs evenly, so that each positive is taken once and no step is missed.
        """
        seed = (self.settings.seed * 100_003 + epoch) * 1_009 + self.communicator.worker_rank
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self.users), generator=generator).to(self.users.device)
        for step in range(self.num_steps):
            low, high = (self._cut(len(order), s) for s in (step, step + 1))
            sizes = [self._cut(n, step + 1) - self._cut(n, step) for n in self.worker_positives]
            yield order[low:high], sum(sizes)

    def _cut(self, positives: int, step: int) -> int:
        return positives * step // self.num_steps


def positive_weights(users: Tensor, user_balance: float, communicator: Communicator) -> Tensor:
    """(M,) weight of each positive: the number of its user's positives to the -user_balance.

    Scaled to a mean of 1 over all workers. At 0 all positives are equal, and users count by how
    many they have; at 1 all users are equal, as they are to the metrics.

    Args:
        users: (M,) table rows of this worker's positives.
    """
    weights = torch.ones(len(users), device=users.device)
    if not user_balance:
        return weights
    weights = users.bincount()[users].double() ** -user_balance
    totals = torch.tensor([weights.sum().item(), float(len(users))], dtype=torch.float64)
    communicator.sum_(totals, "weights")
    return (weights * (totals[1] / totals[0]).item()).float()


def _squares(parameters: Iterable[Tensor]) -> Tensor | int:
    # MF and GMF have no kernels, and MF has no output layer.
    return sum(p.square().sum() for p in parameters)
