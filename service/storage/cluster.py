"""The way to a cluster: commands gather, and redis-py's pipelines carry each to its node."""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any

import redis.asyncio

from service.storage.client import AWAY
from service.storage.command import Command, Script

CARRIERS = 4
"""Pipelines that are under way at once; while all are, commands wait and gather."""
LONGEST_PIPELINE = 256
Reply = asyncio.Future[Any]


class ClusterPipeline:
    """Tasks that each take what waits, carry it, and hand out what comes back.

    They are never cancelled while the service runs: redis-py gives up a silent connection by itself.
    """

    def __init__(self, cluster: redis.asyncio.RedisCluster) -> None:
        self._cluster = cluster
        self._queue: deque[tuple[Command[Any], Reply]] = deque()
        self._awake = asyncio.Event()
        self._closed = False
        self._tasks: list[asyncio.Task[None]] = []
        self._loads: dict[str, asyncio.Task[Any]] = {}
        """Scripts that are being loaded, by their digest: once for all who miss them."""

    def send(self, call: Command[Any], reply: Reply) -> None:
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._carry()) for _ in range(CARRIERS)]
        self._queue.append((call, reply))
        self._awake.set()

    def distrust(self, since: float) -> None:
        """redis-py looks after its connections."""

    async def load(self, script: Script) -> None:
        if script.sha not in self._loads:
            loading = self._loads[script.sha] = asyncio.create_task(self._load(script.source))
            loading.add_done_callback(lambda _: self._loads.pop(script.sha))
        await asyncio.shield(self._loads[script.sha])

    async def close(self) -> None:
        self._closed = True
        tasks = set(self._tasks)
        while tasks:  # more than once, for redis-py may take a cancellation for its own time-out's
            for task in tasks:
                task.cancel()
            _, tasks = await asyncio.wait(tasks, timeout=0.1)

    async def _load(self, source: str) -> None:
        with suppress(
            *AWAY
        ):  # whoever misses the script asks for it again, and learns that the store is away
            await self._cluster.script_load(source)

    async def _carry(self) -> None:
        while not self._closed:
            try:
                await self._awake.wait()
                batch = self._next_batch()
                replies = await self._replies([call for call, _ in batch]) if batch else []
                for (_, reply), said in zip(batch, replies, strict=True):
                    if not reply.done():
                        reply.set_result(said)
            except asyncio.CancelledError:
                # Before Python 3.13 a time-out of redis-py's that comes a moment too late is raised at some later await: here.
                if self._closed:
                    raise

    def _next_batch(self) -> list[tuple[Command[Any], Reply]]:
        """What waits, and whose caller has not gone or been answered meanwhile."""
        taken = [self._queue.popleft() for _ in range(min(len(self._queue), LONGEST_PIPELINE))]
        if not self._queue:
            self._awake.clear()
        return [(call, reply) for call, reply in taken if not reply.done()]

    async def _replies(self, calls: list[Command[Any]]) -> list[Any]:
        """A reply to each of ``calls``, or what went wrong, which each caller then raises."""
        pipeline: Any = self._cluster.pipeline(transaction=False)
        for call in calls:
            pipeline.execute_command(*call.command)
        try:
            return list(await pipeline.execute(raise_on_error=False))
        except Exception as error:  # noqa: BLE001 - it is handed to the callers
            return [error] * len(calls)
