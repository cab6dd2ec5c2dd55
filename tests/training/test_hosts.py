"""The check of the executors' hosts; tests/cluster/test_hosts.py runs it on real ones."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from ncf_spark.training.hosts import Host, look_around, problems

DRIVER = Host("alpha", "10.0.0.1", ("lo", "eth0"), ())
BETA = Host("beta", "10.0.0.2", ("lo", "eth0"), ())
GAMMA = Host("gamma", "10.0.0.3", ("lo", "eth0", "eth1"), ())


def resolver(*known: str):
    def resolve(name: str) -> str:
        if name not in known:
            raise socket.gaierror(-2, "Name or service not known")
        return "10.0.0.9"

    return resolve


def test_a_host_tells_the_names_that_it_cannot_resolve(monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "beta")
    found = look_around("127.0.0.1", ["gamma", "beta", "delta"], resolver("gamma"))
    assert found.name == "beta"
    assert found.unknown == ("beta", "delta")
    assert found.address == "127.0.0.1"
    assert "lo" in found.interfaces


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "[::1]"])
def test_an_address_needs_no_resolving(address):
    assert address not in look_around("127.0.0.1", [address]).unknown


def test_hosts_that_know_each_other_are_well():
    assert problems(DRIVER, [BETA, GAMMA, BETA], []) == []


def test_the_host_and_the_missing_name_are_named():
    [told] = problems(DRIVER, [BETA, replace(GAMMA, unknown=("gamma", "beta"))], [])
    assert told.startswith("host gamma (10.0.0.3) cannot resolve gamma, beta. Every host must ")
    assert told.endswith("enter them in DNS or in its /etc/hosts.")


def test_the_driver_must_know_the_executors_but_not_itself():
    assert problems(replace(DRIVER, unknown=("alpha",)), [BETA], []) == []
    [told] = problems(replace(DRIVER, unknown=("alpha", "beta")), [BETA], [])
    assert told.startswith("host alpha (10.0.0.1) cannot resolve beta.")


def test_an_executor_beside_the_driver_must_know_its_own_name():
    both = replace(DRIVER, unknown=("alpha",))
    [told] = problems(both, [both, BETA], [])
    assert told.startswith("host alpha (10.0.0.1) cannot resolve alpha.")


def test_two_hosts_of_one_name_are_told_by_their_addresses():
    [told] = problems(DRIVER, [BETA, replace(GAMMA, name="beta")], [])
    assert told.startswith("the hosts 10.0.0.2, 10.0.0.3 are all named beta. Horovod tells hosts")


def test_an_interface_that_is_asked_for_must_be_on_every_host():
    lines = problems(DRIVER, [BETA, GAMMA], ["eth1"])
    assert [line.split(" has no network interface ")[0] for line in lines] == [
        "host beta (10.0.0.2)",
        "host alpha (10.0.0.1)",
    ]
    assert "eth1, but lo, eth0. training.network_interfaces must name" in lines[0]
    assert problems(DRIVER, [BETA, GAMMA], ["eth0"]) == []


def test_some_interface_must_have_one_name_everywhere():
    other = replace(BETA, interfaces=("lo", "ens3"))
    [told] = problems(DRIVER, [other, GAMMA], [])
    assert told.startswith("no network interface has the same name on every host")
    assert "beta (10.0.0.2): lo, ens3; gamma (10.0.0.3): lo, eth0, eth1; alpha" in told


def test_one_machine_alone_needs_no_common_interface():
    alone = Host("vm", "127.0.0.1", ("lo",), ())
    assert problems(alone, [alone, alone], []) == []


def test_all_problems_are_told_at_once():
    spoilt = replace(GAMMA, name="beta", unknown=("beta",), interfaces=("lo", "ens3"))
    assert len(problems(replace(DRIVER, unknown=("beta",)), [BETA, spoilt], [])) == 4
