"""The client's address: trusted proxies' headers are read from the last hop backward."""

import ipaddress
from types import SimpleNamespace
from typing import Any

import pytest

from service.http.client_ip import client_address, client_network_of
from service.otps.model import client_site, limit_multipliers

TRUSTED = tuple(
    ipaddress.ip_network(network) for network in ("10.0.0.0/8", "192.168.1.1/32", "fd00::/8")
)


def connection(peer: str | None, *forwarded: str) -> Any:
    """As much of a request as is looked at."""
    return SimpleNamespace(
        client=None if peer is None else SimpleNamespace(host=peer),
        scope={"headers": [(b"x-forwarded-for", line.encode()) for line in forwarded]},
        app=SimpleNamespace(
            state=SimpleNamespace(
                context=SimpleNamespace(settings=SimpleNamespace(trusted_proxies=TRUSTED))
            )
        ),
    )


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.5", [], "203.0.113.5"),
        ("203.0.113.5", ["198.51.100.7"], "203.0.113.5"),
        ("203.0.113.5", ["10.0.0.1"], "203.0.113.5"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7, 10.0.0.2"], "198.51.100.7"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.7, 10.0.0.3, 192.168.1.1"], "198.51.100.7"),
        ("10.0.0.1", ["10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["1.1.1.1", "198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7", "10.0.0.2"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7,10.0.0.2"], "198.51.100.7"),
        ("10.0.0.1", [" 198.51.100.7 "], "198.51.100.7"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7, "], "10.0.0.1"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["unknown, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7:4711"], "198.51.100.7:4711"),
        ("10.0.0.1", ["010.0.0.9"], "10.0.0.1"),
        ("192.168.1.2", ["198.51.100.7"], "192.168.1.2"),
        ("::ffff:10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("fd00::1", ["2001:db8::7"], "2001:db8::7"),
        ("10.0.0.1", ["2001:db8::7, fd00::2"], "2001:db8::7"),
        ("10.0.0.1", ["198.51.100.7, ::ffff:10.0.0.2"], "198.51.100.7"),
        ("", ["198.51.100.7"], ""),
    ],
    ids=[
        "nothing forwarded",
        "peer is no proxy",
        "peer says it is behind a proxy",
        "proxy says nothing",
        "one hop",
        "what stands before the last hop",
        "two proxies",
        "three proxies",
        "a proxy is the client",
        "proxies all the way",
        "two lines",
        "proxies over two lines",
        "no space",
        "spaces",
        "empty line",
        "empty last hop",
        "no address",
        "no address last",
        "no address first",
        "port",
        "octal",
        "outside the network",
        "mapped proxy",
        "IPv6",
        "IPv6 behind IPv4",
        "mapped hop",
        "no peer",
    ],
)
def test_the_client_is_the_last_hop_that_is_no_trusted_proxy(
    peer: str, forwarded: list[str], address: str
) -> None:
    assert client_address(peer, forwarded, TRUSTED) == address


def test_without_trusted_proxies_nothing_forwarded_is_believed() -> None:
    assert client_address("10.0.0.1", ["198.51.100.7"], ()) == "10.0.0.1"


@pytest.mark.parametrize(
    ("peer", "counted"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.5", "203.0.113.5"),
        ("::FFFF:CB00:7105", "203.0.113.5"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("unix:", "unknown"),
        (None, "unknown"),
    ],
    ids=[
        "IPv4",
        "IPv6",
        "IPv6 network",
        "mapped",
        "mapped in hex",
        "loopback",
        "scoped",
        "empty",
        "no address",
        "no peer",
    ],
)
def test_a_client_is_counted_by_its_ipv4_address_or_its_ipv6_64(
    peer: str | None, counted: str
) -> None:
    assert client_network_of(connection(peer)) == counted


def test_all_addresses_of_one_ipv6_customer_are_counted_together() -> None:
    assert client_network_of(connection("2001:db8:1:2::1")) == client_network_of(
        connection("2001:db8:1:2:ffff::9")
    )
    assert client_network_of(connection("2001:db8:1:2::1")) != client_network_of(
        connection("2001:db8:1:3::1")
    )


def test_a_client_behind_a_trusted_proxy_is_counted_by_its_own_address() -> None:
    assert (
        client_network_of(connection("10.0.0.1", "1.1.1.1, 2001:db8:1:2::7")) == "2001:db8:1:2::/64"
    )


def test_lines_of_one_header_are_read_in_their_order() -> None:
    assert (
        client_network_of(connection("10.0.0.1", "1.1.1.1", "198.51.100.7, 10.0.0.2"))
        == "198.51.100.7"
    )


def test_a_header_cannot_make_clients_of_its_own() -> None:
    assert client_network_of(connection("203.0.113.5", "198.51.100.7")) == "203.0.113.5"


@pytest.mark.parametrize(
    ("client", "networks", "site"),
    [
        ("203.0.113.5", {"203.0.113.5": 1, "203.0.113.0/24": 10}, "203.0.113.5"),
        (
            "2001:db8:1:2ff::/64",
            {"2001:db8:1:2ff::/64": 1, "2001:db8:1:200::/56": 5, "2001:db8:1::/48": 20},
            "2001:db8:1::/48",
        ),
        ("unknown", {"unknown": 1}, "unknown"),
    ],
    ids=["IPv4", "IPv6", "unknown"],
)
def test_networks_around_a_client_are_counted_too(
    client: str, networks: dict[str, int], site: str
) -> None:
    assert limit_multipliers(client) == networks
    assert [*limit_multipliers(client)] == [*networks]
    assert client_site(client) == site


def test_no_more_than_a_hundred_hops_are_looked_at() -> None:
    hops = ["198.51.100.7", *["10.0.0.1"] * 99]
    assert client_address("10.0.0.2", [",".join(hops)], TRUSTED) == "198.51.100.7"
    assert client_address("10.0.0.2", [",".join([*hops, "10.0.0.1"])], TRUSTED) == "10.0.0.1"
