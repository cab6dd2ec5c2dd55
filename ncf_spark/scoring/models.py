"""Scores of a stored model for every pair of a user and an item, in float32 (NumPy).

torch is not imported: each Python worker of Spark would spend a second on it.

Shapes: B users of a block, I items that are scored, F factors, E width of an MLP embedding, D width
of a vector, H width of the MLP's first hidden layer, h of any layer, n items of a tile.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import load

from ncf_spark.scoring.scorers import UserBlock, filled_up
from ncf_spark.storage import arrays, files

# Of the activations below 0.
SLOPES = {"relu": 0.0, "leaky_relu": 0.01}


class StoredModel(NamedTuple):
    """What `ncf_spark.model.store` wrote, but for the users' vectors.

    Args:
        architecture: the fields of `ncf_spark.model.recommender.Architecture`.
        weights: of the head, by the names of its parameters; and `bias`.
        item_vectors: (all items, D).
    """

    architecture: Mapping[str, Any]
    weights: Mapping[str, np.ndarray]
    item_vectors: np.ndarray

    def part(self, name: str) -> dict[str, np.ndarray]:
        """The weights below gmf or mlp: of the half of a NeuMF, or of the whole head."""
        prefix = f"head.{name}." if self.architecture["kind"] == "neumf" else "head."
        return {
            key.removeprefix(prefix): value
            for key, value in self.weights.items()
            if key.startswith(prefix)
        }


def read_model(uri: str) -> StoredModel:
    """Reads a model's manifest, head and item vectors.

    Raises:
        FileNotFoundError: when the model is not complete.
    """
    architecture = files.read_json(f"{uri}/manifest.json")["architecture"]
    weights = load(files.read_bytes(f"{uri}/shared.safetensors"))
    _, vectors = arrays.read_vectors(f"{uri}/item_vectors", "item_index")
    return StoredModel(architecture, weights, vectors)


def item_directions(model: StoredModel) -> np.ndarray:
    """(all items, D or F): vectors whose cosine says how alike two items are, without MF's bias."""
    vectors = model.item_vectors
    return vectors[:, :-1] if model.architecture["kind"] == "mf" else vectors


def normalised(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1 in the same directions; 0 stays 0."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


class ModelScorer:
    """Logits of a model for every item; the items' half is computed once.

    Each user is scored by operations on arrays of fixed shapes, so its scores do not depend on the
    other users of a block, not even in the last bit.

    Args:
        model: of any kind.
        tile_bytes: what the layers of the MLP may take for the items that are computed at a time.
        items: (I,) item indexes that are scored, ascending; None: all. Others have -inf. Those that
            the model does not know, of another night, are left out.
    """

    def __init__(
        self, model: StoredModel, tile_bytes: int, items: np.ndarray | None = None
    ) -> None:
        self.num_items = len(model.item_vectors)
        if items is None:
            items = np.arange(self.num_items)
        self._items = items[items < self.num_items]
        vectors = model.item_vectors[self._items]
        kind = model.architecture["kind"]
        factors = {"mlp": 0, "neumf": model.architecture["factors"]}.get(kind, vectors.shape[1])
        self._product = (_MF if kind == "mf" else _GMF)(model, vectors[:, :factors])
        self._tower = None
        if kind in ("mlp", "neumf"):
            self._tower = _Tower(model, vectors[:, factors:], tile_bytes)
        self._factors, self._bias = factors, model.weights["bias"]

    def __call__(self, users: UserBlock) -> np.ndarray:
        """(B, all items)."""
        vectors = filled_up(users.vectors)
        scores = self._product(vectors[:, : self._factors])[: len(users.vectors)]
        if self._tower is not None:
            self._tower.add_to(scores, vectors[:, self._factors :])
        scores += self._bias
        if len(self._items) == self.num_items:
            return scores
        every = np.full((len(scores), self.num_items), -np.inf, np.float32)
        every[:, self._items] = scores
        return every


class _MF:
    """s(u, i) / temperature + bᵤ + bᵢ as one product; the bias is the last number of a vector."""

    def __init__(self, model: StoredModel, items: np.ndarray) -> None:
        self._temperature = np.float32(model.architecture["temperature"])
        self._is_cosine = model.architecture["similarity"] == "cosine"
        ones = np.ones((len(items), 1), np.float32)
        self._items = np.hstack([self._factors(items), ones, items[:, -1:]]).T.copy()

    def _factors(self, vectors: np.ndarray) -> np.ndarray:
        return normalised(vectors[:, :-1]) if self._is_cosine else vectors[:, :-1]

    def __call__(self, users: np.ndarray) -> np.ndarray:
        """(B, F + 1) → (B, I)."""
        factors, ones = self._factors(users) / self._temperature, np.ones_like(users[:, :1])
        return np.hstack([factors, users[:, -1:], ones]) @ self._items


class _GMF:
    """h · (u ∘ i); 0 for a model without a GMF part."""

    def __init__(self, model: StoredModel, items: np.ndarray) -> None:
        self._output = model.part("gmf")["output"] if items.shape[1] else np.ones(0, np.float32)
        self._items = items.T.copy()

    def __call__(self, users: np.ndarray) -> np.ndarray:
        """(B, F) → (B, I)."""
        return (users * self._output) @ self._items


class _Tower:
    """The MLP over all pairs of users and items, features × items, in tiles that fit the cache.

    The first layer splits exactly, W·[u; i] = Wᵤ·u + Wᵢ·i. Under ReLU adding a bias c and comparing
    with 0 is one pass in place of two, since

        relu(x + c) = max(x, -c) + c,

    and the c on the right goes through the next layer as a part of the user's own bias.
    """

    def __init__(self, model: StoredModel, items: np.ndarray, tile_bytes: int) -> None:
        part, width = model.part("mlp"), items.shape[1]
        self._slope = np.float32(SLOPES[model.architecture["activation"]])
        self._of_users, self._first_bias = part["first.weight"][:, :width].T, part["first.bias"]
        numbers = range(len(model.architecture["tower"]) - 2)
        self._layers = [(part[f"layers.{n}.weight"], part[f"layers.{n}.bias"]) for n in numbers]
        self._output = part["output"][None, :]
        across = part["first.weight"][:, width:] @ items.T  # (H, I)
        widths = [len(across), *(len(bias) for _, bias in self._layers)]
        # The items' half is read beside what the layers write.
        most = max(1, tile_bytes // (4 * (len(across) + sum(widths))))
        self._tile_items = _tile_items(len(items), most)
        starts = range(0, len(items), self._tile_items)
        filled = np.zeros((len(across), len(starts) * self._tile_items), np.float32)
        filled[:, : len(items)] = across
        self._tiles = [filled[:, start : start + self._tile_items].copy() for start in starts]
        self._spaces = [np.empty((width, self._tile_items), np.float32) for width in widths]

    def add_to(self, scores: np.ndarray, users: np.ndarray) -> None:
        """Adds the logits of the first B users to (B, I); further users fill the block up."""
        shifts, constants = self._shifts(users @ self._of_users + self._first_bias)
        scores += constants[: len(scores), None]
        weights = [weight for weight, _ in self._layers]
        for number, items in enumerate(self._tiles):
            columns = slice(number * self._tile_items, (number + 1) * self._tile_items)
            for row, (first, *further) in zip(scores, zip(*shifts, strict=True), strict=False):
                hidden = self._activate(items, first, self._spaces[0])
                for weight, shift, space in zip(weights, further, self._spaces[1:], strict=True):
                    hidden = self._activate(np.matmul(weight, hidden, out=space), shift, space)
                part = row[columns]
                part += (self._output @ hidden)[0, : len(part)]

    def _shifts(self, users: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """What each layer is shifted by, (B, h, 1), and what is left over for a logit, (B,).

        Under ReLU these are -c, and c goes on through the next layer.
        """
        if self._slope:
            biases = [np.tile(bias, (len(users), 1)) for _, bias in self._layers]
            shifts, left = [users, *biases], np.zeros(len(users), np.float32)
        else:
            shifts = [users]
            for weight, bias in self._layers:
                shifts.append(shifts[-1] @ weight.T + bias)
            left = shifts[-1] @ self._output[0]
            shifts = [-shift for shift in shifts]
        return [shift[:, :, None] for shift in shifts], left

    def _activate(self, hidden: np.ndarray, shift: np.ndarray, out: np.ndarray) -> np.ndarray:
        """(h, n) shifted by (h, 1) and activated → `out`."""
        if not self._slope:
            return np.maximum(hidden, shift, out=out)
        np.add(hidden, shift, out=out)
        return np.maximum(out, self._slope * out, out=out)


def _tile_items(num_items: int, most: int) -> int:
    """Items of a tile: an odd multiple of 16, at about `most`, so that tiles are alike.

    So rows are aligned for vector instructions, and are not a multiple of 4 KiB apart, which would
    make a matrix product take twice as long.
    """
    count = max(1, -(-num_items // most))
    return 16 * (-(-num_items // (16 * count)) | 1)
