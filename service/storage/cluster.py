"""The transport to a cluster: pipelines of redis-py, which send each command to its node."""

import asyncio
from collections import deque
from typing import Any

import redis.asyncio

from service.storage.command import Command

Reply = asyncio.Future[Any]

MAX_PIPELINES_IN_FLIGHT = 4
"""Limits the pipelines in flight: later commands wait, and form the next one."""
MAX_PIPELINE_LENGTH = 256


class ClusterPipeline:
    """Tasks that each take the waiting commands, run them, and set their replies.

    The tasks are not canceled before ``close``: redis-py itself gives up silent connections.
    """

    def __init__(self, cluster: redis.asyncio.RedisCluster) -> None:
        self._cluster = cluster
        self._queue: deque[tuple[Command[Any], Reply]] = deque()
        self._not_empty = asyncio.Event()
        self._closed = False
        self._tasks: list[asyncio.Task[None]] = []

    def send(self, command: Command[Any], reply: Reply) -> None:
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._send_batches()) for _ in range(MAX_PIPELINES_IN_FLIGHT)
            ]
        self._queue.append((command, reply))
        self._not_empty.set()

    def drop_if_silent(self, since: float) -> None:
        """Does nothing: redis-py drops its connections itself."""

    async def close(self) -> None:
        self._closed = True
        tasks = set(self._tasks)
        while tasks:  # again, for redis-py may take a cancellation for that of its own time-out
            for task in tasks:
                task.cancel()
            _, tasks = await asyncio.wait(tasks, timeout=0.1)

    async def _send_batches(self) -> None:
        while not self._closed:
            try:
                await self._not_empty.wait()
                await self._run(self._take_batch())
            except asyncio.CancelledError:
                # Before Python 3.13 a time-out of redis-py that fires late is raised here.
                if self._closed:
                    raise

    def _take_batch(self) -> list[tuple[Command[Any], Reply]]:
        """Commands whose callers still wait."""
        size = min(len(self._queue), MAX_PIPELINE_LENGTH)
        batch = [self._queue.popleft() for _ in range(size)]
        if not self._queue:
            self._not_empty.clear()
        return [(command, reply) for command, reply in batch if not reply.done()]

    async def _run(self, batch: list[tuple[Command[Any], Reply]]) -> None:
        if not batch:
            return
        pipeline: Any = self._cluster.pipeline(transaction=False)
        for command, _ in batch:
            pipeline.execute_command(*command.args)
        try:
            results = await pipeline.execute(raise_on_error=False)
        except Exception as error:  # noqa: BLE001 - each caller raises it
            results = [error] * len(batch)
        for (_, reply), result in zip(batch, results, strict=True):
            if not reply.done():
                reply.set_result(result)
