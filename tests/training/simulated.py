"""Workers as threads of one process, which meet at barriers as Horovod's meet in an all-reduce."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor


class Group:
    """What the workers of a group share."""

    def __init__(self, num_workers: int) -> None:
        self.num_workers = num_workers
        self.barrier = threading.Barrier(num_workers, timeout=60)
        self.slots: list[Any] = [None] * num_workers

    def exchange(self, worker_rank: int, name: str, value: Any) -> list[Any]:
        """What each worker gave, by rank; all must give it under the same name."""
        self.slots[worker_rank] = (name, value)
        self.barrier.wait()
        given = list(self.slots)
        self.barrier.wait()
        assert len({name for name, _ in given}) == 1, f"workers disagree: {given}"
        return [value for _, value in given]


class InMemory:
    """One worker's Communicator.

    `sizes` holds the name and length of every tensor it gave, `bytes_exchanged` their bytes.
    """

    def __init__(self, group: Group, worker_rank: int) -> None:
        self.worker_rank = worker_rank
        self.num_workers = group.num_workers
        self.sizes: list[tuple[str, int]] = []
        self.bytes_exchanged: dict[str, int] = {}
        self._group = group

    def all_reduce_(self, tensor: Tensor, name: str) -> None:
        given = self._group.exchange(self.worker_rank, name, tensor.clone())
        tensor.copy_(sum(given[1:], start=given[0]))
        self._count(tensor, name)

    def all_reduce_async(self, tensor: Tensor, name: str) -> Callable[[], None]:
        """Summed when it is waited for: whoever touches the tensor before spoils the sum."""
        return lambda: self.all_reduce_(tensor, name)

    def all_gather(self, tensor: Tensor, name: str) -> Tensor:
        self._count(tensor, name)
        return torch.cat(self._group.exchange(self.worker_rank, name, tensor))

    def gather(self, values: list[int]) -> list[list[int]]:
        return self._group.exchange(self.worker_rank, "gather", values)

    def _count(self, tensor: Tensor, name: str) -> None:
        self.sizes.append((name, tensor.numel()))
        size = tensor.numel() * tensor.element_size()
        self.bytes_exchanged[name] = self.bytes_exchanged.get(name, 0) + size


def run_workers(num_workers: int, work: Callable[[InMemory], Any]) -> list[Any]:
    """What `work` returns on each worker, by rank; an error on one of them is raised here."""
    group = Group(num_workers)

    def guarded(worker_rank: int) -> Any:
        try:
            return work(InMemory(group, worker_rank))
        except BaseException:
            group.barrier.abort()
            raise

    with ThreadPoolExecutor(num_workers) as pool:
        futures = [pool.submit(guarded, rank) for rank in range(num_workers)]
    errors = [f.exception() for f in futures if f.exception() is not None]
    # The others fail at the barrier because one failed before it.
    for error in sorted(errors, key=lambda e: isinstance(e, threading.BrokenBarrierError)):
        raise error
    return [future.result() for future in futures]
