"""The types that heads exchange: encoded vectors, and the gradients of weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

# What a head makes of the vectors of one side: one tensor for each of its parts.
Encoded = tuple[Tensor, ...]

# By parameter of a head, the tensor that its gradients are added to.
Gradients = Mapping[Tensor, Tensor]

# Gradients of logits (N, P) → those of the encoded users and of the encoded items. It adds the
# gradients of the head's parameters to `Gradients`, and may be called once.
PairsBackward = Callable[[Tensor, Gradients], tuple[Encoded, Encoded]]
