"""Whose fault it is that e-mails are not taken: theirs, or ours, which pauses the queue."""

import re
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Generic, TypeVar

import structlog

from service.health import model
from service.health.heartbeat import Heartbeat
from service.values.mail_replies import reply_code

log = structlog.get_logger(__name__)

DOMAINS_TO_SUSPECT = 5
"""So many domains that refuse an e-mail for one reason suggest that the reason is us."""
MAX_SUSPECTS = 1000
"""E-mails that are owed again if it is us, the latest ones."""
MAX_PAUSE = timedelta(minutes=5)
LOOK_SECONDS = 10.0
"""The time between two looks whether anything is owed that could be tried."""
PROBE_INTERVAL = timedelta(seconds=1)
"""The time between two e-mails that are tried while recipients are refused for our sake."""
ADDRESS_REFUSED = re.compile(r"5[0-9]{2}[ -]5\.1\.(1|2|3|6|10)")
"""Replies to an address that does not exist (RFC 3463, 3.2): never our fault."""
LOGIN_REFUSED = re.compile(r"53[0458]")
"""Replies that concern our login (RFC 4954, 6): one is enough to suspect us."""

T = TypeVar("T")


class Cause(Enum):
    """What a mail server does not take from us."""

    CONNECTION = auto()
    SENDER = auto()
    RECIPIENTS = auto()


class Pause:
    """Holds a queue back while the mail server takes no e-mail from us.

    The heartbeat tells ``/readyz`` and the console. Between two waits, one e-mail is tried. The
    waits get longer, save where recipients are refused, for others may be taken at any time.
    """

    def __init__(self, clock: Callable[[], datetime], heartbeat: Heartbeat) -> None:
        self._clock = clock
        self._heartbeat = heartbeat
        self._failures = 0
        self.code = ""
        self.cause: Cause | None = None
        self.until = clock()

    @property
    def is_active(self) -> bool:
        return self.cause is not None

    @property
    def is_waiting(self) -> bool:
        return self.is_active and self._clock() < self.until

    def seconds_to_next_look(self) -> float | None:
        """How long to wait for an e-mail to try; None if nothing is held back."""
        if not self.is_active:
            return None
        left = (self.until - self._clock()).total_seconds()
        return left if left > 0 else LOOK_SECONDS

    def begin(self, reason: str, cause: Cause) -> None:
        """Begins, or goes on for longer, unless it has just begun."""
        if self.is_waiting:
            return
        now, was_active = self._clock(), self.is_active
        if cause is not self.cause:
            self._failures = 0
        self.code, self.cause = reply_code(reason), cause
        since = self._heartbeat.pause.since if self._heartbeat.pause else now
        self._heartbeat.pause = model.Pause(self.code, since)
        waits = PROBE_INTERVAL if cause is Cause.RECIPIENTS else backoff(self._failures, MAX_PAUSE)
        self.until = now + waits
        self._failures += 1
        if not was_active:
            log.warning("mail_paused", queue=self._heartbeat.process_type, reason=self.code)

    def end(self) -> None:
        if self.is_active:
            log.info("mail_resumed", queue=self._heartbeat.process_type)
        self._failures = 0
        self.cause = self._heartbeat.pause = None


class RefusalStreak(Generic[T]):
    """E-mails that were refused for one reason, with none taken in between."""

    def __init__(self) -> None:
        self._code = ""
        self._domains: set[str] = set()
        self._refused: deque[T] = deque(maxlen=MAX_SUSPECTS)

    def add(self, code: str, domain: str, refused: T) -> list[T]:
        """Returns the e-mails that were refused, once it may be our fault."""
        if code != self._code:
            self.clear()
        self._code = code
        self._domains.add(domain)
        self._refused.append(refused)
        is_suspicious = LOGIN_REFUSED.match(code) or len(self._domains) >= DOMAINS_TO_SUSPECT
        return [*self._refused] if is_suspicious else []

    def clear(self) -> None:
        self._domains.clear()
        self._refused.clear()


def backoff(attempts: int, maximum: timedelta) -> timedelta:
    """How long to wait after ``attempts`` failed attempts: 5 s, 15 s, 45 s, … ``maximum``."""
    return min(timedelta(seconds=5 * int(3 ** min(attempts, 10))), maximum)
