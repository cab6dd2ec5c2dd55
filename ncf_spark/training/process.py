"""A worker's share of the cores of its machine, and glibc's settings for its memory."""

from __future__ import annotations

import ctypes
import os

import torch

# Of glibc's mallopt (malloc.h).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
# The greatest threshold that glibc accepts; and free memory that is kept.
_MMAP_BYTES, _KEPT_BYTES = 2**25, 2**30


def take_share(local_rank: int, local_size: int, threads: int | None, *, pin: bool) -> None:
    """Gives torch its threads, and the process its cores.

    Workers that are not pinned sometimes share a core while another is idle, and all wait for the
    slowest in every step.

    Args:
        local_rank: of this worker among those on its machine.
        local_size: number of these.
        threads: of torch; None: the machine's cores divided among its workers. More threads than
            cores made a step 20 times slower.
        pin: whether the process stays on its part of the cores; not where there are fewer cores
            than workers.
    """
    cores = sorted(os.sched_getaffinity(0))
    torch.set_num_threads(threads or max(1, len(cores) // local_size))
    own = cores_of(cores, local_rank, local_size)
    if pin and own:
        os.sched_setaffinity(0, own)


def cores_of(cores: list[int], local_rank: int, local_size: int) -> list[int]:
    """A worker's part of the cores, e.g. of [0, 1, 2, 3, 4] for 0 of 2: [0, 1]."""
    count = len(cores)
    return cores[count * local_rank // local_size : count * (local_rank + 1) // local_size]


def keep_freed_memory() -> None:
    """Makes glibc keep freed memory for the next allocation; no-op with another libc.

    A step frees and allocates the same tens of megabytes again and again. By default, glibc returns
    them to the system whenever they are at the end of its heap, and fetches each page again: in
    some runs two workers took twice as long a step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
