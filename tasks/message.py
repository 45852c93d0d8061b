"""A mail that is owed: what it is about, whose turn it is, and how it is made and settled."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Generic, Protocol, TypeVar

import structlog

from service.errors import Invalid
from service.storage.command import Command
from tasks.mail.mime import Mail

log = structlog.get_logger(__name__)


class Expiring(Protocol):
    """What a mail is about."""

    @property
    def expires_at(self) -> datetime:
        """From when on it is of no use."""


Payload = TypeVar("Payload", bound=Expiring)


class Drop(Exception):
    """The mail is not to be sent any more; the message says why."""


class Kind(Protocol[Payload]):
    """What is mailed: links, or one-time passwords. ``member`` is whose mail it is: a link's id, or an e-mail."""

    def claim(
        self, partition: str, *, now: datetime, deadline: datetime, limit: int
    ) -> Command[list[str]]: ...

    def open(
        self, partition: str, members: Sequence[str]
    ) -> Command[list[Payload | ValueError | None]]: ...

    def renew(
        self, partition: str, members: Sequence[str], *, deadline: datetime, until: datetime
    ) -> Command[list[str]]: ...

    def message(self, opened: Payload, now: datetime) -> Mail:
        """Raises ``Drop`` where it is not to be sent."""

    def attempts(self, opened: Payload) -> int: ...

    def describe(self, member: str) -> dict[str, str]:
        """How a log names it."""

    def sent(self, member: str, *, now: datetime, deadline: datetime) -> Command[bool]: ...

    def failed(
        self, member: str, *, error: str, attempts: int, now: datetime, deadline: datetime
    ) -> Command[bool]: ...

    def retry(
        self, member: str, *, error: str, attempts: int, at: datetime, deadline: datetime
    ) -> Command[bool]: ...


class QueuedMessage(Generic[Payload]):
    """A claimed mail, under a lease until ``deadline``. It is made once: ahead of its turn where there is time."""

    def __init__(
        self,
        kind: Kind[Payload],
        clock: Callable[[], datetime],
        partition: str,
        member: str,
        opened: Payload,
        deadline: datetime,
    ) -> None:
        self._kind = kind
        self._clock = clock
        self._opened = opened
        self._made: Mail | Exception | None = None
        self.partition = partition
        self.member = member
        self.deadline = deadline
        self.about = kind.describe(member)

    def make(self) -> Mail | Exception:
        """Makes the mail. What is in the way of that is raised when its turn comes, and not in that of another."""
        try:
            self._made = self._kind.message(self._opened, self._clock())
        except Exception as error:  # noqa: BLE001 - raised by ``mail``
            self._made = error
        return self._made

    def mail(self) -> Mail:
        """Raises ``Drop`` where it is not to be sent, or not any more."""
        made = self._made
        if made is None or self.left() <= 0:
            made = self.make()
        if isinstance(made, Mail):
            return made
        try:
            raise made
        except (Invalid, ValueError, LookupError, ArithmeticError) as error:
            log.exception("mail_cannot_be_made")
            raise Drop(f"the e-mail cannot be made: {type(error).__name__}") from error

    def left(self) -> float:
        """Seconds until it is of no use."""
        return (self._opened.expires_at - self._clock()).total_seconds()

    def attempts(self) -> int:
        """How often it was tried before."""
        return self._kind.attempts(self._opened)

    def sent(self) -> Command[bool]:
        return self._kind.sent(self.member, now=self._clock(), deadline=self.deadline)

    def failed(self, error: str, *, attempts: int) -> Command[bool]:
        return self._kind.failed(
            self.member, error=error, attempts=attempts, now=self._clock(), deadline=self.deadline
        )

    def retry(self, error: str, *, attempts: int, at: datetime) -> Command[bool]:
        return self._kind.retry(
            self.member, error=error, attempts=attempts, at=at, deadline=self.deadline
        )
