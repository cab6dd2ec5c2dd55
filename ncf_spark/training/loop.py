"""One step and one epoch of training.

Shapes: P positives of a step, N negatives of each, D width of a vector, U users of a worker.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ncf_spark.model.parts import add_gradient
from ncf_spark.model.recommender import Recommender
from ncf_spark.training.batches import Batch, Positives
from ncf_spark.training.communicator import Communicator
from ncf_spark.training.gradients import Gradients, are_few
from ncf_spark.training.item_side import EachItem, EveryItem
from ncf_spark.training.losses import LOSSES, terms_per_positive
from ncf_spark.training.optimisers import Optimisers, learning_rate_at
from ncf_spark.training.sampler import Sampler
from ncf_spark.training.samples import Ahead, Samples, draw_samples

if TYPE_CHECKING:  # a machine that only measures the loop needs no configuration
    from ncf_spark.config import Config

# Of the widest layer of a slice.
SLICE_BYTES = 2**21
# Positives whose negatives are drawn together, at the least.
_DRAWN_AT_ONCE = 2**12


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
        self.gradients = Gradients(
            model,
            sparse_users=lazy,
            sparse_items=lazy and are_few(samples, len(model.item_vectors)),
            in_half=settings.exchange == "float16" and communicator.num_workers > 1,
        )
        model.train_in(settings.precision)
        self.optimisers = Optimisers(model, self.gradients, settings.optimiser)
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
        left_out = torch.zeros_like(sum_of_losses)
        steps = Ahead(self.steps(epoch))
        for samples, global_size in steps:
            sum_of_losses += self.train_step(samples, global_size, meanwhile=steps.fetch)
            if samples.counted is not None:
                left_out += (samples.counted == 0).sum()
        totals = torch.stack([sum_of_losses, left_out]).cpu()
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

    @torch.inference_mode()  # no_grad took 6 % more of a step of 2,048 samples
    def train_step(
        self, samples: Samples, global_size: int, meanwhile: Callable[[], None] = lambda: None
    ) -> Tensor:
        """One step of the optimiser on the mean loss over all workers' samples.

        Args:
            samples: this worker's; there may be none.
            global_size: positives of all workers in this step.
            meanwhile: is called while gradients are exchanged.

        Returns:
            The sum of the losses of this worker's samples, ().
        """
        self.gradients.clear()
        item_side = self._item_side(samples, global_size)
        loss = torch.zeros((), device=samples.users.device)
        for low, high in self._slices(len(samples.users)):
            loss += self._learn(samples.part(low, high), item_side, global_size)
        item_side.finish()
        self._add_penalty_of_weights()
        finish_exchange = self.gradients.start_exchange(self.communicator)
        self.optimisers.step_users(self._learning_rate())
        meanwhile()
        finish_exchange()
        self.optimisers.step_shared(self._learning_rate())
        if self.model.non_negative:
            self.model.clamp_non_negative()
        self.steps_done += 1
        return loss

    def _item_side(self, samples: Samples, global_size: int) -> EachItem | EveryItem:
        few = samples.items.numel() < len(self.model.item_vectors)
        l2 = self.settings.l2 / (global_size * len(samples.items))
        return (EachItem if few else EveryItem)(self.model, self.gradients, l2)

    def _learn(self, samples: Samples, item_side: EachItem | EveryItem, global_size: int) -> Tensor:
        """Adds up the gradients of a slice; the sum of its losses, ().

        L2 is on the batch's rows: each positive's user, and the mean over its items.
        """
        model, head = self.model, self.model.head
        users, items, weights, counted = samples
        user_rows = model.user_vectors.index_select(0, users)  # (P, D)
        encoded_users, encoded_items = head.encode_users(user_rows), item_side.encode(items)
        logits, pull = head.pairs_and_pull(encoded_users, encoded_items)  # (N + 1, P)
        losses, of_logits = self.loss(logits.add_(model.bias), counted)
        of_logits *= weights / (global_size * self.terms)
        add_gradient(model.bias, of_logits.sum())
        of_users, of_items = pull(of_logits)
        of_rows = head.pull_users(user_rows, of_users)
        if self.settings.l2:
            shares = weights * (2 * self.settings.l2 / global_size)
            of_rows = of_rows.addcmul(user_rows, shares.unsqueeze(1))
        self.gradients.add_users(users, of_rows)
        item_side.collect(items, of_items, weights)
        return losses @ weights

    def _learning_rate(self) -> float:
        settings = self.settings
        return learning_rate_at(
            self.steps_done,
            settings.epochs * self.num_steps,
            highest=settings.learning_rate,
            warmup_steps=settings.warmup_epochs * self.num_steps,
            decay=settings.decay,
        )

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
            if share:
                for weight in weights:
                    add_gradient(weight, weight * (2 * share / self.communicator.num_workers))

    def _slices(self, positives: int) -> Iterator[tuple[int, int]]:
        """Parts of a step whose widest layer fits the cache of a core; on a GPU, the whole step."""
        width = 1 + self.settings.num_negatives
        size = max(1, SLICE_BYTES // (4 * self.model.head.widest * width))
        if self.model.item_vectors.is_cuda:
            size = max(1, positives)
        return ((low, min(low + size, positives)) for low in range(0, max(1, positives), size))

    def steps(self, epoch: int) -> Iterator[tuple[Samples, int]]:
        """(this worker's samples, positives of all workers) for each step of an epoch."""
        for batch, sizes, global_sizes in self._batches(epoch):
            samples = draw_samples(batch, self.sampler, self.user_weights)
            yield from zip(samples.split(sizes), global_sizes, strict=True)

    def _batches(self, epoch: int) -> Iterator[tuple[Batch, list[int], list[int]]]:
        """The positives of some steps after the other, and of each step this worker's and all.

        Every worker takes as many steps as the one with the most positives needs; those with
        fewer spread theirs evenly, so that each positive is taken once and no step is missed.
        Small steps come together, since calls cost more than draws.
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
