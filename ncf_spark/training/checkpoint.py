"""Where training can go on after a failure: written by user shard, the manifest last (D2, D7).

A checkpoint holds slots, such as the parameters or a moment of Adam; a slot has a tensor for each
parameter of a model, by its name. Users' rows stand by shard, so any number of workers can go on.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ncf_spark.model import store
from ncf_spark.schemas import DataError
from ncf_spark.storage import files
from ncf_spark.training.communicator import Communicator
from ncf_spark.training.shards import UserShards

log = logging.getLogger("ncf_spark")

# The newest that are kept: the one before the last is there while the last is written.
_KEPT = 2

Slots = Mapping[str, Mapping[str, Tensor]]


@dataclass(frozen=True)
class Checkpoint:
    """What was read back.

    Args:
        slots: by slot and parameter; of `user_vectors`, this worker's rows.
        facts: as they were saved.
    """

    slots: Slots
    facts: dict[str, Any]


class Checkpoints:
    """The checkpoints of one model, below its folder.

    Args:
        device: of the tensors that are read back.
    """

    def __init__(
        self, model_uri: str, shards: UserShards, communicator: Communicator, device: torch.device
    ) -> None:
        self._uri = place(model_uri)
        self._shards = shards
        self._communicator = communicator
        self._device = device

    def save(self, number: int, slots: Slots, facts: dict[str, Any]) -> None:
        """Writes a checkpoint, on all workers together, and removes older ones.

        Args:
            number: greater than that of any checkpoint before.
            facts: for JSON; the same on every worker.
        """
        uri = f"{self._uri}/{number:06d}"
        start = 0
        for shard, rows in self._shards.owned:
            own = slice(start, start + rows)
            users = {slot: tensors["user_vectors"][own] for slot, tensors in slots.items()}
            store.write_tensors(f"{uri}/{_users_file(shard)}", users)
            start += rows
        first = self._communicator.worker_rank == 0
        if first:
            shared = {
                f"{slot}/{name}": tensor
                for slot, tensors in slots.items()
                for name, tensor in tensors.items()
                if name != "user_vectors"
            }
            store.write_tensors(f"{uri}/{_SHARED_FILE}", shared)
        self._communicator.gather([number])  # every worker has written its part
        if first:
            manifest = {"files": files.sizes(uri), "facts": facts}
            files.write_json(f"{uri}/{_MANIFEST}", manifest)
            for name in files.list_names(self._uri)[:-_KEPT]:
                files.delete(f"{self._uri}/{name}")

    def load_last(self) -> Checkpoint | None:
        """The newest whole checkpoint, on all workers together; None where there is none."""
        number = -1
        if self._communicator.worker_rank == 0:
            number = max(filter(self._is_whole, self._numbers()), default=-1)
        [number] = self._communicator.gather([number])[0]
        return None if number < 0 else self._load(number)

    def _numbers(self) -> list[int]:
        return [int(name) for name in files.list_names(self._uri) if name.isdigit()]

    def _is_whole(self, number: int) -> bool:
        uri = f"{self._uri}/{number:06d}"
        try:
            expected = files.read_json(f"{uri}/{_MANIFEST}")["files"]
            problem = "" if files.sizes(uri, without=_MANIFEST) == expected else "a file differs"
        except (FileNotFoundError, DataError, KeyError, TypeError) as error:
            problem = f"its manifest cannot be read: {type(error).__name__}"
        if problem:
            log.warning("%s is not whole and is left out (%s)", uri, problem)
        return not problem

    def _load(self, number: int) -> Checkpoint:
        uri = f"{self._uri}/{number:06d}"
        slots: dict[str, dict[str, Tensor]] = {}
        for key, tensor in store.read_tensors(f"{uri}/{_SHARED_FILE}").items():
            slot, name = key.split("/", 1)
            slots.setdefault(slot, {})[name] = tensor.to(self._device)
        parts = [
            store.read_tensors(f"{uri}/{_users_file(shard)}") for shard, _ in self._shards.owned
        ]
        for slot, tensors in slots.items():
            tensors["user_vectors"] = torch.cat([part[slot] for part in parts]).to(self._device)
        return Checkpoint(slots, files.read_json(f"{uri}/{_MANIFEST}")["facts"])


def place(model_uri: str) -> str:
    """The folder of a model's checkpoints."""
    return f"{model_uri}/checkpoints"


_SHARED_FILE = "shared.safetensors"
_MANIFEST = "manifest.json"


def _users_file(shard: int) -> str:
    return f"users-{shard:05d}.safetensors"
