"""The training loop: one step and one epoch.

Shapes: P positives of a step, N negatives of each, D width of a vector, U users of a worker.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from ncf_spark.model.recommender import Recommender
from ncf_spark.training.batches import Batch, Positives
from ncf_spark.training.communicator import Communicator
from ncf_spark.training.exchange import start_exchange, use_sparse_exchange
from ncf_spark.training.losses import LOSSES, terms_per_positive
from ncf_spark.training.optimisers import build_optimisers, learning_rate_at, set_learning_rate
from ncf_spark.training.sampler import Sampler
from ncf_spark.training.samples import Ahead, Samples, draw_samples
from ncf_spark.training.step_loss import StepLoss

if TYPE_CHECKING:  # a machine that only measures the loop needs no configuration
    from ncf_spark.config import Config

# Small steps are grouped until they have this many positives; negatives are drawn for a group.
_DRAWN_AT_ONCE = 2**12


@dataclass(frozen=True)
class LoopSettings:
    """Settings of the loop; conf/base.yaml explains each."""

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
    precision: str
    exchange: str
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
        self.loss = StepLoss(
            model,
            LOSSES[settings.loss],
            sparse_users=lazy,
            sparse_items=lazy and use_sparse_exchange(samples, len(model.item_vectors)),
        )
        model.train_in(settings.precision)
        self.l2_of_weights = l2_of_weights(model, self.loss.weights, settings)
        self.optimisers = build_optimisers(self.loss.parameters, settings.optimiser)
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
        left_out = torch.zeros_like(sum_of_losses)
        steps = Ahead(self.steps(epoch))
        for samples, global_size in steps:
            sum_of_losses += self.train_step(samples, global_size, meanwhile=steps.fetch)
            if samples.counted is not None:
                left_out += (samples.counted == 0).sum()
        totals = torch.stack([sum_of_losses, left_out]).cpu()
        self.communicator.all_reduce_(totals, "totals")
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

    def train_step(
        self, samples: Samples, global_size: int, meanwhile: Callable[[], None] = lambda: None
    ) -> Tensor:
        """One step of the optimisers on the mean loss over all workers' samples.

        Args:
            samples: this worker's; there may be none.
            global_size: positives of all workers in this step.
            meanwhile: called while gradients are exchanged.

        Returns:
            The sum of the losses of this worker's samples without penalties, ().
        """
        num_terms = global_size * self.terms
        for parameter in self.loss.parameters:
            parameter.grad = None
        loss = self.loss(samples, num_terms)
        sum(self._penalties(samples, global_size), start=loss).backward()
        finish_exchange = start_exchange(
            self.loss.parameters[1:],
            self.communicator,
            in_half=self.settings.exchange == "float16",
        )
        meanwhile()
        finish_exchange()
        set_learning_rate(self.optimisers, self._learning_rate())
        for optimiser in self.optimisers:
            optimiser.step()
        if self.model.non_negative:
            self.model.clamp_non_negative()
        self.steps_done += 1
        return loss.detach() * num_terms

    def _learning_rate(self) -> float:
        settings = self.settings
        return learning_rate_at(
            self.steps_done,
            settings.epochs * self.num_steps,
            highest=settings.learning_rate,
            warmup_steps=settings.warmup_epochs * self.num_steps,
            decay=settings.decay,
        )

    def _penalties(self, samples: Samples, global_size: int) -> list[Tensor]:
        """This worker's share of each L2 that is not 0, (); differentiable.

        On the batch's rows: the user of each positive, and the mean over its items. On the weights:
        every worker has the same ones, and gradients are added up over the workers.
        """
        penalties = []
        if self.l2_of_weights is not None:
            share = 1 / self.communicator.num_workers
            penalties.append(share * (self.l2_of_weights @ self.loss.flat_weights.square()))
        if self.settings.l2:
            model, rows = self.model, samples.items.flatten()
            users = embedding(samples.users, model.user_vectors, sparse=self.loss.sparse_users)
            items = embedding(rows, model.item_vectors, sparse=self.loss.sparse_items)
            weights = samples.weights.repeat(len(samples.items)) / len(samples.items)
            squares = samples.weights @ users.square().sum(1) + weights @ items.square().sum(1)
            penalties.append(self.settings.l2 / global_size * squares)
        return penalties

    def steps(self, epoch: int) -> Iterator[tuple[Samples, int]]:
        """(this worker's samples, positives of all workers) for each step of an epoch."""
        for batch, sizes, global_sizes in self._batches(epoch):
            samples = draw_samples(batch, self.sampler, self.user_weights)
            yield from zip(samples.split(sizes), global_sizes, strict=True)

    def _batches(self, epoch: int) -> Iterator[tuple[Batch, list[int], list[int]]]:
        """By groups of steps: their positives, each step's size on this worker, and on all.

        Every worker takes as many steps as the one with the most positives needs; those with
        fewer spread theirs evenly, so that each positive is taken once and no step is missed.
        Small steps are drawn together, since calls cost more than draws.
        """
        seed = (self.settings.seed * 100_003 + epoch) * 1_009 + self.communicator.worker_rank
        together = max(1, _DRAWN_AT_ONCE // self.settings.batch_size)
        groups = [
            range(low, min(low + together, self.num_steps))
            for low in range(0, self.num_steps, together)
        ]
        own = self.positives.num_positives
        taken = (sum(self._size(own, step) for step in steps) for steps in groups)
        batches = self.positives.batches(taken, seed)
        for batch, steps in zip(batches, groups, strict=True):
            sizes = [self._size(own, step) for step in steps]
            everyones = [sum(self._size(n, step) for n in self.worker_positives) for step in steps]
            yield batch, sizes, everyones

    def _size(self, positives: int, step: int) -> int:
        """How many of a worker's positives a step takes."""
        return positives * (step + 1) // self.num_steps - positives * step // self.num_steps


def l2_of_weights(
    model: Recommender, weights: Sequence[nn.Parameter], settings: LoopSettings
) -> Tensor | None:
    """The L2 of each number of the flattened weights: kernels, output layer; None: all are 0."""
    if not settings.l2_kernels and not settings.l2_output:
        return None
    l2: dict[Tensor, float] = {
        m.weight: settings.l2_kernels for m in model.modules() if isinstance(m, nn.Linear)
    }
    l2 |= {p: settings.l2_output for n, p in model.named_parameters() if n.endswith("output")}
    return torch.cat([torch.full_like(p, l2.get(p, 0.0)).flatten() for p in weights])


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
    communicator.all_reduce_(totals, "weights")
    return (weights * (totals[1] / totals[0]).item()).float()
