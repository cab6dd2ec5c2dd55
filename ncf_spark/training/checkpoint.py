"""Checkpoints, from which training resumes: written by user shard, the manifest last.

A checkpoint holds slots, such as the parameters or a moment of Adam; a slot has a tensor for each
parameter of a model, by its name. Users' rows are stored by shard, so any number of workers can
resume. The checkpoints are beside the tables of the run and not in the model's folder, which a step
that starts again empties first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ncf_spark.errors import DataError
from ncf_spark.model import store
from ncf_spark.storage import files
from ncf_spark.training.communicator import Communicator
from ncf_spark.training.shards import UserShards

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
    """The checkpoints of one model, in a folder of their own.

    Args:
        identity: of the training, flat, for JSON: it resumes from its own checkpoints only.
        device: of the tensors that are read back.
    """

    def __init__(
        self,
        uri: str,
        identity: Mapping[str, Any],
        shards: UserShards,
        communicator: Communicator,
        device: torch.device,
    ) -> None:
        self._uri = uri
        self._identity = identity
        self._shards = shards
        self._communicator = communicator
        self._device = device

    def save(self, number: int, slots: Slots, facts: dict[str, Any]) -> None:
        """Writes a checkpoint, on all workers together, and removes all but the newest two.

        Args:
            number: greater than all before it; those from it on are of an earlier attempt.
            facts: for JSON; the same on every worker.
        """
        uri = f"{self._uri}/{number:06d}"
        first = self._communicator.worker_rank == 0
        if first:
            files.delete(uri)
        self._communicator.gather([number])  # nothing of an earlier attempt is left there
        start = 0
        for shard, rows in self._shards.owned:
            own = slice(start, start + rows)
            users = {slot: tensors["user_vectors"][own] for slot, tensors in slots.items()}
            store.write_tensors(f"{uri}/{_users_file(shard)}", users)
            start += rows
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
            manifest = {
                "files": files.sizes(uri),
                "identity": self._identity,
                "num_workers": self._communicator.num_workers,
                "facts": facts,
            }
            files.write_json(f"{uri}/{_MANIFEST}", manifest)
            kept = [n for n in _numbers(self._uri) if n <= number][-_KEPT:]
            for other in _numbers(self._uri):
                if other not in kept:
                    files.delete(f"{self._uri}/{other:06d}")

    def load_last(self) -> Checkpoint | None:
        """The newest that is complete and of this training, on all workers; None: there is none."""
        number = -1
        if self._communicator.worker_rank == 0:
            last, _ = last_checkpoint(self._uri, self._identity)
            number = -1 if last is None else last
        [number] = self._communicator.gather([number])[0]
        return None if number < 0 else self._load(number)

    def _load(self, number: int) -> Checkpoint:
        uri = f"{self._uri}/{number:06d}"
        slots: dict[str, dict[str, Tensor]] = {}
        for key, tensor in store.read_tensors(f"{uri}/{_SHARED_FILE}").items():
            slot, name = key.split("/", 1)
            slots.setdefault(slot, {})[name] = tensor.to(self._device)
        start, num_rows = 0, self._shards.num_rows
        # Shard by shard: all the files at once took twice the memory.
        for shard, rows in self._shards.owned:
            for slot, own in store.read_tensors(f"{uri}/{_users_file(shard)}").items():
                if "user_vectors" not in slots[slot]:
                    shape = (num_rows, own.shape[1])
                    slots[slot]["user_vectors"] = own.new_empty(shape, device=self._device)
                slots[slot]["user_vectors"][start : start + rows] = own.to(self._device)
            start += rows
        return Checkpoint(slots, files.read_json(f"{uri}/{_MANIFEST}")["facts"])


def last_checkpoint(uri: str, identity: Mapping[str, Any]) -> tuple[int | None, list[str]]:
    """The newest checkpoint to resume from, and why each newer one is ignored.

    Args:
        identity: of the training that resumes.
    """
    problems: list[str] = []
    for number in reversed(_numbers(uri)):
        problem = _problem(f"{uri}/{number:06d}", identity)
        if problem is None:
            return number, problems
        problems.append(problem)
    return None, problems


def num_workers_of(uri: str, number: int) -> int:
    """How many workers wrote a complete checkpoint."""
    return int(files.read_json(f"{uri}/{number:06d}/{_MANIFEST}")["num_workers"])


def _problem(uri: str, identity: Mapping[str, Any]) -> str | None:
    """Why training cannot resume from a checkpoint; None: it can."""
    try:
        manifest = files.read_json(f"{uri}/{_MANIFEST}")
        damage = _differing(files.sizes(uri, without=_MANIFEST), manifest["files"])
        then = {} if damage else dict(manifest["identity"])
        int(manifest["num_workers"])  # num_workers_of reads it
    except (FileNotFoundError, DataError, KeyError, TypeError, ValueError) as error:
        damage = f"its manifest cannot be read: {type(error).__name__}"
    if damage:
        return f"{uri} is incomplete and is ignored ({damage})"
    names = sorted(name for name in {*then, *identity} if then.get(name) != identity.get(name))
    if not names:
        return None
    changes = "; ".join(f"{n} was {then.get(n)}, is {identity.get(n)}" for n in names)
    return f"{uri} was written with other settings or tables and is ignored ({changes})"


def _differing(found: Mapping[str, int], expected: Mapping[str, int]) -> str:
    """Which files are not as the manifest says; empty when all are."""
    differing = []
    for name in sorted({*found, *expected}):
        size, should_be = found.get(name), expected.get(name)
        if size is None:
            differing.append(f"{name} is missing")
        elif size != should_be:
            differing.append(f"{name} has {size} bytes, not {should_be}")
    return "; ".join(differing)


def _numbers(uri: str) -> list[int]:
    return sorted(int(name) for name in files.list_names(uri) if name.isdigit())


def parameters_of(model: nn.Module) -> dict[str, Tensor]:
    """A model's parameters as a slot."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


@torch.no_grad()
def load_parameters(model: nn.Module, parameters: Mapping[str, Tensor]) -> None:
    """Sets a model's parameters from a slot."""
    for name, parameter in model.named_parameters():
        parameter.copy_(parameters[name])


_SHARED_FILE = "shared.safetensors"
_MANIFEST = "manifest.json"


def _users_file(shard: int) -> str:
    return f"users-{shard:05d}.safetensors"
