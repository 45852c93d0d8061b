"""The pipeline of the web process: it sends the commands of concurrent requests together."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, Self, TypeVar

from redis.exceptions import NoScriptError

from service.errors import Unavailable, Unreadable
from service.storage.command import Command
from service.storage.replies import decode_each, decode_reply, missing_scripts

T = TypeVar("T")

REDIS_TIMEOUT_SECONDS = 1.25
"""Limits connecting, and each command: even a busy machine answers requests within 2 s."""
STOPPING = "the service is stopping"


class Transport(Protocol):
    """Sends commands to Redis, and sets each reply, or error, as the result of its future."""

    def send(self, command: Command[Any], reply: "asyncio.Future[Any]") -> None: ...

    def drop_if_silent(self, reply: "asyncio.Future[Any]", since: float) -> None:
        """Drops the connection on which ``reply`` is to come if nothing has come since then.

        The time is the loop's.
        """

    async def close(self) -> None:
        """Closes all connections. Replies to come may be left without a result."""


class AutoPipeline:
    """Runs the commands of concurrent tasks. What it raises is described at ``decode_reply``.

    Connections belong to the pipeline, never to a request: a request that is canceled leaves its
    command behind. A caller waits ``REDIS_TIMEOUT_SECONDS`` at most, and no command is sent twice.
    While ``is_refusing``, every command is refused as if Redis did not answer.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._pending: deque[_Pending] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = self.is_refusing = False

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        await self._transport.close()
        for pending in self._pending:
            if not pending.reply.done():
                pending.reply.set_result(Unavailable(STOPPING))

    async def run(self, command: Command[T]) -> T:
        reply = await self._enqueue(command)
        if isinstance(reply, NoScriptError):
            reply = await self._enqueue(command.with_source())
        return decode_reply(command, reply)

    async def run_all(self, commands: Sequence[Command[T]]) -> list[T]:
        """The replies to the commands, which are sent together and run independently."""
        return [*map(decode_reply, commands, await self._send_all(commands))]

    async def run_each(self, commands: Sequence[Command[T]]) -> list[T | Unreadable | Unavailable]:
        """The same, each for itself: ``decode_each`` describes what takes a reply's place.

        Raises:
            Unavailable: no command was answered.
        """
        return decode_each(commands, await self._send_all(commands))

    async def _send_all(self, commands: Sequence[Command[Any]]) -> list[Any]:
        replies = await self._gather(commands)
        if missing := missing_scripts(commands, replies):
            for index, reply in zip(missing, await self._gather([*missing.values()]), strict=True):
                replies[index] = reply
        return replies

    async def _gather(self, commands: Sequence[Command[Any]]) -> list[Any]:
        """The raw replies. ``asyncio.gather`` would take twice the time."""
        sent = [self._enqueue(command) for command in commands]
        return [await reply for reply in sent]

    def _enqueue(self, command: Command[Any]) -> "asyncio.Future[Any]":
        if self._closed:
            raise Unavailable(STOPPING)
        if self.is_refusing:
            raise Unavailable
        pending = self._pending
        while pending and pending[0].reply.done():
            pending.popleft()
        reply, now = self._loop.create_future(), self._loop.time()
        pending.append(_Pending(reply, now))
        if self._timer is None:
            self._timer = self._loop.call_at(now + REDIS_TIMEOUT_SECONDS, self._expire)
        self._transport.send(command, reply)
        return reply

    def _expire(self) -> None:
        """Fails the commands that have timed out. One timer serves all: one each costs more."""
        pending, self._timer = self._pending, None
        while pending:
            reply, since = pending[0]
            deadline = since + REDIS_TIMEOUT_SECONDS
            if not reply.done() and deadline > self._loop.time():
                self._timer = self._loop.call_at(deadline, self._expire)
                return
            pending.popleft()
            if not reply.done():
                reply.set_result(Unavailable())
                self._transport.drop_if_silent(reply, since)


class _Pending(NamedTuple):
    reply: "asyncio.Future[Any]"
    since: float
