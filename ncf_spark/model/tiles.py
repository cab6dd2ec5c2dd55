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

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

# (weight (outputs, inputs), bias (outputs,)) of a layer.
Layer = tuple[Tensor, Tensor]


# Of the widest intermediate: a core's second-level cache; enough to keep a GPU busy.
TILE_BYTES = {"cpu": 2**20, "cuda": 2**28}


def tile_bytes_of(device: torch.device) -> int:
    """What suits a device."""
    return TILE_BYTES[device.type]


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

    Args:
        logits: (B, I), contiguous.
        users: (B, H) what the first layer makes of them.
        items: (I, H) the same; quickest as the transpose of a contiguous (H, I).
        layers: the further ones.
        output: (width of the last layer,).
        slope: of the activation below 0; 0 is ReLU.
        tile_bytes: of the widest intermediate of a tile.
    """
    shifts, constants = _shifts(users, layers, output, slope)
    across = items.T.contiguous()
    widths = [len(shift) for shift in shifts]
    pairs = max(1, tile_bytes // (logits.element_size() * max(widths)))
    space = [logits.new_empty(width * min(pairs, logits.numel())) for width in widths]
    weights, rooms = [weight for weight, _ in layers], _rooms(space, widths, (0, 0))
    for rows, columns in tiles(len(logits), logits.shape[1], pairs):
        tile = logits[rows, columns]
        if tile.shape != rooms[0][0].shape[1:]:
            rooms = _rooms(space, widths, tuple(tile.shape))
        hidden, flat = across[:, columns].unsqueeze(1), rooms[0][1]
        for place, (room, shift) in enumerate(zip(rooms, shifts, strict=True)):
            if place:
                torch.mm(weights[place - 1], flat, out=room[1])
                hidden = room[0]
            flat = room[1]
            _activate(hidden, shift[:, rows], slope, room[0])
        tile.view(1, -1).addmm_(output.unsqueeze(0), flat)
    logits += constants.unsqueeze(1)


def _rooms(
    space: Sequence[Tensor], widths: Sequence[int], shape: tuple[int, ...]
) -> list[tuple[Tensor, Tensor]]:
    """The same memory as (h, T, n) and (h, T · n), for each layer.

    Made once for all tiles of a shape: a view takes as long as 50 pairs.
    """
    made = [room[: width * math.prod(shape)] for room, width in zip(space, widths, strict=True)]
    views = [room.view(width, *shape) for room, width in zip(made, widths, strict=True)]
    return [(view, view.view(len(view), math.prod(shape))) for view in views]


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


def tiles(num_rows: int, num_columns: int, pairs: int) -> Iterator[tuple[slice, slice]]:
    """Cuts a table into whole rows of at most `pairs` cells, or each row into parts.

    3 × 4 by 8 → rows 0:2 and 2:3; 2 × 5 by 3 → columns 0:3 and 3:6 of row 0, then of row 1. Parts
    of at least 16 columns are multiples of 16, so that each begins on a line of the cache where the
    row does.
    """
    height = max(1, pairs // max(1, num_columns))
    width = pairs if pairs < 16 else pairs // 16 * 16
    if num_columns <= pairs:
        width = max(1, num_columns)
    for row in range(0, num_rows, height):
        for column in range(0, num_columns, width):
            yield slice(row, row + height), slice(column, column + width)
