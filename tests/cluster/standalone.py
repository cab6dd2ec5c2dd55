"""A Spark standalone cluster of one master and two workers, each a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pyspark

SPARK_HOME = Path(pyspark.__file__).parent
_START_S = 90


@dataclass(frozen=True)
class Machine:
    """Where a process of the cluster runs.

    Args:
        address: what it binds to.
        host: what it is registered with, and others reach it by.
        prefix: the command that runs another one on it.
    """

    address: str = "127.0.0.1"
    host: str = "127.0.0.1"
    prefix: tuple[str, ...] = ()


@dataclass
class Cluster:
    """A running cluster.

    Args:
        master: its URL, for spark-submit.
        workers: the processes of the workers.
        folders: where each of them runs its executors.
    """

    master: str
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)

    def below(self, worker: int) -> list[psutil.Process]:
        """The processes that a worker started, and those that these did."""
        found: list[psutil.Process] = []
        with suppress(psutil.Error):
            found = psutil.Process(self.workers[worker].pid).children(recursive=True)
        return found


@contextmanager
def standalone(folder: Path, master: Machine, workers: Sequence[Machine]) -> Iterator[Cluster]:
    """Starts master and workers, waits until all are registered, and ends them.

    The workers' own environment knows no Python: what an executor runs is what it was sent.
    """
    port, page = free_ports(2)
    cluster = Cluster(f"spark://{master.host}:{port}")
    processes = []
    try:
        options = ["--host", master.host, "--port", str(port), "--webui-port", str(page)]
        processes.append(_start(folder, "master", master, "master.Master", options))
        for number, machine in enumerate(workers):
            work = folder / f"worker-{number}"
            options = ["--host", machine.host, "--cores", "1", "--memory", "1200m"]
            options += ["--work-dir", str(work), cluster.master]
            worker = _start(folder, f"worker-{number}", machine, "worker.Worker", options)
            processes.append(worker)
            cluster.workers.append(worker)
            cluster.folders.append(work)
        _wait_for_workers(folder, len(workers), processes)
        yield cluster
    finally:
        _end(processes)


def free_ports(count: int) -> list[int]:
    """Numbers of ports that nothing listens on."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _start(
    folder: Path, name: str, machine: Machine, what: str, options: Sequence[str]
) -> subprocess.Popen[bytes]:
    kept = {k: v for k, v in os.environ.items() if k in ("JAVA_HOME", "HOME", "LANG", "TZ")}
    environment = kept | {
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "SPARK_HOME": str(SPARK_HOME),
        "SPARK_LOCAL_IP": machine.address,
        "SPARK_LOCAL_DIRS": str(folder / f"{name}-local"),
        "SPARK_DAEMON_MEMORY": "256m",
    }
    spark_class = str(SPARK_HOME / "bin" / "spark-class")
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            [*machine.prefix, spark_class, f"org.apache.spark.deploy.{what}", *options],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _wait_for_workers(
    folder: Path, count: int, processes: Sequence[subprocess.Popen[bytes]]
) -> None:
    """Returns when the master has registered all workers."""
    log, deadline = folder / "master.log", time.monotonic() + _START_S
    while log.read_text(errors="replace").count("Registering worker") < count:
        dead = [p.args for p in processes if p.poll() is not None]
        logs = "\n".join(path.read_text(errors="replace") for path in folder.glob("*.log"))
        assert not dead, logs[-4000:]
        assert time.monotonic() < deadline, logs[-4000:]
        time.sleep(0.2)


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ends the processes and all below them, whatever state they are in."""
    for process in processes:
        family: list[psutil.Process] = []
        with suppress(psutil.Error):
            parent = psutil.Process(process.pid)
            family = [parent, *parent.children(recursive=True)]
        for member in family:
            with suppress(psutil.Error):
                member.kill()
    for process in processes:
        process.wait(timeout=30)
