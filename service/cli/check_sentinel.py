"""What ``payment-links check`` checks of Sentinels, and of the servers that they watch."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from service.cli.check_result import CheckResult, Finding, summarize
from service.cli.check_server import (
    SERVER_CHECKS,
    ServerState,
    ask_each,
    check_min_replicas,
    check_replication,
    check_servers,
    read_state,
)
from service.errors import Unavailable
from service.storage.connect import create_node_client, create_sentinel_client
from service.storage.redis_url import Address, RedisUrl, format_address


class WatchedServers(NamedTuple):
    """What a Sentinel watches under the name of the service."""

    master: Address
    replicas: tuple[Address, ...]


class SentinelState(NamedTuple):
    """What Sentinels and servers reply, by address; a text says why one does not answer."""

    sentinels: Mapping[str, WatchedServers | str]
    master: str
    """What most Sentinels take for the master."""
    servers: Mapping[str, ServerState | str]


def read_sentinels(url: str) -> SentinelState:
    """The state of all Sentinels in ``url``, and of the servers that they watch.

    Raises:
        Unavailable: no Sentinel answers, or none knows the service; the message says why.
    """
    parsed = RedisUrl.parse(url)

    def read_sentinel(address: Address) -> WatchedServers:
        with create_sentinel_client(url, address) as client:
            master: Any = client.sentinel_master(parsed.service_name)
            replicas: Any = client.sentinel_slaves(parsed.service_name)
            return WatchedServers(_address_of(master), tuple(map(_address_of, replicas)))

    def read_server(address: Address) -> ServerState:
        with create_node_client(url, address) as client:
            return read_state(format_address(address), client)

    sentinels = ask_each(read_sentinel, parsed.addresses)
    watching = [reply for reply in sentinels.values() if isinstance(reply, WatchedServers)]
    if not watching:
        reasons = "; ".join(dict.fromkeys(map(str, sentinels.values())))
        raise Unavailable(f"no Sentinel knows the master ({reasons})")
    masters = Counter(each.master for each in watching)
    addresses = [*masters, *(replica for each in watching for replica in each.replicas)]
    return SentinelState(
        _by_name(sentinels),
        format_address(masters.most_common(1)[0][0]),
        _by_name(ask_each(read_server, addresses)),
    )


def check_watched_servers(state: SentinelState) -> Iterator[CheckResult]:
    """Checks that Sentinels agree, that all servers answer, and how each of these is set up."""
    sentinels = {
        address: _check_sentinel(reply, state.master) for address, reply in state.sentinels.items()
    }
    yield from summarize("redis sentinels", sentinels)
    servers = {
        address: _check_server(reply, is_master=address == state.master)
        for address, reply in state.servers.items()
    }
    yield from summarize("redis", servers)
    answering = [reply for reply in state.servers.values() if isinstance(reply, ServerState)]
    checks = {
        "replication": check_replication,
        "min-replicas": check_min_replicas,
        **SERVER_CHECKS,
    }
    yield from check_servers("redis", answering, checks)


def _check_sentinel(reply: WatchedServers | str, master: str) -> Finding:
    if isinstance(reply, str):
        return Finding("warn", reply)
    own = format_address(reply.master)
    if own != master:
        return Finding("warn", f"takes {own} for the master, unlike most others")
    return Finding("ok", f"{own} is the master")


def _check_server(reply: ServerState | str, *, is_master: bool) -> Finding:
    if isinstance(reply, ServerState):
        return Finding("ok", "answers")
    return Finding("FAIL" if is_master else "warn", reply)


def _address_of(server: Any) -> Address:
    return str(server["ip"]), int(server["port"])


def _by_name(replies: Mapping[Address, Any]) -> dict[str, Any]:
    return {format_address(address): reply for address, reply in replies.items()}
