"""The k best columns of each row of a table of scores, on any device.

Shapes: B users of a block, I items.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

# Items of a group: the best scores of groups bound those of items, and are fewer to search.
GROUP = 16

# Rows and items (each (S,)) of user-item pairs.
Pairs = tuple[np.ndarray, np.ndarray]


def top_k(scores: Tensor, k: int, hidden: Pairs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The k best items of each row, best first; of equal scores the lower item index comes first.

    Args:
        scores: (B, I); overwritten. Items whose score is -inf or NaN are ignored.
        hidden: rows and items that are left out.

    Returns:
        rows, items and scores, each (n,) with n ≤ B · k: a row with fewer than k items left has
        fewer.
    """
    scores[tuple(torch.from_numpy(part).to(scores.device) for part in hidden)] = -torch.inf
    scores.nan_to_num_(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    width = GROUP if scores.shape[1] >= 4 * GROUP * k else 1
    missing = -scores.shape[1] % width
    padded = torch.nn.functional.pad(scores, (0, missing), value=-torch.inf) if missing else scores
    # Items of a group are `count` apart, so that maxima are taken along the rows.
    count = padded.shape[1] // width
    grouped = padded.view(len(scores), width, count)
    best = grouped.amax(dim=1)
    # k groups whose best items reach a bound have k items that do.
    bounds = best.topk(min(k, count)).values[:, -1:]
    rows, groups = (best >= bounds).nonzero(as_tuple=True)
    values = grouped[rows, :, groups]
    is_found = (values >= bounds[rows]) & (values > -torch.inf)
    hits, members = is_found.nonzero(as_tuple=True)
    found = rows[hits], members * count + groups[hits], values[hits, members]
    of_rows, of_items, of_scores = (part.cpu().numpy() for part in found)
    order = np.lexsort((of_items, -of_scores, of_rows))
    order = order[positions_in_row(of_rows[order]) <= k]
    return of_rows[order], of_items[order], of_scores[order]


def positions_in_row(rows: np.ndarray) -> np.ndarray:
    """1, 2, … within each run of equal values: [0, 0, 2, 2, 2] → [1, 2, 1, 2, 3]."""
    begins = np.flatnonzero(np.diff(rows, prepend=rows[:1] - 1))
    lengths = np.diff(begins, append=len(rows))
    return np.arange(1, len(rows) + 1) - np.repeat(begins, lengths)
