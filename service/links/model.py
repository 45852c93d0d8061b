"""The payment link: its values, payments and mail, its status, and its end."""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from itertools import dropwhile, islice
from typing import Annotated

import msgspec

from service.values.email import canonical
from service.values.reminders import Reminder

ZERO = Decimal(0)
PAGES_PATH = "/pay"
"""The path of the customers' pages, under ``PUBLIC_URL``."""


class Status(StrEnum):
    """Computed from a link's times whenever it is read; never stored."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"
    PAID = "paid"


class DeliveryState(StrEnum):
    """The state of a link's e-mail.

    ``none``: none is to be sent. ``queued``: it is due. ``failed``: ``error`` holds the reason.
    """

    NONE = "none"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    SENT = "sent"
    FAILED = "failed"


class Delivery(msgspec.Struct, frozen=True):
    """The state of the link's e-mail, and how many attempts to send it were made."""

    state: DeliveryState
    attempts: int = 0
    sent_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    error: str | None = None
    sends: int = 1
    """How many e-mails were asked for: the first, and one each time it was to be sent again."""
    unconfirmed: int = 0
    """How many attempts handed the e-mail over without an answer from the mail server."""
    first_sent_at: datetime | None = None
    """When the first e-mail was sent, if ``sent_at`` is a later one's."""
    is_doubtful: bool = False
    """Whether an earlier e-mail may have arrived, though its server never confirmed it."""


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """Money that the organization received for a link. ``id`` is the organization's own."""

    id: str
    amount: Decimal
    currency: str | None = None
    paid_at: datetime
    recorded_at: datetime
    method: str | None = None
    is_late: bool = False
    """Whether the link had expired or was revoked when it was paid."""
    voided_at: datetime | None = None


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A payment link. Times are UTC, to the millisecond."""

    id: str
    org_id: str
    email: str
    transaction_id: str | None = None
    payment_amount: Decimal | None = None
    currency: str | None = None
    otp_required: bool = False
    scheduled_at: datetime | None = None
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    delivery: Delivery
    locale: str | None = None
    description: str | None = None
    metadata: dict[str, str] = {}
    created_by: str | None = None
    """The ``sub`` of the admin's token. None for links of earlier versions."""
    accept_partial: bool = False
    payments: tuple[Payment, ...] = ()
    """In the order in which they were recorded, voided ones included."""
    paid_at: datetime | None = None
    """When it was paid in whole: the ``paid_at`` of the payment that did it."""
    supersedes: str | None = None
    superseded_by: str | None = None
    reminders: tuple[Reminder, ...] | None = None
    """None: the organization's default, until its first e-mail is sent."""
    reminded_at: datetime | None = None
    """When the last reminder was sent."""
    reminders_stopped_at: datetime | None = None
    checkout_started_at: datetime | None = None
    version: int = 0
    """How many times PATCH changed it."""

    @property
    def recipient(self) -> str:
        """The e-mail in the form that is compared and indexed."""
        return canonical(self.email)

    @property
    def due_at(self) -> datetime:
        return self.scheduled_at or self.created_at

    @property
    def ended_at(self) -> datetime:
        """When it ended, or will end, or when its last payment was recorded or voided, if later."""
        end = self.settled_at or min(self.revoked_at or self.expires_at, self.expires_at)
        changes = (payment.voided_at or payment.recorded_at for payment in self.payments)
        return max(end, *changes) if self.payments else end

    @property
    def valid_payments(self) -> Iterator[Payment]:
        """Those that were not voided."""
        return (payment for payment in self.payments if payment.voided_at is None)

    @property
    def amount_paid(self) -> Decimal:
        if not self.payments:
            return ZERO
        return sum((payment.amount for payment in self.valid_payments), ZERO)

    @property
    def amount_due(self) -> Decimal | None:
        """None where the link has no amount."""
        if self.payment_amount is None or not self.payments:
            return self.payment_amount
        return max(self.payment_amount - self.amount_paid, ZERO)

    @property
    def settling_payment(self) -> Payment | None:
        """The payment with which the link was paid in whole; None if it is not."""
        paid = Decimal(0)
        for payment in self.valid_payments:
            paid += payment.amount
            if self.payment_amount is None or paid >= self.payment_amount:
                return payment
        return None

    @property
    def settled_at(self) -> datetime | None:
        """When the payment with which it was paid in whole was recorded."""
        if self.paid_at is None or (payment := self.settling_payment) is None:
            return None
        return payment.recorded_at

    @property
    def duplicate_ids(self) -> set[str]:
        """Ids of the valid payments that were recorded after it had been paid in whole."""
        settling = self.settling_payment
        since = dropwhile(lambda payment: payment is not settling, self.valid_payments)
        return {payment.id for payment in islice(since, 1, None)}

    @property
    def is_mail_out(self) -> bool:
        """Whether its recipient has, or may have, an e-mail about it."""
        delivery = self.delivery
        may_be_out = delivery.unconfirmed or delivery.is_doubtful
        return bool(delivery.sent_at or may_be_out or self.reminded_at)

    def status(self, now: datetime) -> Status:
        """Its status at ``now``. At ``expires_at`` it has expired."""
        if self.paid_at is not None:
            return Status.PAID
        if self.revoked_at is not None:
            return Status.REVOKED
        return Status.ACTIVE if now < self.expires_at else Status.EXPIRED

    def entity_tag(self, now: datetime) -> str:
        """A strong entity tag (RFC 9110, 8.8.3) of the link as it is at ``now``, with its quotes.

        It changes with ``version`` and with the status, not with payments or the e-mail's state.
        """
        return f'"{self.version}-{self.status(now).value}"'


def page_path(link_id: str) -> str:
    """The path of the link's page under ``PUBLIC_URL``; both together are the link's ``url``."""
    return f"{PAGES_PATH}/{link_id}"


def reminders_path(link_id: str) -> str:
    """The path of the page under ``PUBLIC_URL`` that stops the link's reminders."""
    return f"{page_path(link_id)}/reminders"
