"""Scorers by where they stand: what is sent to the executors is a name and a URI."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ncf_spark.model.store import load_model
from ncf_spark.scoring.batches import integers
from ncf_spark.scoring.best import BestItems
from ncf_spark.scoring.blocks import DotScorer, ItemItemScorer, ModelScorer, SameForAll, Scorer
from ncf_spark.storage import arrays


class BestPlace(NamedTuple):
    """Where a model's best items come from.

    Args:
        model_uri: of the stored model.
        eligible_uri: a table of item_index.
        k: items of a user.
        tile_bytes: bound on the largest intermediate.
    """

    model_uri: str
    eligible_uri: str
    k: int
    tile_bytes: int


@lru_cache(maxsize=1)
def load_best(place: BestPlace) -> BestItems:
    """The best items at a place; a Python worker that serves several tasks loads them once."""
    torch.set_num_threads(1)
    model = load_model(place.model_uri).model
    return BestItems(model, eligible_items(place.eligible_uri), place.k, place.tile_bytes)


@lru_cache(maxsize=1)
def eligible_items(uri: str) -> Tensor:
    """The item indexes of a table, ascending."""
    return integers(np.sort(arrays.read_columns(uri, ["item_index"])["item_index"]))


class ScorerPlace(NamedTuple):
    """Where scores come from.

    Args:
        kind: model (a stored model), dot (item_vectors), popularity (num_users of items) or
            item_item (neighbours of items).
        uri: of the folder or table.
        block_bytes: bound on the largest intermediate of a model.
        num_items: of the item index; only item_item's table doesn't tell.
    """

    kind: str
    uri: str
    block_bytes: int = 0
    num_items: int = 0


# Two, for a worker whose tasks go over from one model to the next.
@lru_cache(maxsize=2)
def load_scorer(place: ScorerPlace) -> Scorer:
    """The scorer at a place; a Python worker that serves several tasks loads it once."""
    # Spark runs as many Python workers as there are cores; each gets one.
    torch.set_num_threads(1)
    if place.kind == "model":
        return ModelScorer(load_model(place.uri).model, place.block_bytes)
    return _BASELINES[place.kind](place)


def _dot(place: ScorerPlace) -> Scorer:
    _, vectors = arrays.read_vectors(f"{place.uri}/item_vectors", "item_index")
    return DotScorer(torch.from_numpy(vectors.copy()))


def _popularity(place: ScorerPlace) -> Scorer:
    table = arrays.read_columns(place.uri, ["item_index", "num_users"])
    # Counts above 2^24 would tie as float32.
    scores = torch.zeros(len(table["item_index"]), dtype=torch.float64)
    scores[integers(table["item_index"])] = integers(table["num_users"]).double()
    return SameForAll(scores)


def _item_item(place: ScorerPlace) -> Scorer:
    columns = ["item_index", "neighbour_index", "similarity"]
    items, neighbours, similarities = arrays.read_columns(place.uri, columns).values()
    return ItemItemScorer(
        integers(items),
        integers(neighbours),
        torch.from_numpy(similarities.copy()),
        place.num_items,
    )


_BASELINES = {"dot": _dot, "popularity": _popularity, "item_item": _item_item}
