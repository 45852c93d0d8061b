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
from service.store.wire import Exchange, open_wire

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

    A request that goes away leaves its command to its pipeline: a connection belongs to a carrier, never to a request. A caller is
    answered in time by the clock, not by cancelling a carrier: redis-py gives up a silent connection by itself.
    """

    def __init__(self, connection: "redis.asyncio.Redis | redis.asyncio.RedisCluster") -> None:
        self._redis = connection
        self._queue: deque[_Waiting] = deque()
        self._unanswered: deque[_Waiting] = deque()
        self._awake = asyncio.Event()
        self._closed = False
        self._carriers: list[asyncio.Task[None]] = []
        self._giving_up: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self._carriers = [asyncio.create_task(self._carry()) for _ in range(CARRIERS)]
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self._closed = True
        if self._giving_up is not None:
            self._giving_up.cancel()
        carriers = set(self._carriers)
        while carriers:  # more than once, for redis-py may take a cancellation for its own time-out's
            for carrier in carriers:
                carrier.cancel()
            _, carriers = await asyncio.wait(carriers, timeout=0.1)
        _answer(self._unanswered, [Unavailable(STOPPING)] * len(self._unanswered))
        await self._redis.aclose()

    async def run(self, call: Call[T]) -> T:
        """The reply to ``call``.

        Raises:
            Unavailable: Redis did not answer within ``TIMEOUT``, or too many commands wait already.
        """
        if self._closed:
            raise Unavailable(STOPPING)
        if len(self._queue) >= LONGEST_QUEUE:
            raise Unavailable("too many requests wait for the store")
        loop = asyncio.get_running_loop()
        waiting = _Waiting(call, loop.create_future(), loop.time() + TIMEOUT)
        self._queue.append(waiting)
        self._unanswered.append(waiting)
        if self._giving_up is None:
            self._giving_up = loop.call_at(waiting.deadline, self._give_up)
        self._awake.set()
        return decode_reply(call, await waiting.reply)

    async def run_all(self, calls: Sequence[Call[T]]) -> list[T]:
        """The replies to ``calls``, in the order of the calls.

        Raises:
            Unavailable: one of them was not answered; any of them may have been carried out.
        """
        return list(await asyncio.gather(*map(self.run, calls)))

    def _give_up(self) -> None:
        """Answers callers whose time is up, and comes back when the next one's is."""
        loop = asyncio.get_running_loop()
        self._forget_answered()
        while self._unanswered and self._unanswered[0].deadline <= loop.time():
            _answer([self._unanswered.popleft()], [Unavailable()])
            self._forget_answered()
        self._giving_up = loop.call_at(self._unanswered[0].deadline, self._give_up) if self._unanswered else None

    def _forget_answered(self) -> None:
        while self._unanswered and self._unanswered[0].reply.done():
            self._unanswered.popleft()

    async def _carry(self) -> None:
        exchange = open_wire(self._redis)
        while not self._closed:
            try:
                await self._awake.wait()
                batch = self._next_batch()
                if batch:
                    _answer(batch, await self._replies([waiting.call for waiting in batch], exchange))
                    self._forget_answered()
            except asyncio.CancelledError:
                # Before Python 3.13 a time-out of redis-py's that comes a moment too late is raised at some later await: here.
                if self._closed:
                    raise

    def _next_batch(self) -> list[_Waiting]:
        """What waits, and whose caller has not gone or been answered meanwhile."""
        taken = [self._queue.popleft() for _ in range(min(len(self._queue), LONGEST_PIPELINE))]
        if not self._queue:
            self._awake.clear()
        return [waiting for waiting in taken if not waiting.reply.done()]

    async def _replies(self, calls: Sequence[Call[Any]], exchange: Exchange) -> list[Any]:
        """A reply to each of ``calls``, or what went wrong, which each caller then raises."""
        try:
            replies = await exchange(calls)
            if again := [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]:
                for script in scripts_of([calls[index] for index in again]):
                    await self._redis.script_load(script.source)
                for index, reply in zip(again, await exchange([calls[index] for index in again]), strict=True):
                    replies[index] = reply
        except RuntimeError as error:  # uvloop's, for writing to a connection that was reset a moment ago
            return [ConnectionResetError(str(error))] * len(calls)
        except Exception as error:  # noqa: BLE001 - it is handed to the callers
            return [error] * len(calls)
        return replies


def _answer(waiting: Collection[_Waiting], replies: Sequence[Any]) -> None:
    for one, reply in zip(waiting, replies, strict=True):
        if not one.reply.done():
            one.reply.set_result(reply)
