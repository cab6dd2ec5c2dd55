"""The loss of a training step as one autograd node, with gradients computed by hand.

Measured beside plain autograd in docs/experiments/training_step.md.

Shapes: P positives of a step, N negatives of each, p positives of a slice, D width of a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ncf_spark.model.heads import Encoded, Gradients
from ncf_spark.model.recommender import Recommender
from ncf_spark.training.losses import Loss
from ncf_spark.training.samples import Samples

# Of the widest layer of a slice: it fits the cache of a core.
SLICE_BYTES = 2**21


class StepLoss:
    """The loss of a model on the samples of a step.

    `parameters` are what it is differentiated by: the vectors of users and of items, and all other
    weights as one tensor, which the optimiser and the exchange handle in less time.

    Args:
        sparse_users, sparse_items: whether the gradients of the vectors are sparse: the rows of the
            samples.
    """

    def __init__(
        self, model: Recommender, loss: Loss, *, sparse_users: bool, sparse_items: bool
    ) -> None:
        self.model, self.loss = model, loss
        self.sparse_users, self.sparse_items = sparse_users, sparse_items
        tables = {"user_vectors": model.user_vectors, "item_vectors": model.item_vectors}
        named = {n: p for n, p in model.named_parameters() if p.requires_grad and n not in tables}
        self.weights = list(named.values())
        self.flat_weights = flatten_parameters(self.weights)
        self.parameters = [*tables.values(), self.flat_weights]
        # By each of them, the model's parameters that it consists of.
        self.parts: dict[Tensor, dict[str, Tensor]] = {
            **{table: {name: table} for name, table in tables.items()},
            self.flat_weights: dict(named),
        }
        self._of_users = TableGradient(model.user_vectors, sparse=sparse_users)
        self._of_items = TableGradient(model.item_vectors, sparse=sparse_items)
        self._of_weights = torch.zeros_like(self.flat_weights.detach())
        parts = _parts(self._of_weights, self.weights)
        self._gradients: Gradients = dict(zip(self.weights, parts, strict=True))

    def __call__(self, samples: Samples, divisor: float) -> Tensor:
        """The weighted sum of the losses, divided by `divisor`, (); differentiable.

        Args:
            samples: this worker's; there may be none.
        """
        loss: Tensor = _Node.apply(self, samples, divisor, *self.parameters)
        return loss

    def compute(self, samples: Samples, divisor: float) -> tuple[Tensor, list[Tensor]]:
        """The loss, and the gradient of each of the `parameters`.

        Slice by slice, so that the layers of a slice stay in the cache.
        """
        model, head, gradients = self.model, self.model.head, self._gradients
        loss = torch.zeros((), device=model.bias.device)
        with torch.inference_mode():  # no_grad takes a tenth more of a small step
            for table in (self._of_users, self._of_items):
                table.clear()
            self._of_weights.zero_()
            is_few = samples.items.numel() < len(model.item_vectors)
            items = (GatheredItems if is_few else AllItems)(model, self._of_items, gradients)
            for part in samples.split(self._slice_sizes(samples)):
                users = model.user_vectors.index_select(0, part.users)  # (p, D)
                encoded = head.encode_users(users), items.encode(part.items)
                logits, backward = head.pairs(*encoded)  # (N + 1, p)
                losses, grad_logits = self.loss(logits.add_(model.bias), part.counted)
                shares = part.weights / divisor
                loss += losses @ shares
                grad_logits *= shares
                gradients[model.bias].add_(grad_logits.sum())
                of_users, of_items = backward(grad_logits, gradients)
                self._of_users.add(part.users, head.users_backward(users, of_users, gradients))
                items.backward(part.items, of_items)
            items.finish()
            return loss, [self._of_users.value(), self._of_items.value(), self._of_weights]

    def _slice_sizes(self, samples: Samples) -> list[int]:
        """Positives of each slice; on a GPU the whole step is one."""
        size = positives = len(samples.users)
        if not samples.users.is_cuda:
            size = SLICE_BYTES // (4 * self.model.head.widest * len(samples.items))
        size = max(1, size)
        return [min(size, positives - low) for low in range(0, max(1, positives), size)]


class _Node(torch.autograd.Function):
    """Computes the gradients in the forward pass; the backward pass returns them."""

    @staticmethod
    def forward(
        ctx: Any, step_loss: StepLoss, samples: Samples, divisor: float, *parameters: Tensor
    ) -> Tensor:
        """The loss, (), by the parameters of `step_loss`."""
        loss, ctx.gradients = step_loss.compute(samples, divisor)
        return loss

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients. `grad` must be 1: the loss is a term of what is minimised."""
        # As tensors of their own on the same memory, which become `.grad` without a copy.
        return None, None, None, *(gradient.detach() for gradient in ctx.gradients)


class TableGradient:
    """The gradient of a table (rows, D), added up from gradients of some rows at a time.

    Args:
        sparse: whether it consists of the rows that were added; a dense one is in memory that each
            step uses again.
    """

    def __init__(self, table: nn.Parameter, *, sparse: bool) -> None:
        self.dense = None if sparse else torch.zeros_like(table.detach())
        self._shape = table.shape
        self._rows: list[tuple[Tensor, Tensor]] = []

    def clear(self) -> None:
        """Sets it to 0."""
        self._rows.clear()
        if self.dense is not None:
            self.dense.zero_()

    def add(self, rows: Tensor, gradients: Tensor) -> None:
        """Adds gradients (n, D) to rows (n,), which may occur repeatedly."""
        if self.dense is None:
            self._rows.append((rows, gradients))
        else:
            self.dense.index_add_(0, rows, gradients)

    def value(self) -> Tensor:
        """The sum."""
        if self.dense is not None:
            return self.dense
        rows, gradients = (torch.cat(parts) for parts in zip(*self._rows, strict=True))
        return torch.sparse_coo_tensor(
            rows.unsqueeze(0), gradients, self._shape, check_invariants=False
        )


class GatheredItems:
    """Encodes the items of each sample: for steps with fewer samples than there are items."""

    def __init__(self, model: Recommender, total: TableGradient, gradients: Gradients) -> None:
        self._model, self._total, self._gradients = model, total, gradients
        self._vectors: Tensor = model.item_vectors

    def encode(self, items: Tensor) -> Encoded:
        """Items (N + 1, p) of a slice → parts (N + 1, p, …)."""
        vectors = self._model.item_vectors.index_select(0, items.flatten())
        self._vectors = vectors.view(*items.shape, vectors.shape[1])
        return self._model.head.encode_items(self._vectors)

    def backward(self, items: Tensor, grad: Encoded) -> None:
        """Adds the gradients of the items encoded last."""
        gradients = self._model.head.items_backward(self._vectors, grad, self._gradients)
        self._total.add(items.flatten(), gradients.flatten(0, 1))

    def finish(self) -> None:
        """No-op."""


class AllItems:
    """Encodes all items once a step, and gathers the encoded items of each sample."""

    def __init__(self, model: Recommender, total: TableGradient, gradients: Gradients) -> None:
        self._model, self._total, self._gradients = model, total, gradients
        # Each part in memory of its own, without gaps.
        self._encoded = [part.contiguous() for part in model.head.encode_items(model.item_vectors)]
        self._widths = [part[0].numel() for part in self._encoded]
        # Of all parts in one table, so that the rows of a slice are added up in one pass.
        self._sums = model.item_vectors.new_zeros(len(model.item_vectors), sum(self._widths))

    def encode(self, items: Tensor) -> Encoded:
        """Items (N + 1, p) of a slice → parts (N + 1, p, …)."""
        rows = items.flatten()
        gathered = (part.index_select(0, rows) for part in self._encoded)
        return tuple(part.view(*items.shape, *part.shape[1:]) for part in gathered)

    def backward(self, items: Tensor, grad: Encoded) -> None:
        """Adds up the gradients of the items encoded last."""
        columns = [part.reshape(items.numel(), -1) for part in grad]
        self._sums.index_add_(0, items.flatten(), torch.cat(columns, dim=1))

    def finish(self) -> None:
        """Adds the gradients of the item vectors."""
        parts = zip(self._sums.split(self._widths, dim=1), self._encoded, strict=True)
        sums = tuple(part.view_as(encoded) for part, encoded in parts)
        items = self._model.item_vectors
        assert self._total.dense is not None, "with sparse gradients a step has few samples"
        self._total.dense.add_(self._model.head.items_backward(items, sums, self._gradients))


def flatten_parameters(parameters: Sequence[nn.Parameter]) -> nn.Parameter:
    """One parameter of all their values, (numbers,); they become views of its memory."""
    flat = nn.Parameter(torch.cat([p.detach().flatten() for p in parameters]))
    for parameter, values in zip(parameters, _parts(flat.data, parameters), strict=True):
        parameter.data = values
    return flat


def _parts(flat: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    """A flat tensor as views of the shapes of some parameters."""
    parts = flat.split([p.numel() for p in parameters])
    return [part.view(p.shape) for part, p in zip(parts, parameters, strict=True)]
