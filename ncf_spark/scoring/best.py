"""Each user's best items by a model, exact in double precision (torch, on any device).

All pairs are scored in single precision. What is within a proven bound of a place among the best k
is scored again in double precision, and that decides: the lists are those of a double-precision
pass over every pair, and don't depend on the order in which a device adds single-precision numbers.

Shapes: B users of a block, I items that may be recommended, n ≤ B · I candidates, D width of a
vector.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from ncf_spark.model.recommender import Recommender
from ncf_spark.scoring.blocks import Pairs, UserBlock, filled_up, laid_out, positions_in_row
from ncf_spark.scoring.exact import pair_logits, sizes_of_logits, sum_lengths

# Scores of a group: what is far from the best is left out so many at a time.
GROUP = 16
# Candidates scored in double precision at a time. One shape gives one order of adding.
CANDIDATES = 256
# Users of a block, likewise. A GPU takes more of them for each of its launches.
ROWS = {"cpu": 128, "cuda": 1024}


def rows_of(device: torch.device) -> int:
    """How many users a block has at most on the device."""
    return ROWS[device.type]


class BestItems:
    """The k best of some items for blocks of users.

    Args:
        model: with its item vectors, on the device that is to score.
        items: (I,) item indexes that may be recommended, ascending.
        k: how many.
        tile_bytes: bound on the largest intermediate.
        precision: relative error of a product in single precision; 2⁻¹¹ where it may be rounded to
            TF32, which costs many more candidates.
    """

    def __init__(
        self,
        model: Recommender,
        items: Tensor,
        k: int,
        tile_bytes: int,
        precision: float = 2.0**-24,
    ) -> None:
        self._items, self._k, self._tile_bytes = items, k, tile_bytes
        self._place = items.new_full((model.item_vectors.shape[0],), -1)
        self._place[items] = torch.arange(len(items), device=items.device)
        self._single, self._double = model.head, copy.deepcopy(model.head).double()
        self._bias = model.bias.detach().double()
        with torch.no_grad():
            vectors = model.item_vectors[items].double()
            self._encoded = self._double.encode_items(vectors)
            # Whole groups: filling up the scores of each block took as long as looking at them.
            rounded = (filled_up(part.float(), GROUP) for part in self._encoded)
            self._rounded = laid_out(tuple(rounded))
            # Items without a number have no score, and no say.
            sizes = (filled_up(part, 1).nan_to_num(nan=0.0).abs() for part in self._encoded)
            self._largest = tuple(part.amax(dim=0) for part in sizes)
        # What was looked at so far, for those who want to know.
        self.num_rows = self.num_candidates = 0
        self._relative = 2 * (sum_lengths(model.head) + 8) * precision

    @torch.no_grad()
    def __call__(self, users: UserBlock) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, items and scores (double), best first; of equal scores the lower item first.

        Rows with fewer than k items left have fewer. A score that is not a number is none.

        Args:
            users: at most `rows_of` the device.
        """
        if not len(self._items) or not len(users.vectors):
            none = self._items.new_empty(0)
            return none, none, none.double()
        vectors = filled_up(users.vectors, rows_of(users.vectors.device)).double()
        encoded = self._double.encode_users(vectors)
        rounded = tuple(part.float()[: len(users.vectors)] for part in encoded)
        scores = self._single.block(rounded, self._rounded, self._tile_bytes)
        scores[:, len(self._items) :] = -torch.inf
        rows, seen = users.seen[0], self._place[users.seen[1]]
        scores[rows[seen >= 0], seen[seen >= 0]] = -torch.inf
        error = self._relative * sizes_of_logits(self._double, encoded, self._largest)
        margin = 2 * error[: len(scores)].nan_to_num(nan=torch.inf)
        rows, places = candidates(scores, self._k, margin)
        self.num_rows += len(scores)
        self.num_candidates += len(rows)
        exact = self._score(encoded, rows, places)
        known = ~exact.isnan()
        rows, places, exact = in_order(rows[known], places[known], exact[known])
        kept = positions_in_row(rows) <= self._k
        return rows[kept], self._items[places[kept]], exact[kept]

    def _score(self, users: tuple[Tensor, ...], rows: Tensor, places: Tensor) -> Tensor:
        """(n,): the pairs' scores in double precision."""
        parts = [
            pair_logits(
                self._double,
                tuple(part[some_rows] for part in users),
                tuple(part[some_places] for part in self._encoded),
            )
            for some_rows, some_places in zip(
                filled_up(rows, CANDIDATES).split(CANDIDATES),
                filled_up(places, CANDIDATES).split(CANDIDATES),
                strict=True,
            )
        ]
        return torch.cat(parts)[: len(rows)] + self._bias


def candidates(scores: Tensor, k: int, margin: Tensor) -> Pairs:
    """Rows and items that may be among the k best of a row, if scores are off by margin / 2.

    The k groups of items with the largest best scores have at least k items from the least of these
    scores up. What is below it by more than the margin is none of the k best.

    Args:
        scores: (B, I), I > 0. Those of -inf are none, nor are those that are not numbers.
        margin: (B,).
    """
    width = GROUP if scores.shape[1] >= 4 * GROUP * k else 1
    count = -(-scores.shape[1] // width)
    missing = count * width - scores.shape[1]
    padded = torch.nn.functional.pad(scores, (0, missing), value=-torch.inf) if missing else scores
    # Items of a group stand `count` apart, so that the maxima are taken along the rows.
    grouped = padded.view(len(scores), width, count)
    best = grouped.amax(dim=1)
    if best.isnan().any():
        grouped = grouped.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
        best = grouped.amax(dim=1)
    threshold = best.topk(min(k, count), dim=1).values[:, -1:] - margin.unsqueeze(1)
    rows, groups = (best >= threshold).nonzero(as_tuple=True)
    values = grouped[rows, :, groups]
    near = (values >= threshold[rows]) & (values > -torch.inf)
    hits, members = near.nonzero(as_tuple=True)
    return rows[hits], members * count + groups[hits]


def in_order(rows: Tensor, items: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sorted by row, then score, the best first, then item."""
    order = torch.argsort(items, stable=True)
    order = order[torch.argsort(scores[order], descending=True, stable=True)]
    order = order[torch.argsort(rows[order], stable=True)]
    return rows[order], items[order], scores[order]
