"""The pipeline by which the web process reaches Redis: commands of concurrent requests travel together."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, Self, TypeVar

import redis.asyncio
from redis.exceptions import NoScriptError

from service.errors import Unavailable, Unreadable
from service.storage.client import (
    TIMEOUT,
    all_readable,
    decode_reply,
    forgotten,
    scripts_of,
    try_decode,
)
from service.storage.cluster import ClusterPipeline
from service.storage.command import Command, Script
from service.storage.connection import Line

T = TypeVar("T")

MAX_PENDING_COMMANDS = 4096
STOPPING = "the service is stopping"


class _Waiting(NamedTuple):
    reply: "asyncio.Future[Any]"
    since: float


class Transport(Protocol):
    """How calls get to the store: each reply, or what went wrong, is set on the future that came with its call."""

    def send(self, call: Command[Any], reply: "asyncio.Future[Any]") -> None: ...

    def distrust(self, since: float) -> None:
        """Somebody has waited since then (in the loop's time), and in vain."""

    async def load(self, script: Script) -> None:
        """Has the store know the script."""

    async def close(self) -> None: ...


class AutoPipeline:
    """Carries out the calls of concurrent tasks.

    A request that goes away leaves its command on its way: connections belong to the pipeline, never to a request. A caller is
    answered in time by the clock, whatever becomes of its command.
    """

    def __init__(self, connection: "redis.asyncio.Redis | redis.asyncio.RedisCluster") -> None:
        self._redis = connection
        self._way: Transport = (
            ClusterPipeline(connection)
            if isinstance(connection, redis.asyncio.RedisCluster)
            else Line(connection)
        )
        self._waiting: deque[_Waiting] = deque()
        self._giving_up: asyncio.TimerHandle | None = None
        self._closed = self._paused = False
        self.asked = 0
        """How many calls it was asked to carry out so far: whoever counts theirs knows of others."""

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self._closed = True
        if self._giving_up is not None:
            self._giving_up.cancel()
        await self._way.close()
        for waiting in self._waiting:
            if not waiting.reply.done():
                waiting.reply.set_result(Unavailable(STOPPING))
        await self._redis.aclose()

    def pause(self) -> None:
        """Refuses all calls until ``resume``."""
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    async def run(self, call: Command[T]) -> T:
        """The reply to ``call``.

        Raises:
            Unavailable: Redis did not answer within ``TIMEOUT``, or too many commands wait already.
            Unreadable: a key holds something else.
        """
        self.asked += 1
        reply = await self._send(call)
        if isinstance(reply, NoScriptError) and call.script is not None:
            await self._load(call.script)
            reply = await self._send(call)
        return decode_reply(call, reply)

    async def run_all(self, calls: Sequence[Command[T]]) -> list[T]:
        """The replies to ``calls``, in the order of the calls.

        Raises:
            Unavailable: one of them was not answered; any of them may have been carried out.
            Unreadable: a key holds something else; the other calls have been carried out.
        """
        return all_readable(await self.run_each(calls))

    async def run_each(self, calls: Sequence[Command[T]]) -> list[T | Unreadable]:
        """The same, with an ``Unreadable`` in place of the reply to a call whose keys hold something else."""
        self.asked += len(calls)
        replies = await self._replies(calls)
        if again := forgotten(calls, replies):
            for script in scripts_of([*again.values()]):
                await self._load(script)
            for index, reply in zip(again, await self._replies([*again.values()]), strict=True):
                replies[index] = reply
        return [try_decode(call, reply) for call, reply in zip(calls, replies, strict=True)]

    async def _replies(self, calls: Sequence[Command[Any]]) -> list[Any]:
        """All that the store says. A task for each call took half of the time."""
        sent = [self._send(call) for call in calls]
        return [await reply for reply in sent]

    async def _load(self, script: Script) -> None:
        since = self._loop.time()
        try:
            async with asyncio.timeout(TIMEOUT):
                await self._way.load(script)
        except TimeoutError:
            self._way.distrust(since)
            raise Unavailable from None

    def _send(self, call: Command[Any]) -> "asyncio.Future[Any]":
        if self._closed:
            raise Unavailable(STOPPING)
        if self._paused:
            raise Unavailable
        waiting = self._waiting
        while waiting and waiting[0].reply.done():
            waiting.popleft()
        if len(waiting) >= MAX_PENDING_COMMANDS:
            raise Unavailable("too many requests wait for the store")
        loop = self._loop
        reply, now = loop.create_future(), loop.time()
        waiting.append(_Waiting(reply, now))
        if self._giving_up is None:
            self._giving_up = loop.call_at(now + TIMEOUT, self._give_up)
        self._way.send(call, reply)
        return reply

    def _give_up(self) -> None:
        """Answers callers whose time is up, and comes back when the next one's is."""
        loop = self._loop
        while self._waiting and (
            self._waiting[0].reply.done() or self._waiting[0].since + TIMEOUT <= loop.time()
        ):
            reply, since = self._waiting.popleft()
            if not reply.done():
                reply.set_result(Unavailable())
                self._way.distrust(since)
        self._giving_up = (
            loop.call_at(self._waiting[0].since + TIMEOUT, self._give_up) if self._waiting else None
        )
