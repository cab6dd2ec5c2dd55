"""The tower over all pairs of a block of users and items, in tiles that fit the cache.

Shapes: B users and I items of a block, H width of the first hidden layer, h of any layer, T users
and n items of a tile.

Scoring looks at every pair, so here the layers are turned round: features × pairs, which makes each
layer one fat product and each of its biases a column. Of ReLU's three passes over the pairs (add,
compare with 0, add the next bias) one is left, since

    relu(x + c) = max(x, -c) + c,

and the c on the right goes through the next layer as a part of the user's own bias.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# (weight (outputs, inputs), bias (outputs,)) of a layer.
Layer = tuple[Tensor, Tensor]

# Of the widest layer of a tile: a core's second-level cache; enough to keep a GPU busy.
TILE_BYTES = {"cpu": 2**20, "cuda": 2**28}


@torch.no_grad()
def add_tower(
    logits: Tensor,
    users: Tensor,
    items: Tensor,
    layers: Sequence[Layer],
    output: Tensor,
    *,
    slope: float,
    tile_bytes: int,
) -> None:
    """Adds the tower's logits of all pairs.

    On a CPU each user is computed by products of the same shapes, so its logits do not depend on
    the other users of the block, not even in the last bit.

    Args:
        logits: (B, I), contiguous.
        users: (B, H) what the first layer makes of them.
        items: (I, H) the same; quickest as the transpose of a contiguous (H, I).
        layers: the further ones.
        output: (width of the last layer,).
        slope: of the activation below 0; 0 is ReLU.
        tile_bytes: of the widest layer of a tile.
    """
    shifts, constants = _shifts(users, layers, output, slope)
    logits += constants.unsqueeze(1)
    widths = [len(shift) for shift in shifts]
    most = max(1, tile_bytes // (logits.element_size() * max(widths)))
    height, width = _tile_shape(len(users), len(items), most, logits.is_cuda)
    weights = [weight for weight, _ in layers]
    by_users = [shift.split(height, dim=1) for shift in shifts]
    for across, columns in zip(items.T.split(width, 1), logits.split(width, 1), strict=True):
        across = across.contiguous().unsqueeze(1)
        spaces: list[Tensor] = []
        for tile, first, *further in zip(columns.split(height), *by_users, strict=True):
            if not spaces or tile.shape != spaces[0].shape[1:]:
                spaces = [logits.new_empty(width, *tile.shape) for width in widths]
                flat = [space.flatten(1) for space in spaces]
            _activate(across, first, slope, spaces[0])
            for depth, (weight, shift) in enumerate(zip(weights, further, strict=True), 1):
                torch.mm(weight, flat[depth - 1], out=flat[depth])
                _activate(spaces[depth], shift, slope, spaces[depth])
            tile.view(1, -1).addmm_(output.unsqueeze(0), flat[-1])


def _tile_shape(num_users: int, num_items: int, most: int, many_users: bool) -> tuple[int, int]:
    """Users and items of a tile of at most about `most` pairs: whole rows, or a part of one.

    A part has an odd multiple of 16 items: so rows are aligned for vector instructions, and are not
    a multiple of 4 KiB apart, which would make a product take twice as long.
    """
    count = max(1, -(-num_items // most))
    if many_users and count == 1:
        return max(1, min(num_users, most // max(1, num_items))), max(1, num_items)
    return 1, 16 * (-(-num_items // (16 * count)) | 1)


def _shifts(
    users: Tensor, layers: Sequence[Layer], output: Tensor, slope: float
) -> tuple[list[Tensor], Tensor]:
    """What each layer's pairs are shifted by, (h, B, 1), and what is left over for a logit, (B,).

    Under ReLU these are -c, and c goes on through the next layer.
    """
    shift, sign = users, 1.0 if slope else -1.0
    shifts = [(sign * shift).T.unsqueeze(2).contiguous()]
    for weight, bias in layers:
        shift = bias.expand(len(users), -1) if slope else torch.addmm(bias, shift, weight.T)
        shifts.append((sign * shift).T.unsqueeze(2).contiguous())
    return shifts, users.new_zeros(len(users)) if slope else shift @ output


def _activate(hidden: Tensor, shift: Tensor, slope: float, out: Tensor) -> None:
    """(h, T or 1, n) shifted by (h, T, 1) and activated → `out`, (h, T, n)."""
    if slope:
        torch.add(hidden, shift, out=out)
        torch.nn.functional.leaky_relu_(out, slope)
    else:
        torch.maximum(hidden, shift, out=out)
