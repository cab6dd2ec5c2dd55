"""Where scores come from: what is sent to the executors is a kind, a URI and sizes."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ncf_spark.model.store import load_model
from ncf_spark.model.tiles import TILE_BYTES
from ncf_spark.scoring.device import task_device
from ncf_spark.scoring.models import ModelScorer
from ncf_spark.scoring.scorers import (
    DotScorer,
    ItemItemScorer,
    PopularityScorer,
    Scorer,
    UserBlock,
)
from ncf_spark.storage import arrays


class ScorerSpec(NamedTuple):
    """Where scores come from.

    Args:
        kind: model (a stored model), dot (item_vectors), popularity (num_users of items) or
            item_item (neighbours of items).
        uri: of the folder or table.
        block_bytes: of a model's widest layer, for what is computed at a time on a CPU.
        num_items: of the item index, which the tables of popularity and item_item don't hold.
        items_uri: a table of item_index, the items that take part; empty: all do.
    """

    kind: str
    uri: str
    block_bytes: int = 0
    num_items: int = 0
    items_uri: str = ""


def compute_scores(spec: ScorerSpec, users: UserBlock) -> Tensor:
    """(B, I); -inf for items that take no part, or that the scorer does not know."""
    scores = load_scorer(spec)(users)
    missing = max(0, spec.num_items - scores.shape[1])
    if missing:
        scores = torch.nn.functional.pad(scores, (0, missing), value=-torch.inf)
    scores[:, _absent_items(spec.items_uri, scores.shape[1])] = -torch.inf
    return scores


def compute_cosines(spec: ScorerSpec, items: np.ndarray) -> Tensor:
    """(B, I): of B items and every item; -inf for items that take no part.

    Args:
        spec: of a model or of vectors alone.
        items: (B,) item indexes.
    """
    directions = _item_directions(spec.kind, spec.uri)
    scorer = DotScorer(directions.to(task_device()))
    cosines = scorer(UserBlock(directions.numpy()[items]))
    cosines[:, _absent_items(spec.items_uri, len(directions))] = -torch.inf
    return cosines


def load_scorer(spec: ScorerSpec) -> Scorer:
    """On the device of this task; a Python worker that serves several tasks loads it once."""
    return _load_scorer(spec, task_device())


# Two, for a Python worker whose tasks go over from one model to the next.
@lru_cache(maxsize=2)
def _load_scorer(spec: ScorerSpec, device: torch.device) -> Scorer:
    if spec.kind == "model":
        items = _items(spec.items_uri) if spec.items_uri else None
        tile_bytes = spec.block_bytes if device.type == "cpu" else TILE_BYTES[device.type]
        return ModelScorer(load_model(spec.uri).model.to(device), tile_bytes, items)
    if spec.kind == "dot":
        return DotScorer(_item_vectors(spec.uri).to(device))
    return _popularity(spec) if spec.kind == "popularity" else _item_item(spec)


@lru_cache(maxsize=1)
def _item_directions(kind: str, uri: str) -> Tensor:
    """(I, any width), each of length 1, or of 0 where a vector is all zero; on the CPU."""
    if kind == "model":
        model = load_model(uri).model
        directions = model.head.item_directions(model.item_vectors.detach())
    else:
        directions = _item_vectors(uri)
    return torch.nn.functional.normalize(directions)


@lru_cache(maxsize=1)
def _items(uri: str) -> np.ndarray:
    """The item indexes of a table, ascending."""
    return np.sort(arrays.read_columns(uri, ["item_index"])["item_index"])


@lru_cache(maxsize=1)
def _absent_items(items_uri: str, num_items: int) -> Tensor:
    """The item indexes below `num_items` that a table lacks; none without a table."""
    present = _items(items_uri) if items_uri else np.arange(num_items)
    return torch.from_numpy(np.setdiff1d(np.arange(num_items), present))


def _item_vectors(uri: str) -> Tensor:
    return torch.from_numpy(arrays.read_vectors(f"{uri}/item_vectors", "item_index")[1])


def _popularity(spec: ScorerSpec) -> Scorer:
    items, num_users = arrays.read_columns(spec.uri, ["item_index", "num_users"]).values()
    # As float32, counts above 2²⁴ would tie.
    scores = np.full(max(spec.num_items, int(items.max()) + 1), -np.inf)
    scores[items] = num_users
    return PopularityScorer(torch.from_numpy(scores))


def _item_item(spec: ScorerSpec) -> Scorer:
    columns = ["item_index", "neighbour_index", "similarity"]
    items, neighbours, similarities = arrays.read_columns(spec.uri, columns).values()
    return ItemItemScorer(items, neighbours, similarities, spec.num_items)
