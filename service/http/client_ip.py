"""Whose address a request comes from, as far as it can be believed."""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from service.http.headers import header_values
from service.http.request import Connection, context_of

_DRESSED = re.compile(r"\[([^\]]+)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")
"""Some proxies add the port, or brackets: ``192.0.2.1:5678``, ``[2001:db8::1]:5678``, ``[2001:db8::1]``."""
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
MAX_HOPS = 100
"""Addresses that are looked at, from the last one back: more proxies than a request goes through."""
SHARES = {4: {24: 10}, 6: {56: 5, 48: 20}}
"""Wider networks that are counted too, by IP version and prefix length, and how many times a client's limit each has."""


def client_of(connection: Connection) -> str:
    """The address under which the client's doings are counted: an IPv4 address, or an IPv6 /64, which one customer has."""
    peer = connection.client.host if connection.client else ""
    forwarded = header_values(connection, b"x-forwarded-for")
    return _network(
        client_address(peer, forwarded, context_of(connection).settings.trusted_proxies)
    )


@lru_cache(maxsize=4096)
def networks_around(client: str) -> Mapping[str, int]:
    """``client`` and the networks it lies in, the widest last, and how many times a client's limit each has."""
    try:
        network = ipaddress.ip_network(client)
    except ValueError:
        return {client: 1}
    return {client: 1} | {
        str(network.supernet(new_prefix=prefix)): share
        for prefix, share in SHARES[network.version].items()
    }


def site_of(client: str) -> str:
    """Who may use up half of the tries that an e-mail's codes have.

    That is one IPv4 address, behind which there may be many, or an IPv6 /48, of which one site has all /64s.
    """
    return client if ":" not in client else [*networks_around(client)][-1]


def client_address(peer: str, forwarded: Sequence[str], trusted: Sequence[IPNetwork]) -> str:
    """The last address on the way here that is no trusted proxy. What stands before it in ``X-Forwarded-For`` anyone may write."""
    address = peer
    hops = [hop.strip() for line in forwarded for hop in line.split(",")][-MAX_HOPS:]
    while hops and _is_trusted(address, trusted) and _parse(hops[-1]) is not None:
        address = hops.pop()
    return address


def _is_trusted(address: str, trusted: Sequence[IPNetwork]) -> bool:
    parsed = _parse(address)
    return parsed is not None and any(
        parsed.version == network.version and parsed in network for network in trusted
    )


def _network(address: str) -> str:
    parsed = _parse(address)
    if parsed is None:
        return "unknown"
    return (
        str(parsed)
        if parsed.version == 4
        else str(ipaddress.ip_network((parsed, 64), strict=False))
    )


def _parse(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        dressed = _DRESSED.fullmatch(address)
        parsed = ipaddress.ip_address(dressed[1] or dressed[2] if dressed else address)
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed
