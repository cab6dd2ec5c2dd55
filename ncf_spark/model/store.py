"""A model's files: manifest.json, shared.safetensors, user_vectors/ and item_vectors/."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from ncf_spark.model.recommender import Architecture, Recommender
from ncf_spark.storage import arrays, files


def save_users(uri: str, shard: int, user_indexes: np.ndarray, vectors: np.ndarray) -> None:
    """Writes the users of one shard: (rows,) and (rows, D)."""
    arrays.write_vectors(f"{uri}/{users_file(shard)}", "user_index", user_indexes, vectors)


def users_file(shard: int) -> str:
    """The path of a shard's users within a model's folder."""
    return f"user_vectors/shard-{shard:05d}.parquet"


def save_shared(uri: str, model: Recommender) -> None:
    """Writes what the workers share: the head and the item vectors."""
    tensors = {
        name: parameter
        for name, parameter in model.named_parameters()
        if name not in ("user_vectors", "item_vectors")
    }
    write_tensors(f"{uri}/shared.safetensors", tensors)
    vectors = model.item_vectors.detach().cpu().numpy()
    path = f"{uri}/item_vectors/part-00000.parquet"
    arrays.write_vectors(path, "item_index", np.arange(len(vectors)), vectors)


def write_tensors(uri: str, tensors: Mapping[str, Tensor]) -> None:
    """Writes tensors by name into one file (safetensors)."""
    files.write_bytes(uri, save({n: t.detach().cpu().contiguous() for n, t in tensors.items()}))


def read_tensors(uri: str) -> dict[str, Tensor]:
    """The tensors of a file, on the CPU.

    Raises:
        FileNotFoundError: when it is not there.
    """
    tensors: dict[str, Tensor] = load(files.read_bytes(uri))
    return tensors


def save_manifest(uri: str, architecture: Architecture, facts: dict[str, Any]) -> None:
    """Writes the manifest, last of all: a model without one is incomplete."""
    files.write_json(f"{uri}/manifest.json", {"architecture": architecture.to_json(), **facts})


@dataclass(frozen=True)
class StoredModel:
    """A model read back for scoring: without its user vectors, which are a table."""

    model: Recommender
    architecture: Architecture
    manifest: dict[str, Any]


def load_model(uri: str) -> StoredModel:
    """Reads the head and the item vectors onto the CPU, ready to score.

    Raises:
        FileNotFoundError: when the model is incomplete.
    """
    manifest = files.read_json(f"{uri}/manifest.json")
    architecture = Architecture.from_json(manifest["architecture"])
    # Not on the meta device: what torch imports for it takes a Python worker half a second.
    with torch.random.fork_rng(devices=[]):
        model = Recommender(architecture, 0)
    tensors = read_tensors(f"{uri}/shared.safetensors")
    _, vectors = arrays.read_vectors(f"{uri}/item_vectors", "item_index")
    tensors["item_vectors"] = torch.from_numpy(vectors.copy())
    tensors["user_vectors"] = torch.empty((0, vectors.shape[1]))
    model.load_state_dict(tensors)
    return StoredModel(model.eval(), architecture, manifest)
