"""The losses and their gradients, by the logits of a positive and of its negatives.

Shapes: P positives, N negatives of each. Logits are (N + 1, P), the positives in the first row.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, softplus

# (logits (N + 1, P), counted (N + 1, P) or None where all count) → the loss of each positive with
# its negatives (P,), and its gradients by the logits (N + 1, P). `counted` is 1, or 0 for samples
# that must not be learnt from.
Loss = Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]]


def bce(logits: Tensor, counted: Tensor | None) -> tuple[Tensor, Tensor]:
    """Binary cross-entropy of label 1 for the positive and 0 for the rest (He et al., eq. 7)."""
    # -log(1 - σ(x)) = softplus(x), and -log σ(x) = softplus(x) - x.
    terms, gradients = softplus(logits), logits.sigmoid()
    gradients[0] -= 1.0
    if counted is not None:
        terms, gradients = terms * counted, gradients * counted
    return terms.sum(dim=0) - logits[0], gradients


def squared(logits: Tensor, counted: Tensor | None) -> tuple[Tensor, Tensor]:
    """Squared error against the same labels (He et al., eq. 5)."""
    errors = logits.clone()
    errors[0] -= 1.0
    if counted is not None:
        errors = errors * counted
    return errors.square().sum(dim=0), 2.0 * errors


def softmax(logits: Tensor, counted: Tensor | None) -> tuple[Tensor, Tensor]:
    """Sampled soft-max: -log of the positive's share of exp(logit) among its own negatives.

    Without a correction for the sampling, so with uniform negatives it estimates the full
    soft-max, and with others it is weighted towards them (Bengio and Senécal 2008).
    """
    if counted is not None:
        logits = logits.masked_fill(counted == 0, -torch.inf)
    logs = log_softmax(logits, dim=0)
    gradients = logs.exp()
    gradients[0] -= 1.0
    return -logs[0], gradients


LOSSES: dict[str, Loss] = {"bce": bce, "squared": squared, "softmax": softmax}


def terms_per_positive(loss: str, num_negatives: int) -> int:
    """Terms that a positive adds to the mean loss: 1 for soft-max, else one for each sample."""
    return 1 if loss == "softmax" else 1 + num_negatives
