import os
import subprocess
import sys

import pytest
import torch

from ncf_spark.training.process import cores_of, take_share


@pytest.fixture
def unchanged():
    """What a test does to this process is undone."""
    cores, threads = os.sched_getaffinity(0), torch.get_num_threads()
    yield
    os.sched_setaffinity(0, cores)
    torch.set_num_threads(threads)


@pytest.mark.parametrize("cores", [[0], [0, 1], [3, 4, 7], list(range(16))])
@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_every_core_is_one_workers(cores, workers):
    parts = [cores_of(cores, rank, workers) for rank in range(workers)]
    assert [core for part in parts for core in part] == cores
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_worker_stays_on_its_part_of_the_cores(unchanged):
    cores = sorted(os.sched_getaffinity(0))
    take_share(len(cores) - 1, len(cores), None, pin=True)
    assert os.sched_getaffinity(0) == {cores[-1]}
    assert torch.get_num_threads() == 1


def test_a_worker_alone_has_all_cores(unchanged):
    cores = os.sched_getaffinity(0)
    take_share(0, 1, None, pin=True)
    assert os.sched_getaffinity(0) == cores
    assert torch.get_num_threads() == len(cores)


def test_workers_are_free_where_they_are_not_pinned_or_too_many(unchanged):
    cores = os.sched_getaffinity(0)
    take_share(0, len(cores), 3, pin=False)
    assert os.sched_getaffinity(0) == cores
    assert torch.get_num_threads() == 3
    take_share(0, len(cores) + 1, None, pin=True)
    assert os.sched_getaffinity(0) == cores
    assert torch.get_num_threads() == 1


FAULTS = """
import resource, sys
import torch
from ncf_spark.training.process import keep_freed_memory

torch.set_num_threads(1)
if sys.argv[1] == "kept":
    keep_freed_memory()

def step():
    rows = [torch.zeros(2**20) for _ in range(6)]  # of 4 MiB each

step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="about glibc")
def test_memory_that_is_freed_is_not_fetched_again():
    """Where glibc is told to give back all that is larger than 64 KiB: alone, it may or may not."""
    faults, environment = {}, {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    for way in ("kept", "left"):
        done = subprocess.run(
            [sys.executable, "-c", FAULTS, way],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        faults[way] = int(done.stdout)
    # 20 times 24 MiB are 122,880 pages.
    assert faults["kept"] < 20_000 < 100_000 < faults["left"]
