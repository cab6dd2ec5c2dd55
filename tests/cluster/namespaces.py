"""Hosts of their own on one machine: each has a network, an address, a host name and a hosts file.

The hosts are joined by a bridge that stands in a namespace too, so that nothing here touches the
machine's own network.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.standalone import Machine

_HOSTS_FILES = Path("/etc/netns")
_NETWORK = "10.77.0"


@dataclass(frozen=True)
class NamedHost:
    """One of the hosts.

    Args:
        name: of the host, which others know it by as long as their hosts files say so.
        namespace: of its network.
    """

    name: str
    namespace: str
    address: str

    def machine(self, hostname: str | None = None) -> Machine:
        """Where to start processes, which are reached by the host's name.

        Args:
            hostname: its processes see this one instead, and are reached by the address.
        """
        enter = ("ip", "netns", "exec", self.namespace, "unshare", "--uts")
        rename = f'hostname {hostname or self.name} && exec "$@"'
        reached_by = self.address if hostname else self.name
        return Machine(self.address, reached_by, (*enter, "sh", "-c", rename, "sh"))

    def write_hosts(self, known: Mapping[str, str]) -> None:
        """Its hosts file: the names that processes started from now on can resolve."""
        lines = [f"{address} {name}" for name, address in known.items()]
        folder = _HOSTS_FILES / self.namespace
        (folder / "hosts").write_text("\n".join(["127.0.0.1 localhost", *lines, ""]))
        # No name server: what is not in the hosts file is unknown, and at once.
        (folder / "nsswitch.conf").write_text("hosts: files\n")


def why_not() -> str | None:
    """Why namespaces cannot be made here; None: they can."""
    missing = [name for name in ("ip", "unshare", "hostname") if shutil.which(name) is None]
    if missing:
        return f"needs the commands {', '.join(missing)} (packages iproute2, util-linux, hostname)"
    name = f"ncf-{os.getpid()}-try"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if tried.returncode:
        return f"needs the right to make network namespaces ({tried.stderr.strip()})"
    entered = subprocess.run(
        ["ip", "netns", "exec", name, "unshare", "--uts", "true"], capture_output=True, text=True
    )
    subprocess.run(["ip", "netns", "del", name], check=False)
    return f"cannot enter namespaces ({entered.stderr.strip()})" if entered.returncode else None


@contextmanager
def named_hosts(*names: str) -> Iterator[dict[str, NamedHost]]:
    """Makes hosts that know each other's names, and removes all of it, whatever happened."""
    prefix = f"ncf-{os.getpid()}"
    hosts = {
        name: NamedHost(name, f"{prefix}-{name}", f"{_NETWORK}.{number}")
        for number, name in enumerate(names, start=1)
    }
    switch = f"{prefix}-switch"
    try:
        _ip("netns", "add", switch)
        _ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", switch, "link", "set", "bridge", "up")
        for host in hosts.values():
            _plug_in(host, switch)
            (_HOSTS_FILES / host.namespace).mkdir(parents=True)
            host.write_hosts({other.name: other.address for other in hosts.values()})
        yield hosts
    finally:
        for namespace in [*(host.namespace for host in hosts.values()), switch]:
            _remove(namespace)


def _plug_in(host: NamedHost, switch: str) -> None:
    inside, port = host.namespace, f"to-{host.name}"
    _ip("netns", "add", inside)
    _ip("-n", switch, *("link add", port, "type veth peer name eth0 netns", inside))
    _ip("-n", switch, *("link set", port, "master bridge up"))
    _ip("-n", inside, "link set lo up")
    _ip("-n", inside, *("addr add", f"{host.address}/24", "dev eth0"))
    _ip("-n", inside, "link set eth0 up")


def _remove(namespace: str) -> None:
    found = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True)
    for pid in found.stdout.split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    deadline = time.monotonic() + 10
    while subprocess.run(["ip", "netns", "del", namespace], capture_output=True).returncode:
        if time.monotonic() > deadline or namespace not in _listed():
            break
        time.sleep(0.2)
    shutil.rmtree(_HOSTS_FILES / namespace, ignore_errors=True)
    with suppress(OSError):
        _HOSTS_FILES.rmdir()  # if it is empty, it was ours


def _listed() -> list[str]:
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    return [line.split()[0] for line in listed.stdout.splitlines() if line]


def _ip(*arguments: str) -> None:
    """Runs `ip` with the words of all arguments."""
    subprocess.run(["ip", *" ".join(arguments).split()], check=True, capture_output=True)
