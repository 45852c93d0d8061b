"""Delivery: claim under a lease, hand over in one session, settle. Whatever dies here leaves a lease that runs out."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Any, Generic, Protocol, TypeVar

import structlog

from service.store import outbox
from service.store.call import Call
from service.store.client import Client
from tasks.mailer import SEND_BUDGET, Deferred, Mailer, NoSession, Refused

log = structlog.get_logger(__name__)

LEASE = timedelta(seconds=20)
"""How long a claimed mail belongs to its worker; it is renewed while the worker lives."""
RENEW_BELOW = timedelta(seconds=SEND_BUDGET + 2)
"""No mail is begun under a lease that may end before the mail is out."""
BATCH = 200
SHIFT = 10.0
"""Seconds after which a job ends and rings again, so that a scan gets its turn during a campaign."""
LONGEST_WAIT_FOR_SESSION = timedelta(minutes=1)
LONGEST_WAIT_FOR_RECIPIENT = timedelta(minutes=15)

Opened = TypeVar("Opened")


class Drop(Exception):
    """The mail is not to be sent any more; the message says why."""


class Kind(Protocol[Opened]):
    """What is mailed: links, or one-time passwords. ``member`` is what the outbox holds: a link's id, or an e-mail."""

    def outbox(self, partition: str) -> str: ...

    def claim(self, partition: str, *, now: datetime, deadline: datetime, limit: int) -> Call[list[str]]: ...

    def open(self, partition: str, members: Sequence[str]) -> Call[list[Opened | None]]: ...

    def message(self, opened: Opened, now: datetime) -> EmailMessage:
        """Raises ``Drop`` where it is not to be sent."""

    def attempts(self, opened: Opened) -> int: ...

    def describe(self, member: str) -> dict[str, str]:
        """How a log names it."""

    def sent(self, member: str, *, now: datetime, deadline: datetime) -> Call[bool]: ...

    def failed(self, member: str, *, error: str, attempts: int, deadline: datetime) -> Call[bool]: ...

    def retry(self, member: str, *, error: str, at: datetime, deadline: datetime) -> Call[bool]: ...


class Delivery(Generic[Opened]):
    """Sends what partitions owe of one kind."""

    def __init__(
        self,
        kind: Kind[Opened],
        client: Client,
        open_mailer: Callable[[], Mailer],
        clock: Callable[[], datetime],
        should_stop: Callable[[], bool],
    ) -> None:
        self._kind = kind
        self._client = client
        self._open_mailer = open_mailer
        self._clock = clock
        self._should_stop = should_stop
        self._unmarked: list[Call[bool]] = []

    def drain(self, partitions: Iterable[str]) -> list[str]:
        """Sends what the partitions owe, a batch of each in turn. Gives those that may owe more.

        Raises:
            Unavailable: Redis does not answer. A mail that was handed over meanwhile is marked as soon as it does.
        """
        waiting, shift_ends = deque(partitions), time.monotonic() + SHIFT
        self._mark_sent()
        with self._open_mailer() as mailer:
            while waiting and time.monotonic() < shift_ends and not self._should_stop():
                partition = waiting.popleft()
                deadline = self._clock() + LEASE
                members = self._client.run(self._kind.claim(partition, now=self._clock(), deadline=deadline, limit=BATCH))
                if members:
                    self._send_batch(partition, members, deadline, mailer)
                    waiting.append(partition)
        return list(waiting)

    def _send_batch(self, partition: str, members: Sequence[str], deadline: datetime, mailer: Mailer) -> None:
        batch = _Lease(self._kind.outbox(partition), members, deadline, self._client, self._clock)
        opened = self._client.run(self._kind.open(partition, members))
        for position, member in enumerate(members):
            if self._should_stop():
                self._client.run(batch.release(members[position:]))
                return
            record = opened[position]
            if record is None:
                continue
            try:
                mailer.connect()
                if not batch.holds(member, members[position:]):
                    continue
                self._send(member, record, batch.deadline, mailer)
            except NoSession as error:
                self._put_off(members[position:], opened[position:], batch.deadline, str(error))
                return

    def _send(self, member: str, opened: Opened, deadline: datetime, mailer: Mailer) -> None:
        about = self._kind.describe(member)
        try:
            mailer.send(self._message(opened))
        except Drop as drop:
            self._client.run(self._kind.failed(member, error=str(drop), attempts=0, deadline=deadline))
            log.info("mail_dropped", reason=str(drop), **about)
        except Refused as refusal:
            self._client.run(self._kind.failed(member, error=str(refusal), attempts=1, deadline=deadline))
            log.warning("mail_refused", reason=str(refusal), **about)
        except NoSession:
            raise
        except Deferred as delay:
            at = self._clock() + backoff(self._kind.attempts(opened), LONGEST_WAIT_FOR_RECIPIENT)
            self._client.run(self._kind.retry(member, error=str(delay), at=at, deadline=deadline))
            log.info("mail_deferred", reason=str(delay), until=at.isoformat(timespec="seconds"), **about)
        else:
            self._unmarked.append(self._kind.sent(member, now=self._clock(), deadline=deadline))
            self._mark_sent()
            log.info("mail_sent", **about)

    def _message(self, opened: Opened) -> EmailMessage:
        try:
            return self._kind.message(opened, self._clock())
        except (ValueError, LookupError, ArithmeticError) as error:
            log.exception("mail_cannot_be_made")
            raise Drop(f"the e-mail cannot be made: {type(error).__name__}") from error

    def _mark_sent(self) -> None:
        """Marks what was handed over. What cannot be marked now is marked before anything else is claimed."""
        while self._unmarked:
            self._client.run(self._unmarked[0])
            self._unmarked.pop(0)

    def _put_off(self, members: Sequence[str], opened: Sequence[Opened | None], deadline: datetime, error: str) -> None:
        """Nothing of the rest can be sent now."""
        now = self._clock()
        self._client.run_all(
            [
                self._kind.retry(
                    member,
                    error=error,
                    at=now + backoff(self._kind.attempts(record), LONGEST_WAIT_FOR_SESSION),
                    deadline=deadline,
                )
                for member, record in zip(members, opened, strict=True)
                if record is not None
            ]
        )
        log.warning("mail_server_away", reason=error, waiting=len(members))


class _Lease:
    """A batch's lease, renewed while its mails are being sent."""

    def __init__(
        self, outbox_key: str, members: Sequence[str], deadline: datetime, client: Client, clock: Callable[[], datetime]
    ) -> None:
        self.deadline = deadline
        self._outbox = outbox_key
        self._held = set(members)
        self._client = client
        self._clock = clock

    def holds(self, member: str, rest: Sequence[str]) -> bool:
        """Whether ``member`` may be sent now. Where the lease runs low it is renewed for all the ``rest``."""
        now = self._clock()
        if self.deadline - now < RENEW_BELOW:
            until = now + LEASE
            held = [other for other in rest if other in self._held]
            renewal = outbox.renew(self._outbox, held, deadline=self.deadline, until=until)
            self._held = {*self._client.run(renewal)}
            self.deadline = until
        return member in self._held

    def release(self, rest: Sequence[str]) -> Call[Any]:
        """Gives back what is not begun: it is due at once, for whoever comes next."""
        held = [member for member in rest if member in self._held]
        return outbox.renew(self._outbox, held, deadline=self.deadline, until=self._clock())


def backoff(attempts: int, longest: timedelta) -> timedelta:
    """5 s, 15 s, 45 s, …: how long to wait after ``attempts`` earlier tries."""
    return min(timedelta(seconds=5 * int(3 ** min(attempts, 10))), longest)
