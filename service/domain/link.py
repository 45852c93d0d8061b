"""The payment link: how one comes to be, what its status is, and when it ends."""

import hashlib
import re
import string
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Annotated

import msgspec

from service.domain.email import canonical, parse_email
from service.domain.errors import Invalid
from service.domain.locale import parse_locale
from service.domain.money import parse_amount, parse_currency

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
BASE62_PAIRS = [low + high for high in BASE62 for low in BASE62]
ID_CHARACTERS = 22
ID_PATTERN = r"pl_[0-9a-f]{2}[0-9A-Za-z]{22}"
ORG_ID_PATTERN = r"[A-Za-z0-9._:-]{1,64}"
_ID, _ORG_ID = re.compile(ID_PATTERN), re.compile(ORG_ID_PATTERN)

SCHEDULE_GRACE = timedelta(seconds=60)
SCHEDULE_HORIZON = timedelta(days=365)
SHORTEST_LIFE = timedelta(minutes=5)
LONGEST_LIFE = timedelta(days=365)


class Status(StrEnum):
    """Never stored: computed from the link's times whenever it is read."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


class DeliveryState(StrEnum):
    """``none``: no e-mail is owed. ``queued``: owed now. ``failed``: given up, ``error`` says why."""

    NONE = "none"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    SENT = "sent"
    FAILED = "failed"


class Delivery(msgspec.Struct, frozen=True):
    """What became of the link's e-mail."""

    state: DeliveryState
    attempts: int = 0
    sent_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    error: str | None = None


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

    @property
    def recipient(self) -> str:
        """The e-mail in the form under which it is compared."""
        return canonical(self.email)

    @property
    def due_at(self) -> datetime:
        """When its e-mail is to go out."""
        return self.scheduled_at or self.created_at

    @property
    def ended_at(self) -> datetime:
        """When it ended, or will."""
        return min(self.revoked_at or self.expires_at, self.expires_at)

    def status(self, now: datetime) -> Status:
        """What it is at ``now``. It expires at the moment ``expires_at``, not after it."""
        if self.revoked_at is not None:
            return Status.REVOKED
        return Status.ACTIVE if now < self.expires_at else Status.EXPIRED


def create(
    *,
    entropy: bytes,
    now: datetime,
    ttl: timedelta,
    org_id: str,
    email: str,
    transaction_id: str | None = None,
    payment_amount: Decimal | None = None,
    currency: str | None = None,
    scheduled_at: datetime | None = None,
    expires_at: datetime | None = None,
    otp_required: bool = False,
    notify: bool = True,
    locale: str | None = None,
) -> Link:
    """A new link, made at ``now``, with an id made of ``entropy`` (24 random bytes or more).

    Raises:
        Invalid: a field breaks its rule.
    """
    now = to_millisecond(now)
    parse_org_id(org_id)
    parse_email(email)
    if transaction_id is not None and not (1 <= len(transaction_id) <= 128 and transaction_id.isprintable()):
        raise Invalid("transaction_id", "must be 1 to 128 printable characters")
    currency = None if currency is None else parse_currency(currency)
    scheduled_at = None if scheduled_at is None else _parse_schedule(scheduled_at, now)
    send_at = max(scheduled_at or now, now)
    state = DeliveryState.NONE if not notify else DeliveryState.QUEUED if scheduled_at is None else DeliveryState.SCHEDULED
    return Link(
        id=make_id(org_id, entropy),
        org_id=org_id,
        email=email,
        transaction_id=transaction_id,
        payment_amount=None if payment_amount is None else parse_amount(payment_amount, currency),
        currency=currency,
        otp_required=otp_required,
        scheduled_at=scheduled_at,
        created_at=now,
        expires_at=send_at + ttl if expires_at is None else _parse_expiry(expires_at, send_at),
        delivery=Delivery(state),
        locale=None if locale is None else parse_locale(locale),
    )


def make_id(org_id: str, entropy: bytes) -> str:
    """``pl_``, the organization's partition, and 22 base62 characters (131 bits) of ``entropy``."""
    number = int.from_bytes(entropy) % 62**ID_CHARACTERS
    pairs = []
    for _ in range(ID_CHARACTERS // 2):
        number, pair = divmod(number, 62 * 62)
        pairs.append(BASE62_PAIRS[pair])
    return f"pl_{partition_of(org_id)}{''.join(pairs)}"


def parse_org_id(text: str) -> str:
    """``text``, if it can name an organization.

    Raises:
        Invalid: it cannot.
    """
    if not _ORG_ID.fullmatch(text):
        raise Invalid("org_id", "must be 1 to 64 of A-Z a-z 0-9 . _ : -")
    return text


def is_id(text: str) -> bool:
    """Whether ``text`` has the form of a link's id."""
    return _ID.fullmatch(text) is not None


@lru_cache(maxsize=4096)
def partition_of(name: str) -> str:
    """Two hex digits, always the same for ``name``: one of 256 partitions."""
    return hashlib.blake2s(name.encode(), digest_size=1).hexdigest()


def to_millisecond(moment: datetime) -> datetime:
    """``moment`` in UTC, without what is below a millisecond."""
    return moment.astimezone(UTC).replace(microsecond=moment.microsecond // 1000 * 1000)


def _parse_schedule(scheduled_at: datetime, now: datetime) -> datetime:
    if not now - SCHEDULE_GRACE <= scheduled_at <= now + SCHEDULE_HORIZON:
        raise Invalid("scheduled_at", "must not lie in the past, nor more than a year ahead")
    return to_millisecond(scheduled_at)


def _parse_expiry(expires_at: datetime, send_at: datetime) -> datetime:
    if not send_at + SHORTEST_LIFE <= expires_at <= send_at + LONGEST_LIFE:
        raise Invalid("expires_at", "must lie 5 minutes to 365 days after the link is sent")
    return to_millisecond(expires_at)
