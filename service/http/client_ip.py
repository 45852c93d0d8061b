"""The client's IP address, from the connection and from what trusted proxies have added.

Granian's proxy headers trust no proxy with a port, brackets or an IPv4-mapped address, and take
any text for a client's address.
"""

import ipaddress
import re
from collections.abc import Sequence

from service.http.request import Connection, context_of, header_values

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
MAX_HOPS = 100
"""Addresses of ``X-Forwarded-For`` that are read, from the last one back."""
_WITH_PORT = re.compile(r"\[([^\]]+)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")
"""Some proxies add the port, or brackets: ``192.0.2.1:5678``, ``[2001:db8::1]:5678``."""


def client_network_of(connection: Connection) -> str:
    """The client as rate limits count it: an IPv4 address, or an IPv6 /64, a single customer's."""
    peer = connection.client.host if connection.client else ""
    forwarded = header_values(connection, b"x-forwarded-for")
    return _network(
        client_address(peer, forwarded, context_of(connection).settings.trusted_proxies)
    )


def client_address(peer: str, forwarded: Sequence[str], trusted: Sequence[IPNetwork]) -> str:
    """The last address on the request's way that is not a trusted proxy.

    The addresses before it in ``X-Forwarded-For`` may be forged.
    """
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
        match = _WITH_PORT.fullmatch(address)
        parsed = ipaddress.ip_address(match[1] or match[2] if match else address)
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed
