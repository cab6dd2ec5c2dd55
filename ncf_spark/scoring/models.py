"""Scores of a stored model for every pair of a user and an item, in float32, on any device.

Shapes: B users of a block, I items that are scored, D width of a vector.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ncf_spark.model.recommender import Recommender
from ncf_spark.scoring.scorers import UserBlock, filled_up


class ModelScorer:
    """Logits of a model for every item; the items' half is computed once.

    On a CPU a user's scores do not depend on the other users of a block, not even in the last bit.

    Args:
        model: in evaluation mode, with its item vectors, on the device that is to score.
        tile_bytes: of the MLP's widest layer, for the pairs that are computed at a time.
        items: (n,) item indexes that are scored; None: all. Others have -inf.
    """

    def __init__(
        self, model: Recommender, tile_bytes: int, items: np.ndarray | None = None
    ) -> None:
        self._model, self._tile_bytes = model, tile_bytes
        self.num_items, self._device = len(model.item_vectors), model.item_vectors.device
        every = np.arange(self.num_items)
        # Tonight's items may be more than those of a model of last night.
        chosen = every if items is None else np.intersect1d(items, every)
        self._items = torch.from_numpy(chosen).long().to(self._device)
        with torch.no_grad():
            vectors = model.item_vectors[self._items]
            # An item's numbers stand apart: so blocks are quickest.
            self._encoded = tuple(
                part.T.contiguous().T if part.dim() == 2 else part
                for part in model.head.encode_items(vectors)
            )

    @torch.no_grad()
    def __call__(self, users: UserBlock) -> Tensor:
        """(B, all items)."""
        head, count = self._model.head, len(users.vectors)
        encoded = head.encode_users(filled_up(users.vectors, self._device))
        scores = head.block(encoded, self._encoded, self._tile_bytes)[:count].add_(self._model.bias)
        if len(self._items) == self.num_items:
            return scores
        every = scores.new_full((count, self.num_items), -torch.inf)
        every[:, self._items] = scores
        return every
