"""The nodes of a cluster as one of them describes them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS

from service.storage.cluster import read_address
from service.storage.redis_url import Address, format_address


class ClusterNode(NamedTuple):
    """A node; ``slots`` are the ranges that it serves as a primary."""

    node_id: str
    address: Address
    flags: frozenset[str]
    slots: tuple[range, ...]

    @property
    def is_primary(self) -> bool:
        """Whether it serves slots."""
        return "master" in self.flags and bool(self.slots)

    @property
    def is_replica(self) -> bool:
        return "slave" in self.flags

    @property
    def can_be_asked(self) -> bool:
        """Whether it has joined the cluster, and its address is known."""
        return not self.flags & {"handshake", "noaddr"}

    def serves(self, slot: int) -> bool:
        return any(slot in slots for slots in self.slots)

    @property
    def name(self) -> str:
        """``host:port``; of a node whose address is not known, the start of its id."""
        return format_address(self.address) if self.address[1] else self.node_id[:8]


class ClusterView(NamedTuple):
    """What a node knows of the cluster. ``is_ok`` is False if it serves nothing."""

    nodes: Sequence[ClusterNode]
    is_ok: bool


def read_view(client: redis.Redis, address: Address) -> ClusterView:
    """The cluster as the node at ``address`` sees it.

    Raises:
        RedisError, OSError: it does not answer, is no node of a cluster, or the user may not ask.
    """
    # Two arguments, not one with a space: redis-py's parser keeps one node without an address.
    info: Any = client.execute_command("CLUSTER", "INFO")
    slots: Any = client.execute_command("CLUSTER", "SLOTS")
    nodes: Any = client.execute_command("CLUSTER", "NODES")
    endpoints = dict(_parse_endpoints(slots, address))
    return ClusterView(
        sorted(_parse_nodes(nodes, endpoints, address[0]), key=lambda node: node.address),
        is_ok="cluster_state:ok" in info.split(),
    )


def find_missing_slots(nodes: Iterable[ClusterNode]) -> list[range]:
    """The ranges of slots that none of the nodes serves."""
    missing, following = [], 0
    for slots in sorted((each for node in nodes for each in node.slots), key=lambda each: each[0]):
        if slots.start > following:
            missing.append(range(following, slots.start))
        following = max(following, slots.stop)
    if following < REDIS_CLUSTER_HASH_SLOTS:
        missing.append(range(following, REDIS_CLUSTER_HASH_SLOTS))
    return missing


def _parse_endpoints(slots: Iterable[Any], asked: Address) -> Iterator[tuple[str, Address]]:
    """The addresses that nodes announce to clients, by id, from ``CLUSTER SLOTS``."""
    for _first, _last, *nodes in slots:
        for node in nodes:
            yield node[2], read_address(node, asked)


def _parse_nodes(
    text: str, endpoints: Mapping[str, Address], own_host: str
) -> Iterator[ClusterNode]:
    """The lines of ``CLUSTER NODES`` (redis.io: CLUSTER NODES)."""
    for line in text.splitlines():
        node_id, where, flags, _primary, _ping, _pong, _epoch, _link, *slots = line.split()
        host, _, port = where.partition("@")[0].rpartition(":")
        yield ClusterNode(
            node_id,
            endpoints.get(node_id, (host or own_host, int(port))),
            frozenset(flags.split(",")),
            tuple(_parse_slots(each) for each in slots if not each.startswith("[")),
        )


def _parse_slots(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)
