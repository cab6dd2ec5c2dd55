"""Whether the executors' hosts can work together, before Horovod's workers start on them.

Horovod tells hosts apart by their names, its Gloo aborts (without a word of the reason) on a host
that cannot resolve its own name, and it listens on one interface, the same on all hosts. Spark's
executors fetch from each other by the name or address that each was registered with.
"""

from __future__ import annotations

import socket
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from pyspark import SparkContext

from ncf_spark.errors import ConfigError
from ncf_spark.pipeline.logs import log

_LOOPBACK = "lo"


@dataclass(frozen=True)
class Host:
    """A machine, or a container, as a process on it sees it.

    Args:
        name: of its own, by which Horovod tells it apart.
        address: the one that it uses towards the driver.
        interfaces: their names.
        unknown: the names of hosts that it cannot resolve.
    """

    name: str
    address: str
    interfaces: tuple[str, ...]
    unknown: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} ({self.address})"


def check_hosts(context: SparkContext, slots: int, interfaces: Sequence[str]) -> None:
    """Looks at the hosts of all executors, in one task for each slot, and at the driver's.

    Args:
        slots: the task slots there are, all of them free.
        interfaces: `training.network_interfaces`.

    Raises:
        ConfigError: naming each host, and what it lacks.
    """
    if str(context.master).startswith("local["):
        return  # one process
    driver = str(context.getConf().get("spark.driver.host", "localhost"))
    status = context._jsc.sc().statusTracker()
    registered = sorted({str(executor.host()) for executor in status.getExecutorInfos()})

    def look(_: Iterable[int]) -> Iterator[Host]:
        yield look_around(driver, registered)

    executors = context.parallelize(range(slots), slots).mapPartitions(look).collect()
    found = problems(look_around(driver, registered), executors, interfaces)
    if found:
        raise ConfigError("\n".join(found))
    counts = {str(host): executors.count(host) for host in executors}
    log.info("task slots by host: %s", "; ".join(f"{h} {n}" for h, n in sorted(counts.items())))


def look_around(
    driver: str,
    names: Sequence[str],
    resolve: Callable[[str], object] = lambda name: socket.getaddrinfo(name.strip("[]"), None),
) -> Host:
    """The host that this process runs on.

    Args:
        driver: the driver's host, by name or address.
        names: of the hosts that this one must know, beside itself.
        resolve: raises OSError for a name that is not known.
    """
    own = socket.gethostname()
    interfaces = tuple(name for _, name in socket.if_nameindex())
    missing = tuple(n for n in dict.fromkeys([own, *names]) if not _resolves(n, resolve))
    return Host(own, _address_towards(driver), interfaces, missing)


def _resolves(name: str, resolve: Callable[[str], object]) -> bool:
    try:
        resolve(name)
    except OSError:
        return False
    return True


def _address_towards(host: str) -> str:
    """This machine's address on the way to another; nothing is sent."""
    family, kind, _, _, place = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as probe:
        probe.connect(place)
        return str(probe.getsockname()[0])


def problems(driver: Host, executors: Sequence[Host], interfaces: Sequence[str]) -> list[str]:
    """One line for each thing that would end the training, with its remedy; none: all is well.

    The driver need not resolve its own name: no worker runs there.
    """
    hosts = list(dict.fromkeys(executors))
    needed = {host: host.unknown for host in hosts}
    needed.setdefault(driver, tuple(name for name in driver.unknown if name != driver.name))
    return [
        *(_unresolved(host, names) for host, names in needed.items() if names),
        *_shared_names(hosts),
        *_missing_interfaces([*hosts, driver], interfaces),
    ]


def _unresolved(host: Host, names: Sequence[str]) -> str:
    return (
        f"host {host} cannot resolve {', '.join(names)}. Every host must resolve its own name, and "
        "the names that executors registered with; enter them in DNS or in its /etc/hosts."
    )


def _shared_names(hosts: Sequence[Host]) -> Iterator[str]:
    addresses: dict[str, set[str]] = defaultdict(set)
    for host in hosts:
        addresses[host.name].add(host.address)
    for name, found in addresses.items():
        if len(found) > 1:
            yield (
                f"the hosts {', '.join(sorted(found))} are all named {name}. Horovod tells hosts "
                "apart by their names; give each a name of its own (hostnamectl, or hostname)."
            )


def _missing_interfaces(hosts: Sequence[Host], wanted: Sequence[str]) -> Iterator[str]:
    for host in dict.fromkeys(hosts):
        missing = [name for name in wanted if name not in host.interfaces]
        if missing:
            yield (
                f"host {host} has no network interface {', '.join(missing)}, but "
                f"{', '.join(host.interfaces)}. training.network_interfaces must name what is "
                "there on every host, the driver's included."
            )
    common = set.intersection(*(set(host.interfaces) for host in hosts)) - {_LOOPBACK}
    if not wanted and not common and len({host.address for host in hosts}) > 1:
        listed = "; ".join(f"{h}: {', '.join(h.interfaces)}" for h in dict.fromkeys(hosts))
        yield (
            "no network interface has the same name on every host, the driver's included "
            f"({listed}). Horovod's workers listen on one name; rename the interfaces."
        )
