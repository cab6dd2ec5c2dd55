"""What the training loop asks of the other workers; Horovod implements it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor


class Communicator(Protocol):
    """A group of workers that take the same steps. Every worker must make the same calls."""

    worker_rank: int
    num_workers: int

    def all_reduce_(self, tensor: Tensor, name: str) -> None:
        """Adds up a tensor over the workers, in place."""

    def all_reduce_async(self, tensor: Tensor, name: str) -> Callable[[], None]:
        """Starts `all_reduce_` and returns what waits for it.

        Until then the tensor must not be used, and no other exchange started.
        """

    def all_gather(self, tensor: Tensor, name: str) -> Tensor:
        """The concatenated rows of all workers' tensors, by rank."""

    def gather(self, values: list[int]) -> list[list[int]]:
        """The values of each worker, by rank."""


class SingleWorker:
    """The only worker of a run: exchanges are no-ops."""

    worker_rank = 0
    num_workers = 1

    def all_reduce_(self, tensor: Tensor, name: str) -> None:
        """No-op."""

    def all_reduce_async(self, tensor: Tensor, name: str) -> Callable[[], None]:
        """No-op."""
        return lambda: None

    def all_gather(self, tensor: Tensor, name: str) -> Tensor:
        """The tensor itself."""
        return tensor

    def gather(self, values: list[int]) -> list[list[int]]:
        """The values of the one worker."""
        return [values]
