"""Workers that `horovod.run` starts on this machine, for the benchmarks."""

from __future__ import annotations

import os

from ncf_spark.training.distributed import Horovod, join_workers


def join_benchmark() -> Horovod:
    """This process as one of the workers, with one thread."""
    # horovod.run, unlike horovod.spark.run, hands on options that were not given as "(None,)",
    # which Horovod reads as 0: it would look for tensors without a pause.
    for name in ("HOROVOD_CYCLE_TIME", "HOROVOD_CACHE_CAPACITY"):
        del os.environ[name]
    join_workers(threads=1, pin=True)
    return Horovod()
