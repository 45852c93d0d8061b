"""A queued e-mail: loaded, composed, leased, and settled."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

import msgspec
import structlog

from service.errors import Invalid
from service.orgs.model import EMPTY_PROFILE, Profile
from service.outbox import store as outbox
from service.outbox.queues import MailQueue
from service.storage.command import Command
from service.storage.pipeline import AutoPipeline
from tasks.mail.mime import Mail

log = structlog.get_logger(__name__)

LEASE_DURATION = timedelta(seconds=20)
"""How long a lease lasts without renewal."""


class MailPayload(Protocol):
    """What an e-mail is about."""

    @property
    def expires_at(self) -> datetime:
        """From this moment, the e-mail is useless."""

    @property
    def org_id(self) -> str | None:
        """The organization whose profile the e-mail has, if any."""


Payload = TypeVar("Payload", bound=MailPayload)


class SkipMessage(Exception):
    """The e-mail must not be sent any more; the message gives the reason."""


class LeaseLost(Exception):
    """The e-mail is another worker's to send, or is no longer owed."""


class Sent(msgspec.Struct, frozen=True):
    """The mail server accepted the e-mail."""


class Failed(msgspec.Struct, frozen=True):
    """The e-mail is given up."""

    error: str
    counts_as_attempt: bool = True


class Retry(msgspec.Struct, frozen=True):
    """The e-mail is tried again, at ``at`` at the earliest."""

    error: str
    at: datetime
    counts_as_attempt: bool = True
    unconfirmed: bool = False
    """Whether the mail server may have accepted it."""


Outcome = Sent | Failed | Retry


class MailHandler(Protocol[Payload]):
    """What the members of a queue stand for, and how their e-mails are composed and settled."""

    def load_claimed(
        self, partition: str, members: Sequence[str]
    ) -> Command[list[Payload | ValueError | None]]:
        """For each member its payload, None if it needs no e-mail now, or why it is unreadable."""

    def compose(self, payload: Payload, profile: Profile, now: datetime) -> Mail:
        """Raises ``SkipMessage`` if the e-mail must not be sent."""

    def attempts(self, payload: Payload) -> tuple[int, int]:
        """How many attempts to send it have failed, and how many of them were unconfirmed."""

    def log_fields(self, partition: str, member: str) -> dict[str, str]:
        """Identifies the e-mail in a log, without personal data."""

    def settle(
        self,
        payload: Payload,
        outcome: Outcome,
        *,
        profile: Profile,
        now: datetime,
        lease_deadline: datetime,
    ) -> Command[bool]:
        """Records the outcome, unless the lease until ``lease_deadline`` was lost.

        An e-mail that was sent counts as sent in any case. It was composed with ``profile``.
        """

    def requeue(self, payload: Payload, at: datetime) -> Command[bool]:
        """Owes a failed e-mail again, from ``at`` on; False if it is not needed any more."""


class QueuedMessage(Generic[Payload]):
    """A claimed e-mail, under a lease until ``lease_deadline``."""

    def __init__(
        self,
        queue: MailQueue,
        partition: str,
        member: str,
        payload: Payload,
        lease_deadline: datetime,
        *,
        handler: MailHandler[Payload],
        pipeline: AutoPipeline,
        clock: Callable[[], datetime],
    ) -> None:
        self.partition = partition
        self.member = member
        self.payload = payload
        self.handler = handler
        self._queue = queue
        self.lease_deadline = lease_deadline
        self._pipeline = pipeline
        self._clock = clock
        self._profile = EMPTY_PROFILE
        self._lock = asyncio.Lock()  # the deadline identifies the lease, and changes with it

    @property
    def key(self) -> tuple[str, str]:
        """Identifies the e-mail in its queue."""
        return self.partition, self.member

    def compose(self, profile: Profile) -> Mail:
        """Raises ``SkipMessage`` if the e-mail must not be sent, or cannot be composed."""
        self._profile = profile
        try:
            return self.handler.compose(self.payload, profile, self._clock())
        except (Invalid, ValueError, LookupError, ArithmeticError) as error:
            log.exception("mail_not_composed")
            raise SkipMessage(f"the e-mail cannot be made: {type(error).__name__}") from error

    async def renew(self, duration: timedelta = LEASE_DURATION) -> None:
        """Makes the lease last from now on; with a duration of 0, any worker may claim the e-mail.

        Raises:
            LeaseLost
            Unavailable: Redis does not answer.
        """
        async with self._lock:
            until = self._clock() + duration
            held = await self._pipeline.run(
                outbox.renew(
                    self._queue,
                    self.partition,
                    [self.member],
                    lease_deadline=self.lease_deadline,
                    until=until,
                )
            )
            if not held:
                raise LeaseLost
            self.lease_deadline = until

    async def settle(self, outcome: Outcome) -> None:
        """Records the outcome.

        Raises:
            Unavailable: Redis does not answer.
        """
        async with self._lock:
            await self._pipeline.run(
                self.handler.settle(
                    self.payload,
                    outcome,
                    profile=self._profile,
                    now=self._clock(),
                    lease_deadline=self.lease_deadline,
                )
            )

    async def requeue(self, at: datetime) -> None:
        """Owes the e-mail again, from ``at`` on, after it was settled as failed.

        Raises:
            Unavailable: Redis does not answer.
        """
        async with self._lock:
            await self._pipeline.run(self.handler.requeue(self.payload, at))

    @property
    def log_fields(self) -> dict[str, str]:
        return self.handler.log_fields(self.partition, self.member)
