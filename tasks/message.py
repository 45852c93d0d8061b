"""A queued e-mail: loaded from its source, composed, sent, and settled."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Generic, Protocol, TypeVar

import structlog

from service.errors import Invalid
from service.storage.command import Command
from tasks.mail.mime import Mail

log = structlog.get_logger(__name__)


class Expiring(Protocol):
    """What an e-mail is about."""

    @property
    def expires_at(self) -> datetime:
        """From this moment, the e-mail is useless."""


Payload = TypeVar("Payload", bound=Expiring)


class SkipMessage(Exception):
    """The e-mail must not be sent any more; the message gives the reason."""


class MessageSource(Protocol[Payload]):
    """What the members of a queue stand for, and how their e-mails are composed and settled."""

    def load_claimed(
        self, partition: str, members: Sequence[str]
    ) -> Command[list[Payload | ValueError | None]]:
        """For each member its payload, None if it needs no e-mail now, or why it is unreadable."""

    def compose(self, payload: Payload, now: datetime) -> Mail:
        """Raises ``SkipMessage`` if the e-mail must not be sent."""

    def attempts(self, payload: Payload) -> int:
        """How many attempts to send it have failed."""

    def log_fields(self, partition: str, member: str) -> dict[str, str]:
        """Identifies the e-mail in a log, without personal data."""

    def mark_sent(
        self, partition: str, member: str, *, now: datetime, deadline: datetime
    ) -> Command[bool]: ...

    def mark_failed(
        self,
        partition: str,
        member: str,
        *,
        error: str,
        attempts: int,
        now: datetime,
        deadline: datetime,
    ) -> Command[bool]:
        """Gives the e-mail up, after so many more ``attempts`` (0 or 1)."""

    def retry_later(
        self,
        partition: str,
        member: str,
        *,
        error: str,
        attempts: int,
        at: datetime,
        deadline: datetime,
    ) -> Command[bool]: ...


class QueuedMessage(Generic[Payload]):
    """A claimed e-mail, under a lease until ``deadline``."""

    def __init__(
        self,
        source: MessageSource[Payload],
        clock: Callable[[], datetime],
        partition: str,
        member: str,
        payload: Payload,
        deadline: datetime,
    ) -> None:
        self._source = source
        self._clock = clock
        self._payload = payload
        self._mail: Mail | None = None
        self.partition = partition
        self.member = member
        self.deadline = deadline
        self.log_fields = source.log_fields(partition, member)

    def prepare(self) -> None:
        """Composes the e-mail ahead of its turn. ``compose`` repeats what fails here."""
        with suppress(Exception):
            self._mail = self._source.compose(self._payload, self._clock())

    def compose(self) -> Mail:
        """Raises ``SkipMessage`` if the e-mail must not be sent, or cannot be composed."""
        if self._mail is None or self.seconds_left() <= 0:
            try:
                self._mail = self._source.compose(self._payload, self._clock())
            except (Invalid, ValueError, LookupError, ArithmeticError) as error:
                log.exception("mail_not_composed")
                raise SkipMessage(f"the e-mail cannot be made: {type(error).__name__}") from error
        return self._mail

    def seconds_left(self) -> float:
        """Until it expires."""
        return (self._payload.expires_at - self._clock()).total_seconds()

    @property
    def attempts(self) -> int:
        """How many attempts to send it have failed."""
        return self._source.attempts(self._payload)

    def mark_sent(self) -> Command[bool]:
        return self._source.mark_sent(
            self.partition, self.member, now=self._clock(), deadline=self.deadline
        )

    def mark_failed(self, error: str, *, attempts: int) -> Command[bool]:
        return self._source.mark_failed(
            self.partition,
            self.member,
            error=error,
            attempts=attempts,
            now=self._clock(),
            deadline=self.deadline,
        )

    def retry_later(self, error: str, *, attempts: int, at: datetime) -> Command[bool]:
        return self._source.retry_later(
            self.partition,
            self.member,
            error=error,
            attempts=attempts,
            at=at,
            deadline=self.deadline,
        )
