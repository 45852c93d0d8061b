"""Delivery of e-mails: claim them under a lease, send them in one session, settle them.

A worker that dies leaves leases behind, which lapse; another worker claims the e-mails again.
"""

import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby, zip_longest
from typing import Any, Generic

import structlog

from service.errors import Unreadable
from service.health.heartbeat import Heartbeat
from service.outbox import store as outbox
from service.outbox.queues import MailQueue
from service.storage.client import RedisClient
from service.storage.command import Command
from tasks.mail.mailer import Deferred, LeaseCheck, Mailer, MailerUnavailable, Refused
from tasks.message import (
    Failed,
    MailHandler,
    Payload,
    QueuedMessage,
    Retry,
    Sent,
    SkipMessage,
)

log = structlog.get_logger(__name__)

LEASE_DURATION = timedelta(seconds=20)
"""How long a lease lasts without renewal: longer than one e-mail may take."""
BATCH_SIZE = 220
"""E-mails that are claimed together in a partition."""
PARTITIONS_PER_ROUND = 4
"""Partitions whose batches are claimed in one round trip, and loaded in another."""
BATCH_BUDGET = timedelta(seconds=1)
"""The time after which a batch is released and the next partitions have their turn."""
JOB_BUDGET_SECONDS = 10.0
"""The time after which a job ends, and another one continues."""
MAX_BACKOFF_WITHOUT_SERVER = timedelta(minutes=1)
MAX_BACKOFF = timedelta(minutes=15)
MAX_ERROR_LENGTH = 500
"""Characters of a server's reply that are stored with a link."""


class DeliveryWorker(Generic[Payload]):
    """Sends the e-mails of one kind that wait in partitions."""

    def __init__(
        self,
        queue: MailQueue,
        handler: MailHandler[Payload],
        client: RedisClient,
        open_mailer: Callable[[], Mailer],
        clock: Callable[[], datetime],
        should_stop: Callable[[], bool],
        heartbeat: Heartbeat,
    ) -> None:
        self._queue = queue
        self._handler = handler
        self._client = client
        self._executor = ThreadPoolExecutor(1)  # one: its commands keep their order
        self._open_mailer = open_mailer
        self._clock = clock
        self._should_stop = should_stop
        self._heartbeat = heartbeat
        self._unsettled: list[Command[bool]] = []
        self._unlogged: list[QueuedMessage[Payload]] = []
        self._failed_sessions = 0

    def run(
        self, partitions: Sequence[str], take_pending: Callable[[], Sequence[str]] = lambda: ()
    ) -> list[str]:
        """Sends a batch of each partition in turn, those of ``take_pending`` first.

        Returns the partitions in which more e-mails may wait.

        Raises:
            Unavailable: Redis does not answer. The next command to Redis also settles the e-mails
                that were sent meanwhile.
        """
        waiting, ends_at = deque(partitions), time.monotonic() + JOB_BUDGET_SECONDS
        self._run_commands([self._heartbeat.record()])  # sets the clock, on which all depends
        with self._open_mailer() as mailer:
            while waiting and time.monotonic() < ends_at and not self._should_stop():
                batch = [waiting.popleft() for _ in range(min(PARTITIONS_PER_ROUND, len(waiting)))]
                started, released = self._send_batch(batch, mailer)
                waiting.extendleft(reversed(released))
                waiting.extend(started)
                self._settle_sent()
                self._log_sent()
                waiting.extendleft(new for new in take_pending() if new not in waiting)
        return list(waiting)

    def _send_batch(self, partitions: Sequence[str], mailer: Mailer) -> tuple[list[str], list[str]]:
        """Returns the partitions in which more may wait: those it sent some of, then the others."""
        ends_at = self._clock() + BATCH_BUDGET
        messages = self._claim(partitions)
        remaining = list(dict.fromkeys(message.partition for message in messages))
        for position, (message, following) in enumerate(zip_longest(messages, messages[1:])):
            if self._should_stop() or self._clock() > ends_at:
                self._release(messages[position:])
                started = {message.partition for message in messages[:position]}
                return (
                    [each for each in remaining if each in started],
                    [each for each in remaining if each not in started],
                )
            try:
                self._connect(mailer)
                self._send(message, mailer, following)
            except MailerUnavailable as error:
                self._postpone(messages[position:], str(error))
                return [], []
        return remaining, []

    def _claim(self, partitions: Sequence[str]) -> list[QueuedMessage[Payload]]:
        now = self._clock()
        lease_deadline = now + LEASE_DURATION
        claims = [
            outbox.claim(
                self._queue, partition, now=now, lease_deadline=lease_deadline, limit=BATCH_SIZE
            )
            for partition in partitions
        ]
        _, *replies = self._run_commands([self._heartbeat.record(), *claims])
        claimed = [
            (partition, members)
            for partition, members in zip(partitions, replies, strict=True)
            if members
        ]
        loaded = self._run_commands(
            [self._handler.load_claimed(partition, members) for partition, members in claimed]
        )
        return [
            message
            for (partition, members), payloads in zip(claimed, loaded, strict=True)
            for message in self._create_messages(partition, members, payloads or [], lease_deadline)
        ]

    def _create_messages(
        self,
        partition: str,
        members: Sequence[str],
        payloads: Sequence[Payload | ValueError | None],
        lease_deadline: datetime,
    ) -> Iterator[QueuedMessage[Payload]]:
        """Leaves out unreadable payloads: they stay claimed until their lease lapses."""
        for member, payload in zip(members, payloads, strict=False):
            if isinstance(payload, ValueError):
                log.error(
                    "record_unreadable",
                    exc_info=payload,
                    **self._handler.log_fields(partition, member),
                )
            elif payload is not None:
                yield QueuedMessage(
                    self._handler, self._clock, partition, member, payload, lease_deadline
                )

    def _connect(self, mailer: Mailer) -> None:
        if not mailer.is_connected:
            self._settle_sent()  # first: the server may take long
            mailer.connect()
        self._failed_sessions = 0

    def _send(
        self,
        message: QueuedMessage[Payload],
        mailer: Mailer,
        following: QueuedMessage[Payload] | None,
    ) -> None:
        try:
            was_sent = mailer.send(
                message.compose(),
                timeout=message.seconds_left(),
                start_lease_check=partial(self._start_lease_check, message),
                while_waiting=partial(self._work_while_waiting, following),
            )
        except SkipMessage as skip:
            self._run_commands([message.settle(Failed(str(skip), counts_as_attempt=False))])
            log.info("mail_skipped", reason=str(skip), **message.log_fields)
        except Refused as refusal:
            error = str(refusal)[:MAX_ERROR_LENGTH]
            self._run_commands([message.settle(Failed(error, counts_as_attempt=True))])
            log.warning("mail_refused", reason=redact_reply(error), **message.log_fields)
        except MailerUnavailable:
            raise
        except Deferred as delay:
            self._defer(message, str(delay)[:MAX_ERROR_LENGTH])
        else:
            if was_sent:
                self._unsettled.append(message.settle(Sent()))
                self._unlogged.append(message)

    def _start_lease_check(self, message: QueuedMessage[Payload]) -> LeaseCheck:
        """Renews the lease; it was lost if that fails."""
        read = self._start([self._renew([message], self._clock() + LEASE_DURATION)])
        return lambda: bool(read()[0])

    def _work_while_waiting(self, following: QueuedMessage[Payload] | None) -> None:
        self._log_sent()
        if following is not None:
            following.prepare()

    def _defer(self, message: QueuedMessage[Payload], error: str) -> None:
        at = self._clock() + backoff(self._handler.attempts(message.payload), MAX_BACKOFF)
        self._run_commands([message.settle(Retry(error, counts_as_attempt=True, at=at))])
        log.info(
            "mail_deferred",
            reason=redact_reply(error),
            until=at.isoformat(timespec="seconds"),
            **message.log_fields,
        )

    def _release(self, messages: Sequence[QueuedMessage[Payload]]) -> None:
        """Ends the leases now: any worker may claim these messages."""
        now = self._clock()
        groups = groupby(messages, lambda message: message.partition)
        self._run_commands([self._renew(list(group), now) for _, group in groups])

    def _renew(
        self, messages: Sequence[QueuedMessage[Payload]], until: datetime
    ) -> Command[list[str]]:
        """Renews the leases on messages of one partition; returns the members still leased."""
        partition, lease_deadline = messages[0].partition, messages[0].lease_deadline
        for message in messages:
            message.lease_deadline = until
        members = [message.member for message in messages]
        return outbox.renew(
            self._queue, partition, members, lease_deadline=lease_deadline, until=until
        )

    def _postpone(self, messages: Sequence[QueuedMessage[Payload]], error: str) -> None:
        """Retries all messages later, as no mailer is available. This counts as no attempt."""
        at = self._clock() + backoff(self._failed_sessions, MAX_BACKOFF_WITHOUT_SERVER)
        # No words of the reply: they concern our login.
        retry = Retry(redact_reply(error), counts_as_attempt=False, at=at)
        self._run_commands([message.settle(retry) for message in messages])
        self._failed_sessions += 1
        log.warning("mail_server_unavailable", reason=retry.error, waiting=len(messages))

    def _settle_sent(self) -> None:
        self._run_commands([])

    def _log_sent(self) -> None:
        for message in self._unlogged:
            log.info("mail_sent", **message.log_fields)
        self._unlogged.clear()

    def _run_commands(self, commands: Sequence[Command[Any]]) -> list[Any]:
        """The replies; None for a command whose key has a wrong type, so that others succeed."""
        return self._start(commands)()

    def _start(self, commands: Sequence[Command[Any]]) -> Callable[[], list[Any]]:
        """Sends ``commands``, after those that settle sent e-mails.

        If settling fails, the next call repeats it.
        """
        settlements = list(self._unsettled)
        sent = self._executor.submit(self._client.run_each, [*settlements, *commands])

        def read() -> list[Any]:
            replies: list[Any] = sent.result()
            del self._unsettled[: len(settlements)]
            return [
                None if isinstance(reply, Unreadable) else reply
                for reply in replies[len(settlements) :]
            ]

        return read


def backoff(attempts: int, maximum: timedelta) -> timedelta:
    """How long to wait after ``attempts`` failed attempts: 5 s, 15 s, 45 s, … ``maximum``."""
    return min(timedelta(seconds=5 * int(3 ** min(attempts, 10))), maximum)


def redact_reply(reason: str) -> str:
    """The codes of a server's reply (RFC 5321, RFC 3463), or the name of an error.

    The words of a reply often contain the recipient.
    """
    codes = re.match(r"[0-9]{3}([ -][0-9]\.[0-9]{1,3}\.[0-9]{1,3})?", reason)
    return codes[0] if codes else reason.partition(":")[0][:80]
