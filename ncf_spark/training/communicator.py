"""What workers say to each other; the loop knows no more of Horovod than this."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor


class Communicator(Protocol):
    """A group of workers that take the same steps."""

    worker_rank: int
    num_workers: int

    def sum_(self, tensor: Tensor, name: str) -> None:
        """Adds up a tensor over the workers, in place; every worker must call it."""

    def start_sum(self, tensor: Tensor, name: str) -> Callable[[], None]:
        """The same, begun: what it returns waits for the sum.

        Until then the tensor must not be touched, and no other exchange begun.
        """

    def join(self, tensor: Tensor, name: str) -> Tensor:
        """The rows of all workers' tensors, by rank; every worker must call it."""

    def gather(self, values: list[int]) -> list[list[int]]:
        """The values of each worker, by rank; every worker must call it."""


class Alone:
    """The one worker of a run without others: nothing to say."""

    worker_rank = 0
    num_workers = 1

    def sum_(self, tensor: Tensor, name: str) -> None:
        """The sum over one worker is what it has."""

    def start_sum(self, tensor: Tensor, name: str) -> Callable[[], None]:
        """There is nothing to wait for."""
        return lambda: None

    def join(self, tensor: Tensor, name: str) -> Tensor:
        """The rows of one worker are what it has."""
        return tensor

    def gather(self, values: list[int]) -> list[list[int]]:
        """The values of the one worker."""
        return [values]
