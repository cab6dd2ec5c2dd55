"""One step, one epoch, and all epochs of training.

Shapes: P positives of a step, N negatives of each, D width of a vector, M positives of a worker.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ncf_spark.model.recommender import Recommender
from ncf_spark.training.communicator import Communicator
from ncf_spark.training.sampler import NegativeSampler


@dataclass(frozen=True)
class LoopSettings:
    """What the loop needs of the configuration (sections training and sampling)."""

    epochs: int
    batch_size: int
    num_negatives: int
    learning_rate: float
    l2: float
    seed: int


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
        sampler: NegativeSampler,
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
        self.optimiser = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
        self.worker_positives = [n for [n] in communicator.gather([len(users)])]
        self.num_steps = -(-max(self.worker_positives) // settings.batch_size)

    def fit(self, after_epoch: Callable[[dict[str, Any]], None]) -> None:
        """Trains for all epochs; `after_epoch` receives each epoch's record."""
        for epoch in range(1, self.settings.epochs + 1):
            after_epoch(self.train_epoch(epoch))

    def train_epoch(self, epoch: int) -> dict[str, Any]:
        """Takes each positive of each worker once.

        Returns:
            epoch, loss (mean over samples), samples, seconds, unresolved (negatives left out).

        Raises:
            FloatingPointError: when the loss is not finite.
        """
        started = time.monotonic()
        self.model.train()
        totals = torch.zeros(2, dtype=torch.float64)
        for batch, global_size in self._batches(epoch):
            loss, unresolved = self.train_step(self.users[batch], self.items[batch], global_size)
            totals += torch.tensor([loss, unresolved], dtype=torch.float64)
        self.communicator.sum_(totals, "totals")
        if not totals.isfinite().all():  # the same on every worker, so all stop together
            raise FloatingPointError(
                f"the loss is not finite after epoch {epoch}; lower training.learning_rate"
            )
        samples = sum(self.worker_positives) * (1 + self.settings.num_negatives)
        return {
            "epoch": epoch,
            "loss": float(totals[0]) / samples,
            "samples": samples,
            "seconds": time.monotonic() - started,
            "unresolved": int(totals[1]),
        }

    def train_step(self, users: Tensor, items: Tensor, global_size: int) -> tuple[float, int]:
        """One step of Adam on the mean loss over all workers' samples.

        Args:
            users: (P,) table rows of this worker's part of the batch; it may be empty.
            items: (P,) their items.
            global_size: positives of all workers in this step.

        Returns:
            The sum of the losses of this worker's samples, and its unresolved negatives.
        """
        negatives, unresolved = self.sampler.draw(users, self.settings.num_negatives)
        self.shared.flat.zero_()
        self.model.user_vectors.grad = None
        user_vectors = self.model.user_vectors[users]  # (P, D)
        item_vectors = self.model.item_vectors[torch.cat([items.unsqueeze(1), negatives], dim=1)]
        logits = self.model.pairs(user_vectors, item_vectors)  # (P, N + 1), the positive first
        loss = _loss_sum(logits, unresolved)
        objective = loss / (global_size * logits.shape[1])
        if self.settings.l2:
            objective = objective + self._penalty(user_vectors, item_vectors, global_size)
        objective.backward()
        self.communicator.sum_(self.shared.flat, "shared_gradients")
        self.optimiser.step()
        return loss.item(), len(unresolved)

    def _penalty(self, user_vectors: Tensor, item_vectors: Tensor, global_size: int) -> Tensor:
        """L2 on the batch's rows (mean over positives, and over each one's items) and kernels."""
        rows = user_vectors.square().sum() + item_vectors.square().sum() / item_vectors.shape[1]
        squares = torch.zeros((), device=rows.device)
        for module in self.model.head.modules():
            if isinstance(module, nn.Linear):
                squares = squares + module.weight.square().sum()
        return self.settings.l2 * (rows / global_size + squares / self.communicator.num_workers)

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


def _loss_sum(logits: Tensor, unresolved: Tensor) -> Tensor:
    """Binary cross-entropy (eq. 7 of the paper), added up; unresolved negatives don't count.

    Args:
        logits: (P, N + 1), the positive in the first column.
        unresolved: (n,) flat positions within the (P, N) negatives.
    """
    labels = torch.zeros_like(logits)
    labels[:, 0] = 1.0
    if not len(unresolved):
        return binary_cross_entropy_with_logits(logits, labels, reduction="sum")
    weights = torch.ones_like(logits)
    negatives = logits.shape[1] - 1
    weights[unresolved // negatives, 1 + unresolved % negatives] = 0.0
    return binary_cross_entropy_with_logits(logits, labels, weights, reduction="sum")
