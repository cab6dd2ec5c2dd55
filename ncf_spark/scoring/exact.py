"""Logits of single pairs in double precision, and what single precision can be wrong by.

Shapes: S pairs, B users; parts of encoded users and items as in `ncf_spark.model.heads`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ncf_spark.model.heads import GMF, MF, MLP, Encoded, Head


def pair_logits(head: Head, users: Encoded, items: Encoded) -> Tensor:
    """(S,) without the model's bias, from S encoded users and S encoded items."""
    if isinstance(head, MF):
        return (users[0] * items[0]).sum(dim=1) + users[1] + items[1]
    if isinstance(head, GMF):
        return (users[0] * items[0]).sum(dim=1)
    if isinstance(head, MLP):
        hidden = _activate(users[0] + items[0], head.slope)
        for weight, bias in head.further():
            hidden = _activate(torch.addmm(bias, hidden, weight.T), head.slope)
        return hidden @ head.output
    return pair_logits(head.gmf, users[:1], items[:1]) + pair_logits(head.mlp, users[1:], items[1:])


def _activate(hidden: Tensor, slope: float) -> Tensor:
    return torch.nn.functional.leaky_relu_(hidden, slope)


def sum_lengths(head: Head) -> int:
    """How many numbers are added up on the way from encoded sides to a logit, layer after layer."""
    if isinstance(head, MF | GMF):
        return head.width
    if isinstance(head, MLP):
        return sum(weight.shape[1] for weight, _ in head.further()) + len(head.output)
    return sum_lengths(head.gmf) + sum_lengths(head.mlp)


def sizes_of_logits(head: Head, users: Encoded, largest: Encoded) -> Tensor:
    """(B,): bounds on the sum of the sizes of all that is added up to a logit.

    A sum of m products is wrong by at most about m · precision · the sum of their sizes (Higham
    2002, section 3.1), a rounded number by precision · its size, and no activation makes an error
    larger. So an error is at most the relative one of all sums on its way times this.

    Args:
        largest: of each part of the items, the largest size in each place.
    """
    if isinstance(head, MF):
        return users[0].abs() @ largest[0] + users[1].abs() + largest[1]
    if isinstance(head, GMF):
        return users[0].abs() @ largest[0]
    if isinstance(head, MLP):
        # As in model/tiles.py: relu(x + c) is max(x, -c) and c, of which each goes its own way.
        shift = users[0].abs()
        hidden = torch.maximum(shift, largest[0])
        for weight, bias in head.further():
            shift = shift @ weight.abs().T + bias.abs()
            hidden = torch.maximum(hidden @ weight.abs().T, shift)
        return (hidden + shift) @ head.output.abs()
    of_gmf = sizes_of_logits(head.gmf, users[:1], largest[:1])
    return of_gmf + sizes_of_logits(head.mlp, users[1:], largest[1:])
