"""The transport to a server: one connection, whose replies come in the order of the commands."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis
import redis.asyncio
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import ReadOnlyError

from service.errors import Unavailable
from service.storage.command import Command

Reply = asyncio.Future[Any]
HandleError = Callable[[Command[Any], Reply, Exception], None]
"""Gets each command that failed, and sees to it that its reply has a result."""

MAX_BATCHES_IN_FLIGHT = 2
"""Limits the batches in flight: one travels while Redis runs the other, and later commands wait."""
MAX_PENDING_COMMANDS = 4096
"""Commands that may wait for one server."""
RECONNECT_SECONDS = 0.1
"""The pause after a connection could not be made. Over TLS, an attempt takes 20 ms of CPU."""
TOO_MANY_COMMANDS = "too many commands wait for Redis"
INCOMPLETE = object()
"""What the parser returns until a reply is complete."""


def set_error(_command: Command[Any], reply: Reply, error: Exception) -> None:
    """Makes the error the reply."""
    if not reply.done():
        reply.set_result(error)


class MultiplexedConnection:
    """Connects when there is something to send, and again after the connection was lost."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        handle_error: HandleError = set_error,
    ) -> None:
        self._client = client
        self._handle_error = handle_error
        self._protocol: RedisWireProtocol | None = None
        self._connecting: asyncio.Task[Any] | None = None
        self._queue: list[tuple[Command[Any], Reply]] = []
        """Commands to send as soon as there is a connection."""
        self._failure: Exception | None = None
        """Why there was none a moment ago: the error of all commands until the next attempt."""

    @property
    def is_idle(self) -> bool:
        """Whether no command waits for its reply."""
        return self._connecting is None and (self._protocol is None or not self._protocol.pending)

    @property
    def is_open(self) -> bool:
        return self._protocol is not None

    def send(self, command: Command[Any], reply: Reply) -> None:
        pending = self._queue if self._protocol is None else self._protocol.pending
        if len(pending) >= MAX_PENDING_COMMANDS:
            set_error(command, reply, Unavailable(TOO_MANY_COMMANDS))
        elif self._protocol is not None:
            self._protocol.send(command, reply)
        elif self._failure is not None:
            self._handle_error(command, reply, self._failure)
        else:
            self._queue.append((command, reply))
            if self._connecting is None:
                self._connecting = asyncio.create_task(self._connect())
                self._connecting.add_done_callback(self._on_connect_done)

    def drop_if_silent(self, reply: Reply, since: float) -> None:
        if self._protocol is not None and self._protocol.is_silent(reply, since):
            self._protocol.abort(ConnectionLost("Redis is silent"))

    async def close(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        if self._protocol is not None:
            self._protocol.abort(ConnectionLost("closed"))
        await self._client.aclose()

    async def _connect(self) -> Any:
        """A connection of redis-py, which finds the server and authenticates."""
        connection: Any = self._client.connection_pool.make_connection()
        try:
            await connection.connect()
        except RuntimeError as error:  # of uvloop: the connection was reset a moment ago
            raise ConnectionLost(str(error)) from error
        return connection

    def _on_connect_done(self, task: "asyncio.Task[Any]") -> None:
        queue, self._queue, self._connecting = self._queue, [], None
        error = None if task.cancelled() else task.exception()
        if error is None and not task.cancelled():
            self._protocol = RedisWireProtocol(task.result(), self._handle_error, self._on_loss)
            for command, reply in queue:
                if not reply.done():  # its caller was not canceled, and has not timed out
                    self._protocol.send(command, reply)
            return
        failure = error if isinstance(error, Exception) else ConnectionLost("canceled")
        self._failure = failure
        asyncio.get_running_loop().call_later(RECONNECT_SECONDS, self._end_pause)
        for command, reply in queue:
            self._handle_error(command, reply, failure)

    def _end_pause(self) -> None:
        self._failure = None

    def _on_loss(self) -> None:
        self._protocol = None


class RedisWireProtocol(asyncio.Protocol):
    """Takes over the socket of a connection of redis-py, whose own layers cost ten times as much.

    ``pending`` are the commands without a reply, in their order.
    """

    def __init__(
        self, connection: Any, handle_error: HandleError, on_loss: Callable[[], None]
    ) -> None:
        self._connection = connection
        self._handle_error = handle_error
        self._on_loss = on_loss
        self._aborted = self._flush_scheduled = False
        self._buffer: list[bytes] = []
        self._batch_sizes: deque[int] = deque()
        """For each batch in flight, the number of replies to come."""
        self.pending: deque[tuple[Command[Any], Reply]] = deque()
        self._loop = asyncio.get_running_loop()
        self._last_read_at = self._loop.time()
        parser, writer = connection._parser, connection._writer  # noqa: SLF001 - nothing public
        self._reader = hiredis.Reader(
            encoding="utf-8", replyError=parser.parse_error, notEnoughData=INCOMPLETE
        )
        self._transport: asyncio.Transport = writer.transport
        self._transport.set_protocol(self)

    def is_silent(self, reply: Reply, since: float) -> bool:
        """Whether ``reply`` is to come, and nothing has come since then, in the loop's time."""
        return self._last_read_at < since and any(each is reply for _, each in self.pending)

    def send(self, command: Command[Any], reply: Reply) -> None:
        args: Any = command.args  # hiredis declares a tuple of one
        try:
            packed = hiredis.pack_command(args)
        except (ValueError, TypeError) as error:
            set_error(command, reply, error)
            return
        self._buffer.append(packed)
        self.pending.append((command, reply))
        self._schedule_flush()

    def data_received(self, data: bytes) -> None:
        self._last_read_at = self._loop.time()
        self._reader.feed(data)
        try:
            while self._batch_sizes and (reply := self._reader.gets()) is not INCOMPLETE:
                if not isinstance(reply, hiredis.PushNotification):
                    self._receive(reply)
        except hiredis.ProtocolError as error:
            self.abort(ConnectionLost(str(error)))

    def connection_lost(self, exc: Exception | None) -> None:
        self.abort(exc or ConnectionLost("Redis closed the connection"))

    def abort(self, error: Exception) -> None:
        """Closes the connection. Commands sent on it may or may not have run."""
        if self._aborted:
            return
        self._aborted = True
        self._on_loss()
        self._transport.abort()
        self._connection._close()  # noqa: SLF001 - in public there is only a coroutine
        for command, reply in self.pending:
            self._handle_error(command, reply, error)
        self.pending.clear()
        self._buffer.clear()
        self._batch_sizes.clear()

    def _schedule_flush(self) -> None:
        if (
            self._buffer
            and not self._flush_scheduled
            and len(self._batch_sizes) < MAX_BATCHES_IN_FLIGHT
        ):
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        if self._transport.is_closing():
            self.abort(ConnectionLost("the connection was reset"))
        if self._buffer:
            self._batch_sizes.append(len(self._buffer))
            self._transport.write(b"".join(self._buffer))
            self._buffer.clear()

    def _receive(self, result: Any) -> None:
        command, reply = self.pending.popleft()
        if isinstance(result, Exception):
            self._handle_error(command, reply, result)
        elif not reply.done():
            reply.set_result(result)
        self._batch_sizes[0] -= 1
        if not self._batch_sizes[0]:
            self._batch_sizes.popleft()
            self._schedule_flush()
        if isinstance(result, ReadOnlyError):  # another server has become the primary
            self.abort(result)
