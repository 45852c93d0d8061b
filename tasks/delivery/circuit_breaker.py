"""A circuit breaker for each partition: one that did not answer delays no further query."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

import structlog

from service.outbox import store as outbox
from service.outbox.queues import MailQueue
from service.storage.command import Command
from service.storage.partitions import query_each
from service.storage.pipeline import AutoPipeline

log = structlog.get_logger(__name__)

T = TypeVar("T")

RETRY_SECONDS = 1.0
"""The time between two attempts to reach the unavailable partitions."""
BACK_AFTER_SECONDS = 3.0
"""How long all must answer before they are reported as available. A partition whose primary lacks
a replica is read from as ever, and then refuses to be written to."""


class CircuitBreaker:
    """Queries partitions, except those that are unavailable: they did not answer the last time.

    So only the first query takes as long as one that is not answered. ``wake`` gets the partitions
    that answer again and in which e-mails of ``queue`` wait.
    """

    def __init__(
        self, queue: MailQueue, pipeline: AutoPipeline, wake: Callable[[Iterable[str]], None]
    ) -> None:
        self._has_pending = partial(outbox.has_pending, queues=[queue])
        self._pipeline = pipeline
        self._wake = wake
        self._unavailable = set[str]()
        self._failed_at: float | None = None
        """The loop's time of the latest failure; None once all are reported as available."""

    @property
    def has_unavailable(self) -> bool:
        return bool(self._unavailable)

    async def query(
        self, create_command: Callable[[str], Command[T]], partitions: Sequence[str]
    ) -> dict[str, T]:
        """The replies by partition, without those that are unavailable or cannot be decoded.

        A partition that does not answer is unavailable until it answers an attempt of ``run``.
        """
        replies = await query_each(
            self._pipeline,
            create_command,
            [partition for partition in partitions if partition not in self._unavailable],
            needs_reply=False,
        )
        if replies.missing.unavailable:
            self._add(replies.missing.unavailable)
        return replies.by_name

    async def run(self) -> None:
        """Tries the unavailable partitions until it is canceled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            if self._unavailable:
                await self._retry()
            elif self._failed_at is not None and loop.time() > self._failed_at + BACK_AFTER_SECONDS:
                self._failed_at = None
                log.info("partitions_available")

    async def _retry(self) -> None:
        replies = await query_each(
            self._pipeline, self._has_pending, [*self._unavailable], needs_reply=False
        )
        self._unavailable.difference_update(replies.by_name, replies.missing.unreadable)
        if replies.missing.unavailable:
            self._add(replies.missing.unavailable)
        if waiting := [partition for partition, waits in replies.by_name.items() if waits]:
            self._wake(waiting)

    def _add(self, partitions: Iterable[str]) -> None:
        self._unavailable.update(partitions)
        if self._failed_at is None:
            log.warning("partitions_unavailable", partitions=len(self._unavailable))
        self._failed_at = asyncio.get_running_loop().time()
