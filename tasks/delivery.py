"""Delivery: claim under a lease, hand over in one session, settle. Whatever dies here leaves a lease that runs out."""

import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

import structlog

from service.store import outbox
from service.store.call import Call
from service.store.client import Client
from tasks.mailer import Deferred, Mailer, NoSession, Refused
from tasks.mime import Mail

log = structlog.get_logger(__name__)

LEASE = timedelta(seconds=20)
"""How long a claimed mail belongs to its worker: longer than one mail may take."""
BATCH = 200
SLICE = timedelta(seconds=1)
"""How long one partition's batch may take; what is not begun by then is given back, and the next partition has its turn."""
SHIFT = 10.0
"""Seconds after which a job ends and rings again."""
LONGEST_WAIT_FOR_SESSION = timedelta(minutes=1)
LONGEST_WAIT_FOR_RECIPIENT = timedelta(minutes=15)
LONGEST_REASON = 500
"""Characters of a server's words that are kept with a link."""

Opened = TypeVar("Opened")


class Drop(Exception):
    """The mail is not to be sent any more; the message says why."""


class Kind(Protocol[Opened]):
    """What is mailed: links, or one-time passwords. ``member`` is what the outbox holds: a link's id, or an e-mail."""

    process: str
    """What heartbeats call the worker that sends this kind."""

    def outbox(self, partition: str) -> str: ...

    def claim(self, partition: str, *, now: datetime, deadline: datetime, limit: int) -> Call[list[str]]: ...

    def open(self, partition: str, members: Sequence[str]) -> Call[list[Opened | None]]: ...

    def message(self, opened: Opened, now: datetime) -> Mail:
        """Raises ``Drop`` where it is not to be sent."""

    def ends_at(self, opened: Opened) -> datetime:
        """From when on it is of no use."""

    def attempts(self, opened: Opened) -> int: ...

    def describe(self, member: str) -> dict[str, str]:
        """How a log names it."""

    def sent(self, member: str, *, now: datetime, deadline: datetime) -> Call[bool]: ...

    def failed(self, member: str, *, error: str, attempts: int, deadline: datetime) -> Call[bool]: ...

    def retry(self, member: str, *, error: str, attempts: int, at: datetime, deadline: datetime) -> Call[bool]: ...


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
        self._sessions_missed = 0

    def drain(self, partitions: Sequence[str], newly_waiting: Callable[[], Sequence[str]] = lambda: ()) -> list[str]:
        """Sends what the partitions owe, a batch of each in turn; those of ``newly_waiting`` come next. Gives what may owe more.

        Raises:
            Unavailable: Redis does not answer. A mail that was handed over meanwhile is marked as soon as it does.
        """
        waiting, shift_ends = deque(partitions), time.monotonic() + SHIFT
        self._mark_sent()
        with self._open_mailer() as mailer:
            while waiting and time.monotonic() < shift_ends and not self._should_stop():
                partition = waiting.popleft()
                if self._send_batch(partition, mailer):
                    waiting.append(partition)
                self._client.run(outbox.beat(self._kind.process, now=self._clock()))
                waiting.extendleft(new for new in newly_waiting() if new not in waiting)
        return list(waiting)

    def _send_batch(self, partition: str, mailer: Mailer) -> bool:
        """Whether the partition may owe more."""
        began = self._clock()
        deadline, slice_ends = began + LEASE, began + SLICE
        members = self._client.run(self._kind.claim(partition, now=self._clock(), deadline=deadline, limit=BATCH))
        opened = self._client.run(self._kind.open(partition, members)) if members else []
        for position, (member, record) in enumerate(zip(members, opened, strict=True)):
            if self._should_stop() or self._clock() > slice_ends:
                self._renew(partition, members[position:], deadline, self._clock())
                return True
            if record is None:
                continue
            own_deadline = deadline
            try:
                mailer.connect()
                self._sessions_missed = 0
                own_deadline = self._clock() + LEASE
                if self._renew(partition, [member], deadline, own_deadline):
                    self._send(member, record, own_deadline, mailer)
            except NoSession as error:
                self._put_off([member], own_deadline, str(error))
                self._put_off(members[position + 1 :], deadline, str(error))
                self._sessions_missed += 1
                return False
        return bool(members)

    def _renew(self, partition: str, members: Sequence[str], deadline: datetime, until: datetime) -> list[str]:
        """Those of ``members`` that are still ours, and now are until ``until``: none that was revoked or lost meanwhile."""
        return self._client.run(outbox.renew(self._kind.outbox(partition), members, deadline=deadline, until=until))

    def _send(self, member: str, opened: Opened, deadline: datetime, mailer: Mailer) -> None:
        about = self._kind.describe(member)
        try:
            message = self._message(opened)
            mailer.send(message, within=(self._kind.ends_at(opened) - self._clock()).total_seconds())
        except Drop as drop:
            self._client.run(self._kind.failed(member, error=str(drop), attempts=0, deadline=deadline))
            log.info("mail_dropped", reason=str(drop), **about)
        except Refused as refusal:
            error = str(refusal)[:LONGEST_REASON]
            self._client.run(self._kind.failed(member, error=error, attempts=1, deadline=deadline))
            log.warning("mail_refused", reason=loggable(error), **about)
        except NoSession:
            raise
        except Deferred as delay:
            error = str(delay)[:LONGEST_REASON]
            at = self._clock() + backoff(self._kind.attempts(opened), LONGEST_WAIT_FOR_RECIPIENT)
            self._client.run(self._kind.retry(member, error=error, attempts=1, at=at, deadline=deadline))
            log.info("mail_deferred", reason=loggable(error), until=at.isoformat(timespec="seconds"), **about)
        else:
            self._unmarked.append(self._kind.sent(member, now=self._clock(), deadline=deadline))
            self._mark_sent()
            log.info("mail_sent", **about)

    def _message(self, opened: Opened) -> Mail:
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

    def _put_off(self, members: Sequence[str], deadline: datetime, error: str) -> None:
        """Nothing can be sent now. No mail counts it as a try, and what was said is no reader's business."""
        at = self._clock() + backoff(self._sessions_missed, LONGEST_WAIT_FOR_SESSION)
        error = loggable(error)
        self._client.run_all([self._kind.retry(member, error=error, attempts=0, at=at, deadline=deadline) for member in members])
        if members:
            log.warning("mail_server_away", reason=error, waiting=len(members))


def backoff(attempts: int, longest: timedelta) -> timedelta:
    """5 s, 15 s, 45 s, …: how long to wait after ``attempts`` earlier tries."""
    return min(timedelta(seconds=5 * int(3 ** min(attempts, 10))), longest)


def loggable(reason: str) -> str:
    """A server's codes (RFC 5321, RFC 3463) without its words, which name the recipient; or what broke."""
    codes = re.match(r"[0-9]{3}([ -][0-9]\.[0-9]{1,3}\.[0-9]{1,3})?", reason)
    return codes[0] if codes else reason.partition(":")[0][:80]
