"""The lane by which the web process reaches Redis: commands of concurrent requests travel together."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, Self, TypeVar

import redis.asyncio
from redis.exceptions import NoScriptError

from service.domain.errors import Unavailable
from service.store.call import Call
from service.store.client import TIMEOUT, decode_reply, scripts_of

T = TypeVar("T")

CARRIERS = 4
"""Pipelines that are under way at once; while all are, commands wait and gather."""
LONGEST_PIPELINE = 256
LONGEST_QUEUE = 4096


class _Waiting(NamedTuple):
    call: Call[Any]
    reply: "asyncio.Future[Any]"
    deadline: float


class Lane:
    """Carries out the calls of concurrent tasks, one pipeline per turn of the event loop.

    A request that goes away leaves its command to its pipeline: a connection belongs to a carrier, never to a request.
    """

    def __init__(self, connection: "redis.asyncio.Redis | redis.asyncio.RedisCluster") -> None:
        self._redis = connection
        self._queue: deque[_Waiting] = deque()
        self._awake = asyncio.Event()
        self._carriers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._carriers = [asyncio.create_task(self._carry()) for _ in range(CARRIERS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for carrier in self._carriers:
            carrier.cancel()
        await asyncio.gather(*self._carriers, return_exceptions=True)
        await self._redis.aclose()

    async def run(self, call: Call[T]) -> T:
        """The reply to ``call``.

        Raises:
            Unavailable: Redis did not answer within 2 s, or too many commands wait already.
        """
        if len(self._queue) >= LONGEST_QUEUE:
            raise Unavailable("too many requests wait for the store")
        loop = asyncio.get_running_loop()
        waiting = _Waiting(call, loop.create_future(), loop.time() + TIMEOUT)
        self._queue.append(waiting)
        self._awake.set()
        return decode_reply(call, await waiting.reply)

    async def run_all(self, calls: Sequence[Call[T]]) -> list[T]:
        """The replies to ``calls``, in the order of the calls.

        Raises:
            Unavailable: one of them was not answered; any of them may have been carried out.
        """
        return list(await asyncio.gather(*map(self.run, calls)))

    async def _carry(self) -> None:
        while True:
            await self._awake.wait()
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), LONGEST_PIPELINE))]
            if not self._queue:
                self._awake.clear()
            if batch:
                await self._execute(batch)

    async def _execute(self, batch: list[_Waiting]) -> None:
        """Answers every call of ``batch``, with its reply or with what went wrong."""
        try:
            async with asyncio.timeout_at(batch[0].deadline):
                replies = await self._pipeline([waiting.call for waiting in batch])
        except Exception as error:  # noqa: BLE001 - it is handed to the requests, each of which raises it
            replies = [error] * len(batch)
        except asyncio.CancelledError:
            _answer(batch, [Unavailable("the service is stopping")] * len(batch))
            raise
        _answer(batch, replies)

    async def _pipeline(self, calls: Sequence[Call[Any]]) -> list[Any]:
        replies = await self._send(calls)
        if again := [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]:
            for script in scripts_of([calls[index] for index in again]):
                await self._redis.script_load(script.source)
            for index, reply in zip(again, await self._send([calls[index] for index in again]), strict=True):
                replies[index] = reply
        return replies

    async def _send(self, calls: Sequence[Call[Any]]) -> list[Any]:
        pipeline: Any = self._redis.pipeline(transaction=False)
        for call in calls:
            pipeline.execute_command(*call.command)
        replies: list[Any] = await pipeline.execute(raise_on_error=False)
        return replies


def _answer(batch: Sequence[_Waiting], replies: Sequence[Any]) -> None:
    for waiting, reply in zip(batch, replies, strict=True):
        if not waiting.reply.done():
            waiting.reply.set_result(reply)
