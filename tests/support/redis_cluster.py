"""A real cluster: nodes of the embedded Valkey's binary that can be killed, stopped and started.

It is formed without ``valkey-cli``, by the commands that this would send.
"""

import random
import signal
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS
from redis.crc import key_slot

from service.storage import keys
from tests.support.proxy import Proxy
from tests.support.servers import RedisServer, valkey_server, wait_until

NODE_TIMEOUT_MS = 2000
FIRST_PORT, LAST_PORT = 10_000, 32_000
"""Below the ports that Linux gives to clients, so that a node finds its own again."""
OPTIONS = (
    *("--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS)),
    *("--cluster-require-full-coverage", "no", "--cluster-allow-replica-migration", "no"),
    *("--appendonly", "yes", "--repl-diskless-sync-delay", "0"),
)
MIGRATED_KEYS = 10
"""How many keys ``redis-cli`` moves at once."""
MIGRATE_TIMEOUT_MS = 5000
ANSWER_TIMEOUT = 1.0
"""Seconds for which a node is asked how it sees the others."""


class ClusterNode:
    """A node on TCP ports of its own; tests command it through a unix socket.

    Its replicas reach it through ``replication``, a proxy, and clients directly.
    """

    def __init__(self, directory: Path, *options: str) -> None:
        self.port, self.bus_port = free_ports(2)
        self.replication = Proxy(("127.0.0.1", self.port))
        directory.mkdir()
        self.server = RedisServer(
            valkey_server(),
            directory,
            *("--port", str(self.port), "--bind", "127.0.0.1"),
            *("--cluster-port", str(self.bus_port)),
            *("--cluster-announce-port", str(self.replication.port)),
            *("--cluster-announce-client-port", str(self.port)),
            *OPTIONS,
            *options,
        )
        self.id = ""
        self.is_answering = False
        self.redis: Any = redis.Redis(
            unix_socket_path=str(self.server.socket),
            decode_responses=True,
            socket_timeout=ANSWER_TIMEOUT,
        )

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def refuse_replicas(self) -> None:
        """Ends the connections of its replicas, and admits none until it is started again."""
        self.redis.execute_command("ACL SETUSER", "default", "-psync", "-sync")
        self.redis.execute_command("CLIENT KILL", "TYPE", "replica")

    def break_replication(self) -> None:
        """Resets the connections of its replicas, and others until all is restored."""
        self.replication.target = ("127.0.0.1", free_ports(1)[0])
        self.replication.reset()

    def start(self) -> None:
        """Returns once the node answers, which is before the others know."""
        self.server.start()
        self.is_answering = True
        self.id = self.redis.execute_command("CLUSTER MYID")

    def kill(self) -> None:
        self.is_answering = False
        self.server.kill()
        self.redis.connection_pool.disconnect()

    def pause(self) -> None:
        """It hangs, and its kernel still takes connections."""
        self.is_answering = False
        self.server.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.server.process.send_signal(signal.SIGCONT)
        self.redis.connection_pool.disconnect()
        self.is_answering = True

    def view(self) -> dict[str, dict[str, Any]]:
        """The nodes as this one sees them, by id: what ``CLUSTER NODES`` says, as redis-py parses.

        Raises:
            redis.RedisError: the node does not answer.
        """
        found: dict[str, dict[str, Any]] = self.redis.execute_command("CLUSTER NODES")
        return {node["node_id"]: node for node in found.values()}

    def is_primary(self) -> bool:
        """Whether it sees itself as one."""
        return "master" in self.view()[self.id]["flags"]

    def slots(self) -> list[tuple[int, int]]:
        """The ranges of slots that it sees as its own."""
        return _ranges(self.view()[self.id])


class RedisCluster:
    """Nodes that know each other."""

    def __init__(self, nodes: Sequence[ClusterNode]) -> None:
        self.nodes = [*nodes]

    @property
    def url(self) -> str:
        """For the service; every node is a seed."""
        return url_of(self.nodes)

    @property
    def primaries(self) -> list[ClusterNode]:
        """Those that answer and have slots."""
        return [node for node in self._answering() if node.is_primary() and node.slots()]

    def primary_of(self, partition: str) -> ClusterNode:
        """The primary of the partition's slot, as a node that answers sees it."""
        return self.owner_of(slot_of(partition))

    def owner_of(self, slot: int) -> ClusterNode:
        """The primary of the slot, as a node that answers sees it."""
        for viewer in self._answering():
            for node_id, seen in viewer.view().items():
                if any(first <= slot <= last for first, last in _ranges(seen)):
                    return self._by_id(node_id)
        raise AssertionError(f"nobody has slot {slot}")

    def replica_of(self, node: ClusterNode) -> ClusterNode:
        """A replica of the node, as one that answers sees it."""
        for viewer in self._answering():
            for node_id, seen in viewer.view().items():
                if seen["master_id"] == node.id:
                    return self._by_id(node_id)
        raise AssertionError(f"{node.address} has no replica")

    def wait_for_failover(self, node: ClusterNode, within: float = 30.0) -> float:
        """Waits until all nodes that answer see another one with the slots that ``node`` had.

        Returns:
            The monotonic time at which that was first seen.
        """
        wait_until(lambda: self._is_replaced(node), f"the failover of {node.address}", within)
        return time.monotonic()

    def wait_until_ok(self, within: float = 30.0) -> None:
        """Until every node answers, all see all slots served, and replicas are in sync."""
        wait_until(lambda: all(map(self._sees_all_well, self.nodes)), "the cluster", within)

    def flush(self) -> None:
        """Deletes all data, on every primary."""
        for node in self.primaries:
            node.redis.flushall()

    def restore(self) -> None:
        """Mends all that tests did to nodes and to their replication; returns once all is well."""
        for node in self.nodes:
            node.replication.black_hole = node.replication.half_open = False
            node.replication.target = ("127.0.0.1", node.port)
            if node.is_answering:
                continue
            (node.resume if node.server.process.poll() is None else node.start)()
        self.wait_until_ok()

    def start_moving(self, slot: int, target: ClusterNode) -> ClusterNode:
        """Lets a slot begin to move, without its keys; returns the node that still has it."""
        source = self.owner_of(slot)
        target.redis.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", source.id)
        source.redis.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", target.id)
        return source

    def move_slot(self, slot: int, target: ClusterNode, seconds: float = 0.0) -> int:
        """Moves a slot as ``redis-cli --cluster reshard`` does, in so many seconds at least.

        Returns:
            How many keys were moved.
        """
        source, moved, began = self.start_moving(slot, target), 0, time.monotonic()
        while found := source.redis.execute_command("CLUSTER GETKEYSINSLOT", slot, MIGRATED_KEYS):
            source.redis.execute_command(
                *("MIGRATE", "127.0.0.1", target.port, "", 0, MIGRATE_TIMEOUT_MS, "KEYS", *found)
            )
            moved += len(found)
            if moved == len(found):
                time.sleep(max(0.0, began + seconds - time.monotonic()))
        for node in (target, source, *self.primaries):
            node.redis.execute_command("CLUSTER SETSLOT", slot, "NODE", target.id)
        return moved

    def migrate_slots(self, slots: Sequence[int], target: ClusterNode) -> None:
        """Moves slots of one primary atomically, as Valkey can since 9.0."""
        source = self.owner_of(slots[0])
        ranges = [part for slot in slots for part in (slot, slot)]
        source.redis.execute_command(
            "CLUSTER MIGRATESLOTS", "SLOTSRANGE", *ranges, "NODE", target.id
        )
        wait_until(
            lambda: all(self.owner_of(slot) is target for slot in slots), "the slots to move"
        )

    def owners(self) -> dict[str, ClusterNode]:
        """The primary of each partition."""
        ranges = [(node, node.slots()) for node in self.primaries]
        return {
            partition: node
            for partition in keys.ALL_PARTITIONS
            for node, owned in ranges
            if any(first <= slot_of(partition) <= last for first, last in owned)
        }

    def configure(self, **options: str) -> None:
        """Sets options of all nodes that answer; an underscore stands for a hyphen."""
        for node in self._answering():
            node.redis.config_set(
                *(
                    part
                    for name, value in options.items()
                    for part in (name.replace("_", "-"), value)
                )
            )

    def _answering(self) -> list[ClusterNode]:
        return [node for node in self.nodes if node.is_answering]

    def _by_id(self, node_id: str) -> ClusterNode:
        return next(node for node in self.nodes if node.id == node_id)

    def _is_replaced(self, node: ClusterNode) -> bool:
        with suppress(redis.RedisError, StopIteration):
            views = [other.view() for other in self._answering() if other is not node]
            return all(not view[node.id]["slots"] and _count_slots(view) == SLOTS for view in views)
        return False

    def _sees_all_well(self, node: ClusterNode) -> bool:
        with suppress(redis.RedisError):
            view = node.view()
            return (
                len(view) == len(self.nodes)
                and _count_slots(view) == SLOTS
                and not any("fail" in seen["flags"] for seen in view.values())
                and node.redis.execute_command("CLUSTER INFO")["cluster_state"] == "ok"
                and node.redis.info("replication").get("master_link_status", "up") == "up"
                and all(not seen["slots"] or "master" in seen["flags"] for seen in view.values())
            )
        return False


@contextmanager
def redis_cluster(
    primaries: int = 3, replicas: int = 1, options: Sequence[str] = ()
) -> Iterator[RedisCluster]:
    """A cluster of ``primaries``, each with so many ``replicas``; ``options`` are every node's."""
    with tempfile.TemporaryDirectory(prefix="pl-") as directory, ExitStack() as started:
        nodes = []
        for number in range(primaries * (1 + replicas)):
            node = ClusterNode(Path(directory) / str(number), *options)
            started.enter_context(node.replication)
            started.callback(_end, node)
            node.start()
            nodes.append(node)
        cluster = RedisCluster(nodes)
        _form(cluster, primaries)
        yield cluster


def url_of(nodes: Sequence[ClusterNode]) -> str:
    """The URL whose seeds are ``nodes``."""
    return f"redis+cluster://{','.join(node.address for node in nodes)}"


def slot_of(partition: str) -> int:
    """The slot of all keys of the partition."""
    return int(key_slot(f"{{{partition}}}".encode()))


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            probe = held.enter_context(socket.socket())
            with suppress(OSError):
                probe.bind(("127.0.0.1", random.randrange(FIRST_PORT, LAST_PORT)))
                ports.append(int(probe.getsockname()[1]))
        return ports


def _form(cluster: RedisCluster, primaries: int) -> None:
    first, *others = cluster.nodes
    for number, node in enumerate(cluster.nodes):
        node.redis.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
        if number < primaries:
            share = SLOTS * number // primaries, SLOTS * (number + 1) // primaries - 1
            node.redis.execute_command("CLUSTER ADDSLOTSRANGE", *share)
    for node in others:
        first.redis.execute_command("CLUSTER MEET", "127.0.0.1", node.port, node.bus_port)
    wait_until(
        lambda: all(_knows_all(node, cluster) for node in cluster.nodes), "the nodes to meet"
    )
    for number, node in enumerate(cluster.nodes[primaries:]):
        node.redis.execute_command("CLUSTER REPLICATE", cluster.nodes[number % primaries].id)
    wait_until(lambda: _has_replicas(cluster, primaries), "the replicas to be known")
    cluster.wait_until_ok()


def _knows_all(node: ClusterNode, cluster: RedisCluster) -> bool:
    view = node.view()
    return {other.id for other in cluster.nodes} == view.keys() and not any(
        "handshake" in seen["flags"] for seen in view.values()
    )


def _has_replicas(cluster: RedisCluster, primaries: int) -> bool:
    """Whether all nodes see which are replicas."""
    return all(
        sum("slave" in seen["flags"] for seen in node.view().values())
        == len(cluster.nodes) - primaries
        for node in cluster.nodes
    )


def _end(node: ClusterNode) -> None:
    node.redis.close()
    if node.server.is_started:
        node.server.kill()


def _ranges(seen: dict[str, Any]) -> list[tuple[int, int]]:
    """The ranges of slots of a node; slots on the move are its own."""
    return [(int(slots[0]), int(slots[-1])) for slots in seen["slots"]]


def _count_slots(view: dict[str, dict[str, Any]]) -> int:
    return sum(last - first + 1 for seen in view.values() for first, last in _ranges(seen))
