"""The transport to a cluster: a connection to each primary, and which slots each of them serves.

redis-py's own cluster client sends the commands of all nodes together and waits for the slowest.
Here a node that is dead or hangs costs its own commands only.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import redis.asyncio
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    InvalidResponse,
    MovedError,
    ReadOnlyError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import TimeoutError as RedisTimeout

from service.errors import Unavailable
from service.storage.command import Command, command
from service.storage.multiplexed_connection import (
    MAX_PENDING_COMMANDS,
    TOO_MANY_COMMANDS,
    MultiplexedConnection,
    Reply,
    set_error,
)
from service.storage.redis_url import Address

REFRESH_SECONDS = 30.0
"""How often the slots are read anew while nothing fails."""
MIN_REFRESH_SECONDS = 1.0
"""How often they are read anew at most."""
ANSWER_SECONDS = 1.0
"""How long a node may take to report the slots."""
HEDGE_SECONDS = 0.2
"""How long one node is given before the next is asked as well."""
RESEND_SECONDS = 0.02
"""The least pause before a command that did not run is sent again, to another node or the same."""
MAX_RESENDS_PER_SECOND = 2000
"""Limits what commands cost that wait until all keys of a slot have moved."""
TOPOLOGY_ERRORS = (
    ConnectionLost,
    RedisTimeout,
    OSError,
    InvalidResponse,
    ClusterDownError,
    ReadOnlyError,
)
"""Errors after which another node may serve the slots. Other errors are replies."""
UNKNOWN_HOST = "?"
"""The host of a node without a name, on clusters whose nodes are reached by names."""
ASKING = command(bool, "ASKING")
CLUSTER_SLOTS = command(list, "CLUSTER", "SLOTS")


class ClusterTransport:
    """Sends each command to the primary of its slot, as soon as the slots are known.

    A command that a node did not run is sent again: to the node that the reply names (MOVED, ASK),
    or to the same (TRYAGAIN), until its caller gives up. One that may have run never is. None waits
    for a node that has failed, until that reports the slots again.
    """

    def __init__(
        self, seeds: Sequence[Address], create_client: Callable[[Address], redis.asyncio.Redis]
    ) -> None:
        """``seeds`` stay among the nodes that are asked for the slots, whatever these report."""
        self._seeds = seeds
        self._create_client = create_client
        self._connections: dict[Address, MultiplexedConnection] = {}
        self._slots: list[Address | None] = []
        """The primary of each slot; empty until a node has reported them."""
        self._primaries = set[Address]()
        self._nodes = set[Address]()
        """The primaries and replicas."""
        self._failed: dict[Address, Exception] = {}
        """Nodes that failed, and have not reported the slots since; each with its latest error."""
        self._queue: list[tuple[Command[Any], Reply]] = []
        """Commands to send as soon as the slots are known."""
        self._resending = 0
        """How many commands will be sent again."""
        self._changed = asyncio.Event()
        """Set when the slots may have changed."""
        self._refreshing: asyncio.Task[None] | None = None

    def send(self, command: Command[Any], reply: Reply) -> None:
        if self._refreshing is None:
            self._refreshing = asyncio.create_task(self._keep_slots())
        slot = _slot_of(command)
        if not self._slots:
            self._changed.set()
            if len(self._queue) < MAX_PENDING_COMMANDS:
                self._queue.append((command, reply))
            else:
                set_error(command, reply, Unavailable(TOO_MANY_COMMANDS))
        elif (address := self._slots[slot]) is None:
            self._changed.set()
            set_error(command, reply, ClusterDownError("no node serves the slot"))
        elif address in self._failed and not self._is_open(address):
            set_error(command, reply, self._failed[address])
        else:
            self._connection(address).send(command, reply)

    def drop_if_silent(self, reply: Reply, since: float) -> None:
        for connection in [*self._connections.values()]:
            connection.drop_if_silent(reply, since)

    async def close(self) -> None:
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait([self._refreshing])
        await asyncio.gather(*[each.close() for each in self._connections.values()])

    def _connection(self, address: Address) -> MultiplexedConnection:
        if address not in self._connections:
            self._connections[address] = MultiplexedConnection(
                self._create_client(address), partial(self._handle_error, address)
            )
        return self._connections[address]

    def _handle_error(
        self, address: Address, command: Command[Any], reply: Reply, error: Exception
    ) -> None:
        if isinstance(error, AskError) and error.host == UNKNOWN_HOST:
            self._changed.set()
            self._send_later(command, reply)
        elif isinstance(error, MovedError):
            self._slots[error.slot_id] = named = _address_in(error, address)
            self._failed.pop(named, None)
            self._changed.set()
            self._send_later(command, reply)
        elif isinstance(error, AskError):
            self._send_asking(command, reply, _address_in(error, address))
        elif isinstance(error, TryAgainError):
            self._send_later(command, reply)
        else:
            if isinstance(error, TOPOLOGY_ERRORS):
                self._failed[address] = error
                self._changed.set()
            set_error(command, reply, error)

    def _send_asking(self, command: Command[Any], reply: Reply, address: Address) -> None:
        if not reply.done():
            connection = self._connection(address)
            connection.send(ASKING, asyncio.get_running_loop().create_future())
            connection.send(command, reply)

    def _send_later(self, command: Command[Any], reply: Reply) -> None:
        def resend() -> None:
            self._resending -= 1
            if not reply.done():
                self.send(command, reply)

        self._resending += 1
        pause = max(RESEND_SECONDS, self._resending / MAX_RESENDS_PER_SECOND)
        asyncio.get_running_loop().call_later(pause, resend)

    async def _keep_slots(self) -> None:
        """Reads the slots at once when they may have changed, else every ``REFRESH_SECONDS``.

        While a primary has failed, they are read every ``MIN_REFRESH_SECONDS``, and never sooner.
        """
        loop = asyncio.get_running_loop()
        while True:
            read_at = loop.time()
            self._changed.clear()
            await asyncio.gather(
                self._read_slots(), *map(self._ask, self._primaries.intersection(self._failed))
            )
            await self._close_unused()
            if not self._primaries.intersection(self._failed):
                with suppress(TimeoutError):
                    async with asyncio.timeout(REFRESH_SECONDS):
                        await self._changed.wait()
            await asyncio.sleep(read_at + MIN_REFRESH_SECONDS - loop.time())

    async def _read_slots(self) -> None:
        """Takes the first answer of a node, and sends the commands that waited for it."""
        nodes = enumerate(self._nodes_to_ask())
        asking = [asyncio.create_task(self._ask(node, HEDGE_SECONDS * i)) for i, node in nodes]
        try:
            for answered in asyncio.as_completed(asking):
                answer = await answered
                if isinstance(answer, _Topology):
                    self._use(answer)
                    break
        finally:
            for task in asking:
                task.cancel()
        queue, self._queue = self._queue, []
        for waiting, reply in queue:
            if isinstance(answer, Exception) and not self._slots:
                set_error(waiting, reply, answer)
            elif not reply.done():  # its caller was not canceled, and has not timed out
                self.send(waiting, reply)

    def _nodes_to_ask(self) -> list[Address]:
        """All known nodes in a random order, those that are connected first, failed ones last."""
        nodes = [*self._nodes.union(self._seeds)]
        random.shuffle(nodes)
        return sorted(nodes, key=lambda node: (node in self._failed, not self._is_open(node)))

    def _is_open(self, address: Address) -> bool:
        return address in self._connections and self._connections[address].is_open

    async def _ask(self, address: Address, delay: float = 0) -> "_Topology | Exception":
        """The slots as the node reports them, ``delay`` seconds from now; or why it does not.

        A node that reports them no longer counts as failed.
        """
        loop = asyncio.get_running_loop()
        await asyncio.sleep(delay)
        connection, reply, since = self._connection(address), loop.create_future(), loop.time()
        connection.send(CLUSTER_SLOTS, reply)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await reply
        except TimeoutError as error:
            connection.drop_if_silent(reply, since)
            return error
        failure = ConnectionLost("a node does not report the slots")
        if isinstance(answer, Exception):
            failure.__cause__ = answer
            return failure
        try:
            topology = _parse_slots(answer, address)
        except (ValueError, TypeError, LookupError) as error:
            failure.__cause__ = error
            return failure
        self._failed.pop(address, None)
        return topology

    def _use(self, topology: "_Topology") -> None:
        self._slots, self._nodes = topology
        primaries = {address for address in self._slots if address is not None}
        kept = self._nodes.union(self._seeds) - (primaries - self._primaries)  # all but new ones
        self._failed = {node: error for node, error in self._failed.items() if node in kept}
        self._primaries = primaries

    async def _close_unused(self) -> None:
        """Closes connections to nodes that serve no slots."""
        for address in self._connections.keys() - self._primaries:
            if self._connections[address].is_idle:
                await self._connections.pop(address).close()


class _Topology(NamedTuple):
    """The primary of each slot, and all nodes."""

    slots: list[Address | None]
    nodes: set[Address]


def _parse_slots(reply: Any, asked: Address) -> _Topology:
    """Reads a reply to CLUSTER SLOTS of the node ``asked``.

    Raises:
        ValueError, TypeError, LookupError: it is none, or no node serves any slot.
    """
    slots: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
    nodes = set[Address]()
    for first, last, *servers in reply:
        addresses = [read_address(server, asked) for server in servers]
        slots[first : last + 1] = [addresses[0]] * (last + 1 - first)
        nodes.update(addresses)
    if not nodes:
        raise ValueError("no slots are assigned")
    return _Topology(slots, nodes)


def read_address(server: Sequence[Any], asked: Address) -> Address:
    """The address of a server in a reply to CLUSTER SLOTS.

    The host may be left out: then it is that of the node ``asked``. A server that should have a
    name, and has none, has its IP address instead.
    """
    host, port, _, *networking = server
    if host == UNKNOWN_HOST:
        host = networking[0]["ip"]
    return str(host or asked[0]), int(port)


def _address_in(error: AskError, redirecting: Address) -> Address:
    """The node that a redirection names; it may leave out the host of the one that redirects."""
    return error.host or redirecting[0], error.port


def _slot_of(command: Command[Any]) -> int:
    """The slot of the command's keys; that of an empty key if it has none."""
    keys = command.keys
    return key_slot(str(keys[0]).encode()) if keys else 0
