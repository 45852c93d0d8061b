"""The lane by which the web process reaches Redis: commands of concurrent requests travel together."""

import asyncio
from collections import deque
from collections.abc import Collection, Sequence
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
STOPPING = "the service is stopping"


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
        self._closed = False
        self._carriers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._carriers = [asyncio.create_task(self._carry()) for _ in range(CARRIERS)]
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self._closed = True
        carriers = set(self._carriers)
        while carriers:  # more than once, for a library may take a cancellation for its own
            for carrier in carriers:
                carrier.cancel()
            _, carriers = await asyncio.wait(carriers, timeout=0.1)
        _answer(self._queue, [Unavailable(STOPPING)] * len(self._queue))
        await self._redis.aclose()

    async def run(self, call: Call[T]) -> T:
        """The reply to ``call``.

        Raises:
            Unavailable: Redis did not answer within 2 s, or too many commands wait already.
        """
        if self._closed:
            raise Unavailable(STOPPING)
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
        while not self._closed:
            await self._awake.wait()
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), LONGEST_PIPELINE))]
            if not self._queue:
                self._awake.clear()
            late = [waiting for waiting in batch if waiting.deadline <= asyncio.get_running_loop().time()]
            _answer(late, [Unavailable()] * len(late))
            if batch := batch[len(late) :]:
                await self._execute(batch)

    async def _execute(self, batch: list[_Waiting]) -> None:
        """Answers every call of ``batch``, with its reply or what went wrong: in time, however long a connection takes to end."""
        too_late = asyncio.get_running_loop().call_at(batch[0].deadline, _answer, batch, [Unavailable()] * len(batch))
        try:
            async with asyncio.timeout_at(batch[0].deadline):
                replies = await self._pipeline([waiting.call for waiting in batch])
        except Exception as error:  # noqa: BLE001 - it is handed to the requests, each of which raises it
            replies = [error] * len(batch)
        except asyncio.CancelledError:
            _answer(batch, [Unavailable(STOPPING)] * len(batch))
            raise
        finally:
            too_late.cancel()
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


def _answer(batch: Collection[_Waiting], replies: Sequence[Any]) -> None:
    for waiting, reply in zip(batch, replies, strict=True):
        if not waiting.reply.done():
            waiting.reply.set_result(reply)
