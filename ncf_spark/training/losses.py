"""The losses: what each makes of a positive's logit and those of its negatives.

Shapes: P positives, N negatives of each. Logits are (P, N + 1), the positive in the first column.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid

# (logits (P, N + 1), counted (P, N + 1) or None where all count) → (P,).
Loss = Callable[[Tensor, Tensor | None], Tensor]


def bce(logits: Tensor, counted: Tensor | None) -> Tensor:
    """Binary cross-entropy of label 1 for the positive and 0 for the rest (He et al., eq. 7)."""
    signs = logits.new_full((logits.shape[1],), -1.0)
    signs[0] = 1.0
    terms = -logsigmoid(logits * signs)  # σ(-x) = 1 - σ(x)
    return (terms if counted is None else terms * counted).sum(dim=1)


def squared(logits: Tensor, counted: Tensor | None) -> Tensor:
    """Squared error against the same labels (He et al., eq. 5)."""
    errors = (logits - _labels(logits)).square()
    return (errors if counted is None else errors * counted).sum(dim=1)


def softmax(logits: Tensor, counted: Tensor | None) -> Tensor:
    """Sampled soft-max: -log of the positive's share of exp(logit) among its own negatives.

    Without a correction for the sampling, so with uniform negatives it estimates the full
    soft-max, and with others it is weighted towards them (Bengio and Senécal 2008).
    """
    if counted is not None:
        logits = logits.masked_fill(counted == 0, -torch.inf)
    first = torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
    return cross_entropy(logits, first, reduction="none")


LOSSES: dict[str, Loss] = {"bce": bce, "squared": squared, "softmax": softmax}


def terms_per_positive(loss: str, num_negatives: int) -> int:
    """Terms that a positive brings to a loss's mean: soft-max has one, the others one a sample."""
    return 1 if loss == "softmax" else 1 + num_negatives


def counted(items: Tensor, unresolved: Tensor) -> Tensor | None:
    """Weights (P, N + 1) that are 0 where a negative is unresolved; None where all count.

    Args:
        items: (P, N + 1).
        unresolved: (n,) flat positions within the (P, N) negatives.
    """
    if not len(unresolved):
        return None
    weights = torch.ones_like(items, dtype=torch.float32)
    negatives = items.shape[1] - 1
    weights[unresolved // negatives, 1 + unresolved % negatives] = 0.0
    return weights


def _labels(logits: Tensor) -> Tensor:
    labels = torch.zeros_like(logits)
    labels[:, 0] = 1.0
    return labels
