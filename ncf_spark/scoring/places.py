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
        num_items: of the item index, which the tables of popularity and item_item don't tell.
        items_uri: a table of item_index, the items that take part; empty: all do.
    """

    kind: str
    uri: str
    block_bytes: int = 0
    num_items: int = 0
    items_uri: str = ""


# Two, for a worker whose tasks go over from one model to the next.
@lru_cache(maxsize=2)
def load_scorer(place: ScorerPlace) -> Scorer:
    """The scorer at a place; a Python worker that serves several tasks loads it once."""
    # Spark runs as many Python workers as there are cores; each gets one.
    torch.set_num_threads(1)
    if place.kind == "model":
        return ModelScorer(load_model(place.uri).model, place.block_bytes)
    return _BASELINES[place.kind](place)


def item_vectors(uri: str) -> Tensor:
    """(I, D) of a folder with vectors."""
    _, vectors = arrays.read_vectors(f"{uri}/item_vectors", "item_index")
    return torch.from_numpy(vectors.copy())


@lru_cache(maxsize=1)
def absent_items(items_uri: str, num_items: int) -> Tensor:
    """The item indexes below `num_items` that a table lacks, ascending; none without a table."""
    absent = torch.full((num_items,), bool(items_uri))
    if items_uri:
        absent[eligible_items(items_uri)] = False
    return absent.nonzero().squeeze(1)


def _dot(place: ScorerPlace) -> Scorer:
    return DotScorer(item_vectors(place.uri))


def _popularity(place: ScorerPlace) -> Scorer:
    table = arrays.read_columns(place.uri, ["item_index", "num_users"])
    # Counts above 2^24 would tie as float32.
    items = integers(table["item_index"])
    num_items = max(place.num_items, int(items.max()) + 1)
    scores = torch.full((num_items,), -torch.inf, dtype=torch.float64)
    scores[items] = integers(table["num_users"]).double()
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
