"""Notices: what each is about, and whether it is still to be sent."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar

import msgspec

from service.links.model import Link, Payment, Status
from service.links.reminders import next_reminder, receipt_member, reminder_member
from service.orgs.model import Profile

RECEIPT_LIFETIME = timedelta(days=7)
"""How long the service tries to send a receipt."""
SAMPLE_LIFETIME = timedelta(hours=1)
"""How long the service tries to send a sample."""


class NoticeKind(StrEnum):
    """What a notice is. The notice's member in the queue begins with it."""

    REMINDER = "reminder"
    RECEIPT = "receipt"
    SAMPLE = "sample"


class Tries(msgspec.Struct, frozen=True):
    """How many attempts to send a notice failed, and how many of them were unconfirmed."""

    attempts: int = 0
    unconfirmed: int = 0


class ReminderNotice(msgspec.Struct, frozen=True):
    """A reminder of ``link``, of which ``number`` were sent or given up before."""

    kind: ClassVar = NoticeKind.REMINDER
    link: Link
    number: int
    tries: Tries = Tries()

    @property
    def member(self) -> str:
        return reminder_member(self.link.id)

    @property
    def org_id(self) -> str:
        return self.link.org_id

    @property
    def expires_at(self) -> datetime:
        return self.link.expires_at

    @property
    def identity(self) -> str:
        """Becomes its Message-ID: the same for each attempt, and no other e-mail's."""
        return f"{self.link.id} reminder {self.number}"

    @property
    def subject_id(self) -> str:
        """What its tries are about."""
        return str(self.number)

    def find_obstacle(self, now: datetime) -> str | None:
        """Why it must not be sent at ``now``; None if it may."""
        status = self.link.status(now)
        if status is not Status.ACTIVE:
            return f"the link is {status.value}"
        if self.link.reminders_stopped_at is not None:
            return "the customer wants no reminders"
        at = next_reminder(self.link)
        return "no reminder is due" if at is None or at > now else None


class ReceiptNotice(msgspec.Struct, frozen=True):
    """A receipt for the payment with which ``link`` was paid in whole; None if it is not."""

    kind: ClassVar = NoticeKind.RECEIPT
    link: Link
    payment: Payment | None
    tries: Tries = Tries()

    @property
    def member(self) -> str:
        return receipt_member(self.link.id)

    @property
    def org_id(self) -> str:
        return self.link.org_id

    @property
    def expires_at(self) -> datetime:
        settled_at = self.link.settled_at or self.link.created_at
        return settled_at + RECEIPT_LIFETIME

    @property
    def identity(self) -> str:
        """Becomes its Message-ID: the same for each attempt, and no other e-mail's."""
        return f"{self.link.id} receipt {self.subject_id}"

    @property
    def subject_id(self) -> str:
        """What its tries are about."""
        return "" if self.payment is None else self.payment.id

    def find_obstacle(self, now: datetime) -> str | None:
        """Why it must not be sent; None if it may."""
        return None if self.link.paid_at and self.payment else "the link is not paid"


class SampleNotice(msgspec.Struct, frozen=True):
    """A sample of a link's e-mail for an organization, asked for at ``requested_at``."""

    kind: ClassVar = NoticeKind.SAMPLE
    sampled_org_id: str
    profile: Profile
    """The organization's, as it was when the notice was claimed."""
    requested_at: datetime
    tries: Tries = Tries()

    @property
    def member(self) -> str:
        return sample_member(self.sampled_org_id)

    @property
    def org_id(self) -> None:
        """None: it has its own profile."""
        return

    @property
    def expires_at(self) -> datetime:
        return self.requested_at + SAMPLE_LIFETIME

    @property
    def identity(self) -> str:
        """Becomes its Message-ID: the same for each attempt, and no other e-mail's."""
        return f"{self.member} {self.requested_at.isoformat()}"

    @property
    def subject_id(self) -> str:
        """What its tries are about."""
        return ""

    def find_obstacle(self, now: datetime) -> str | None:
        """Why it must not be sent; None if it may."""
        return None if self.profile.reply_to else "the profile has no reply_to"


Notice = ReminderNotice | ReceiptNotice | SampleNotice


def sample_member(org_id: str) -> str:
    """The organization's sample in the queue of notices."""
    return f"{NoticeKind.SAMPLE}:{org_id}"
