"""What the model of the contract knows of links, codes, counters and requests."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

RETENTION = timedelta(days=90)


@dataclass
class Payment:
    id: str
    amount: Decimal
    paid_at: datetime
    is_late: bool
    voided_at: datetime | None = None


@dataclass
class Link:
    id: str
    org_id: str
    email: str
    recipient: str
    created_at: datetime
    expires_at: datetime
    transaction_id: str | None
    payment_amount: Decimal | None
    currency: str | None
    otp_required: bool
    locale: str | None
    scheduled_at: datetime | None
    gone_at: datetime
    description: str | None = None
    accept_partial: bool = False
    revoked_at: datetime | None = None
    payments: list[Payment] = field(default_factory=list)
    supersedes: str | None = None
    superseded_by: str | None = None
    version: int = 0
    state: str = "none"
    attempts: int = 0
    sends: int = 0
    sent_at: datetime | None = None
    error: str | None = None
    failed_at: datetime | None = None
    queue: str | None = None
    """``scheduled`` or ``outbox`` while its e-mail is owed."""
    look_at: datetime | None = None
    """When its e-mail is to be looked at (again)."""
    claimed_since: datetime | None = None
    """Since when the e-mail is owed that a worker has claimed."""
    retry_at: datetime | None = None
    """When an e-mail that was put off is tried again."""

    @property
    def due_at(self) -> datetime:
        return self.scheduled_at or self.created_at

    @property
    def ended_at(self) -> datetime:
        end = self.settling.paid_at if self.settling else self.revoked_at or self.expires_at
        return max([end, *(each.voided_at or each.paid_at for each in self.payments)])

    @property
    def paid_at(self) -> datetime | None:
        return self.settling.paid_at if self.settling else None

    @property
    def valid_payments(self) -> list[Payment]:
        return [payment for payment in self.payments if payment.voided_at is None]

    @property
    def amount_paid(self) -> Decimal:
        return sum((payment.amount for payment in self.valid_payments), Decimal(0))

    @property
    def amount_due(self) -> Decimal | None:
        amount = self.payment_amount
        return None if amount is None else max(amount - self.amount_paid, Decimal(0))

    @property
    def settling(self) -> Payment | None:
        """The payment with which it was paid in whole."""
        paid = Decimal(0)
        for payment in self.valid_payments:
            paid += payment.amount
            if self.payment_amount is None or paid >= self.payment_amount:
                return payment
        return None

    def is_duplicate(self, payment: Payment) -> bool:
        settling, valid = self.settling, payment.voided_at is None
        if settling is None or not valid:
            return False
        return self.payments.index(payment) > self.payments.index(settling)

    @property
    def is_held(self) -> bool:
        """Whether a worker may be sending its e-mail."""
        return self.claimed_since is not None and self.look_at != self.retry_at

    def status(self, now: datetime) -> str:
        if self.settling is not None:
            return "paid"
        if self.revoked_at is not None:
            return "revoked"
        return "active" if now < self.expires_at else "expired"

    def fail(self, error: str, now: datetime) -> None:
        ended_at = self.gone_at - RETENTION
        self.state, self.error, self.failed_at = "failed", error, min(now, ended_at)

    def send_again(self, now: datetime) -> None:
        self.state, self.attempts, self.error = "queued", 0, None
        self.sends += 1
        self.owe("outbox", now)

    def owe(self, queue: str | None, look_at: datetime | None = None) -> None:
        self.queue, self.look_at, self.retry_at = queue, look_at, None
        if queue is None:
            self.claimed_since = None


@dataclass
class Window:
    ends_at: datetime
    count: int = 0


@dataclass
class Code:
    digits: str
    expires_at: datetime
    mail_at: datetime | None
    """When its e-mail is to be looked at; None once it is out or given up."""
    tries: int = 0
    mails: int = 0


@dataclass
class Request:
    """A create; or, without a recipient, one that resends mails."""

    body: dict[str, Any]
    recipient: str
    link_id: str
    until: datetime
    asked_at: datetime
    queued: int = 0
    """How many failed mails it has queued."""

    def means(self, body: dict[str, Any], recipient: str) -> bool:
        """Whether ``body`` asks for the same."""
        return meaning(body, recipient) == meaning(self.body, self.recipient)


def meaning(body: dict[str, Any], recipient: str) -> dict[str, Any]:
    """What a new link's ``body`` asks for, however it is written."""
    defaults = {"otp_required": "otp" in body, "on_conflict": "allow", "accept_partial": False}
    said: dict[str, Any] = {"notify": True} | defaults | body | {"email": recipient}
    return {
        name: value.upper() if name == "currency" else value
        for name, value in said.items()
        if value is not None
    }
