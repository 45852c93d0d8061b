"""Claims queued e-mails under leases, and renews the leases until the e-mails are settled.

A worker that dies leaves leases behind, which lapse; another worker claims the e-mails again.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Generic

import structlog

from service.errors import Unavailable, Unreadable
from service.outbox import store as outbox
from service.outbox.queues import MailQueue
from service.storage.keys import ALL_PARTITIONS
from service.storage.pipeline import AutoPipeline
from tasks.delivery.circuit_breaker import CircuitBreaker
from tasks.message import LEASE_DURATION, LeaseLost, MailHandler, Payload, QueuedMessage

log = structlog.get_logger(__name__)

RENEWAL_SECONDS = LEASE_DURATION.total_seconds() / 4


class Claims(Generic[Payload]):
    """The e-mails that this process holds, and the partitions in which others may wait."""

    def __init__(
        self,
        queue: MailQueue,
        handler: MailHandler[Payload],
        pipeline: AutoPipeline,
        circuit_breaker: CircuitBreaker,
        clock: Callable[[], datetime],
    ) -> None:
        self._queue = queue
        self._handler = handler
        self._pipeline = pipeline
        self._circuit_breaker = circuit_breaker
        self._clock = clock
        self._partitions: dict[str, None] = {}
        self._held: dict[tuple[str, str], QueuedMessage[Payload]] = {}
        self._unsettled: dict[tuple[str, str], QueuedMessage[Payload]] = {}

    @property
    def may_find_more(self) -> bool:
        return bool(self._partitions)

    @property
    def held(self) -> Collection[QueuedMessage[Payload]]:
        return self._held.values()

    @property
    def has_unsettled(self) -> bool:
        return bool(self._unsettled)

    def set_aside(self, message: QueuedMessage[Payload]) -> None:
        """Holds it as one that was sent, and has yet to be settled: it uses no session."""
        self.let_go(message)
        self._unsettled[message.key] = message

    def let_go(self, message: QueuedMessage[Payload]) -> None:
        """Renews its lease no more."""
        for messages in (self._held, self._unsettled):
            if messages.get(message.key) is message:
                del messages[message.key]

    def add_partitions(self, partitions: Iterable[str]) -> None:
        self._partitions.update(dict.fromkeys(partitions))

    async def claim(self, limit: int) -> list[QueuedMessage[Payload]]:
        """Claims up to ``limit`` e-mails, of all partitions in turn.

        Partitions that do not answer are added again by ``circuit_breaker``, once they do.
        """
        partitions = list(islice(self._partitions, limit))
        for partition in partitions:
            del self._partitions[partition]
        claimed = await self._claim(partitions, limit // len(partitions))
        self._held |= {message.key: message for message in claimed}
        return claimed

    async def is_anything_owed(self) -> bool:
        """Whether e-mails wait in any partition, due now or later, or may in an unavailable one."""
        pending = await self._circuit_breaker.query(
            partial(outbox.has_pending, queues=[self._queue]), ALL_PARTITIONS
        )
        return self._circuit_breaker.has_unavailable or any(pending.values())

    async def keep_leases(self) -> None:
        """Renews the leases of all that is held, for as long as it runs."""
        while True:
            await asyncio.sleep(RENEWAL_SECONDS)
            messages = [*self._held.values(), *self._unsettled.values()]
            await asyncio.gather(*[_renew(message) for message in messages])

    async def release(self, messages: Sequence[QueuedMessage[Payload]]) -> None:
        """Ends the leases: any worker may claim these e-mails."""
        for message in messages:
            self.let_go(message)
        await asyncio.gather(*[_renew(message, timedelta(0)) for message in messages])

    async def _claim(self, partitions: Sequence[str], limit: int) -> list[QueuedMessage[Payload]]:
        now = self._clock()
        lease_deadline = now + LEASE_DURATION
        claim = partial(
            outbox.claim, self._queue, now=now, lease_deadline=lease_deadline, limit=limit
        )
        claimed = await self._circuit_breaker.query(claim, partitions)
        self.add_partitions(each for each, members in claimed.items() if len(members) == limit)
        loaded = await self._circuit_breaker.query(
            lambda partition: self._handler.load_claimed(partition, claimed[partition]),
            [partition for partition, members in claimed.items() if members],
        )
        return [
            message
            for partition, payloads in loaded.items()
            for message in self._create_messages(
                partition, claimed[partition], payloads, lease_deadline
            )
        ]

    def _create_messages(
        self,
        partition: str,
        members: Sequence[str],
        payloads: Sequence[Payload | ValueError | None],
        lease_deadline: datetime,
    ) -> Iterator[QueuedMessage[Payload]]:
        """Leaves out unreadable payloads: they stay claimed until their lease lapses."""
        for member, payload in zip(members, payloads, strict=True):
            key = (partition, member)
            if (message := self._held.get(key) or self._unsettled.get(key)) is not None:
                message.lease_deadline = lease_deadline  # it had lapsed while Redis was away
            elif isinstance(payload, ValueError):
                log.error(
                    "record_unreadable",
                    exc_info=payload,
                    **self._handler.log_fields(partition, member),
                )
            elif payload is not None:
                yield QueuedMessage(
                    self._queue,
                    partition,
                    member,
                    payload,
                    lease_deadline,
                    handler=self._handler,
                    pipeline=self._pipeline,
                    clock=self._clock,
                )


async def _renew(message: QueuedMessage[Payload], duration: timedelta = LEASE_DURATION) -> None:
    with suppress(LeaseLost, Unavailable, Unreadable):  # whoever sends it renews the lease first
        await message.renew(duration)
