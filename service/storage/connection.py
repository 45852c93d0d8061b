"""The way to a single server: one connection, on which commands follow each other and replies come in their order."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis
import redis.asyncio
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import NoPermissionError, ReadOnlyError

from service.errors import Unavailable
from service.storage.command import Command, Script

Reply = asyncio.Future[Any]
NOT_YET = object()

BATCHES = 2
"""How many are under way at once: one travels while the other is carried out. What comes meanwhile gathers."""


class Line:
    """A wire to the server, made when it is needed, and again when it was lost."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._pool: Any = client.connection_pool
        self._wire: RedisProtocol | None = None
        self._connecting: asyncio.Task[Any] | None = None
        self._queue: list[tuple[Command[Any], Reply]] = []
        """What is to be sent as soon as there is a wire."""

    def send(self, call: Command[Any], reply: Reply) -> None:
        if self._wire is not None:
            self._wire.send(call, reply)
            return
        self._queue.append((call, reply))
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(self._connected)

    def distrust(self, since: float) -> None:
        if self._wire is not None and self._wire.heard < since:
            self._wire.cut(ConnectionLost("the store is silent"))

    async def load(self, script: Script) -> None:
        reply = asyncio.get_running_loop().create_future()
        self.send(Command(("SCRIPT", "LOAD", script.source), str), reply)
        said = await reply
        if isinstance(
            said, NoPermissionError
        ):  # where it is away, whoever misses the script learns that by asking again
            raise Unavailable from said

    async def close(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        if self._wire is not None:
            self._wire.cut(ConnectionLost("closed"))

    async def _connect(self) -> Any:
        """redis-py finds the server, and shows it who we are."""
        connection = self._pool.make_connection()
        try:
            await connection.connect()
        except (
            RuntimeError
        ) as error:  # uvloop's, for writing to a connection that was reset a moment ago
            raise ConnectionLost(str(error)) from error
        return connection

    def _connected(self, task: "asyncio.Task[Any]") -> None:
        queue, self._queue, self._connecting = self._queue, [], None
        error = ConnectionLost("gave up connecting") if task.cancelled() else task.exception()
        if error is None:
            self._wire = RedisProtocol(task.result(), self._lose)
        for call, reply in queue:
            if reply.done():  # its caller has gone, or was told that it takes too long
                continue
            if self._wire is None:
                reply.set_result(error)
            else:
                self._wire.send(call, reply)

    def _lose(self) -> None:
        self._wire = None


class RedisProtocol(asyncio.Protocol):
    """The stream under a connection of redis-py's, without what redis-py has above it, which costs several times as much.

    ``heard`` is when the server last said something, in the loop's time.
    """

    def __init__(self, connection: Any, on_loss: Callable[[], None]) -> None:
        self._connection = connection
        self._on_loss = on_loss
        self._is_cut = self._is_flushing = False
        self._gathered: list[bytes] = []
        self._under_way: deque[int] = deque()
        """How many replies of each batch that was sent are still to come."""
        self._waiting: deque[Reply] = deque()
        self._loop = asyncio.get_running_loop()
        self.heard = self._loop.time()
        self._parser = hiredis.Reader(
            encoding="utf-8",
            replyError=connection._parser.parse_error,  # noqa: SLF001 - redis-py offers neither this nor the stream in public
            notEnoughData=NOT_YET,
        )
        self._transport: asyncio.Transport = connection._writer.transport  # noqa: SLF001
        self._transport.set_protocol(self)

    def send(self, call: Command[Any], reply: Reply) -> None:
        """Has the command travel with those of this turn, or, while ``BATCHES`` are under way, of the next few."""
        self._waiting.append(reply)
        self._gathered.append(hiredis.pack_command(call.command))  # type: ignore[arg-type] # means any length
        self._flush_soon()

    def data_received(self, data: bytes) -> None:
        self.heard = self._loop.time()
        self._parser.feed(data)
        try:
            while self._under_way and (said := self._parser.gets()) is not NOT_YET:
                if not isinstance(said, hiredis.PushNotification):
                    self._answer(said)
        except hiredis.ProtocolError as error:
            self.cut(ConnectionLost(str(error)))

    def connection_lost(self, exc: Exception | None) -> None:
        self.cut(exc or ConnectionLost("the store closed the connection"))

    def cut(self, error: Exception) -> None:
        """Lets go of the connection. Whatever was sent on it may or may not have been carried out."""
        if self._is_cut:
            return
        self._is_cut = True
        self._on_loss()
        self._transport.abort()
        self._connection._close()  # noqa: SLF001 - has it forget the stream; in public there is only a coroutine
        for reply in self._waiting:
            if not reply.done():
                reply.set_result(error)
        self._waiting.clear()
        self._gathered.clear()
        self._under_way.clear()

    def _flush_soon(self) -> None:
        if self._gathered and not self._is_flushing and len(self._under_way) < BATCHES:
            self._is_flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flushing = False
        if self._transport.is_closing():
            self.cut(ConnectionLost("the connection was reset"))
        if self._gathered:
            self._under_way.append(len(self._gathered))
            self._transport.write(b"".join(self._gathered))
            self._gathered.clear()

    def _answer(self, said: Any) -> None:
        reply = self._waiting.popleft()
        if not reply.done():
            reply.set_result(said)
        self._under_way[0] -= 1
        if not self._under_way[0]:
            self._under_way.popleft()
            self._flush_soon()
        if isinstance(said, ReadOnlyError):  # another server is the primary now
            self.cut(said)
