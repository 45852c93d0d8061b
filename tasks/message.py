"""A queued e-mail: loaded, composed, sent, and settled."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

import msgspec
import structlog

from service.errors import Invalid
from service.storage.command import Command
from tasks.mail.mime import Mail

log = structlog.get_logger(__name__)


class Expiring(Protocol):
    @property
    def expires_at(self) -> datetime:
        """From this moment, an e-mail about it is useless."""


Payload = TypeVar("Payload", bound=Expiring)


class SkipMessage(Exception):
    """The e-mail must not be sent any more; the message gives the reason."""


class Sent(msgspec.Struct, frozen=True):
    """The mail server accepted the e-mail."""


class Failed(msgspec.Struct, frozen=True):
    """The e-mail is given up."""

    error: str
    counts_as_attempt: bool


class Retry(msgspec.Struct, frozen=True):
    """The e-mail is tried again, at ``at`` at the earliest."""

    error: str
    counts_as_attempt: bool
    at: datetime


Outcome = Sent | Failed | Retry


class MailHandler(Protocol[Payload]):
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

    def settle(
        self,
        partition: str,
        member: str,
        outcome: Outcome,
        *,
        now: datetime,
        lease_deadline: datetime,
    ) -> Command[bool]:
        """Records the outcome, unless the lease until ``lease_deadline`` was lost.

        An e-mail that was sent counts as sent in any case.
        """


@dataclass
class QueuedMessage(Generic[Payload]):
    """A claimed e-mail, under a lease until ``lease_deadline``."""

    handler: MailHandler[Payload]
    clock: Callable[[], datetime]
    partition: str
    member: str
    payload: Payload
    lease_deadline: datetime
    mail: Mail | None = None

    def prepare(self) -> None:
        """Composes the e-mail ahead of its turn. ``compose`` repeats what fails here."""
        with suppress(Exception):
            self.mail = self.handler.compose(self.payload, self.clock())

    def compose(self) -> Mail:
        """Raises ``SkipMessage`` if the e-mail must not be sent, or cannot be composed."""
        if self.mail is None or self.seconds_left() <= 0:
            try:
                self.mail = self.handler.compose(self.payload, self.clock())
            except (Invalid, ValueError, LookupError, ArithmeticError) as error:
                log.exception("mail_not_composed")
                raise SkipMessage(f"the e-mail cannot be made: {type(error).__name__}") from error
        return self.mail

    def seconds_left(self) -> float:
        """Until it expires."""
        return (self.payload.expires_at - self.clock()).total_seconds()

    @property
    def log_fields(self) -> dict[str, str]:
        return self.handler.log_fields(self.partition, self.member)

    def settle(self, outcome: Outcome) -> Command[bool]:
        return self.handler.settle(
            self.partition,
            self.member,
            outcome,
            now=self.clock(),
            lease_deadline=self.lease_deadline,
        )
