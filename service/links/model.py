"""The payment link: how one comes to be, what its status is, and when it ends."""

from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

import msgspec

from service.errors import Faults, Invalid
from service.otps.model import parse_code
from service.values.email import canonical, parse_email
from service.values.ids import make_link_id, parse_org_id
from service.values.locale import parse_locale
from service.values.money import check_range, parse_amount, parse_currency
from service.values.text import parse_line
from service.values.time import assume_utc, truncate_to_ms

MAX_TRANSACTION_ID = 128
"""Characters."""
PAGES_PATH = "/pay"
"""Under ``PUBLIC_URL``."""
SCHEDULE_GRACE = timedelta(seconds=60)
SCHEDULE_HORIZON = timedelta(days=365)
MIN_LINK_LIFETIME = timedelta(minutes=5)
MAX_LINK_LIFETIME = timedelta(days=365)


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


class LinkRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A link that is asked for. ``otp`` is a code that the recipient has verified; without ``expires_at`` a ``ttl`` counts."""

    org_id: str
    email: str
    transaction_id: str | None = None
    payment_amount: Decimal | None = None
    currency: str | None = None
    scheduled_at: datetime | None = None
    expires_at: datetime | None = None
    otp: str | None = None
    otp_required: bool = False
    notify: bool = True
    locale: str | None = None

    @property
    def meaning(self) -> "LinkRequest":
        """The same for all requests that ask for the same, in whatever spelling.

        Written down it has no defaults, so that a field which a later version adds changes nothing.
        """
        amount = self.payment_amount
        return msgspec.structs.replace(
            self,
            email=canonical(self.email),
            payment_amount=None if amount is None else amount.normalize(),
        )


def parse_request(
    *,
    now: datetime,
    org_id: str | None,
    email: str | None,
    transaction_id: str | None = None,
    payment_amount: Decimal | None = None,
    currency: str | None = None,
    scheduled_at: datetime | None = None,
    expires_at: datetime | None = None,
    otp: str | None = None,
    otp_required: bool = False,
    notify: bool = True,
    locale: str | None = None,
    faults: Faults | None = None,
) -> LinkRequest:
    """The request that these values make. Rules that depend on the time are ``create``'s, so that a request can be repeated.

    A value that the caller could not read is None, and among ``faults``.

    Raises:
        Invalid: fields break their rules; where one does, those that break the rules of time are named as well.
    """
    faults = faults or Faults()
    if org_id is not None:
        faults.check(parse_org_id, org_id)
    if email is not None:
        faults.check(parse_email, email)
    if transaction_id is not None:
        faults.check(parse_line, transaction_id, "transaction_id", MAX_TRANSACTION_ID)
    currency = None if currency is None else faults.check(parse_currency, currency)
    if (
        payment_amount is not None and "currency" in faults
    ):  # so nobody can say how many decimals it may have
        faults.check(check_range, payment_amount)
    elif payment_amount is not None:
        payment_amount = faults.check(parse_amount, payment_amount, currency)
    scheduled_at = (
        None if scheduled_at is None else faults.check(_parse_moment, "scheduled_at", scheduled_at)
    )
    expires_at = (
        None if expires_at is None else faults.check(_parse_moment, "expires_at", expires_at)
    )
    if otp is not None:
        faults.check(parse_code, otp)
    locale = None if locale is None else faults.check(parse_locale, locale)
    if faults.found or org_id is None or email is None:
        _check_times(faults, scheduled_at, expires_at, truncate_to_ms(now))
        faults.raise_if_any()
        raise AssertionError("a required value is None, and not among the faults")
    return LinkRequest(
        org_id=org_id,
        email=email,
        transaction_id=transaction_id,
        payment_amount=payment_amount,
        currency=currency,
        scheduled_at=scheduled_at,
        expires_at=expires_at,
        otp=otp,
        otp_required=otp_required or otp is not None,
        notify=notify,
        locale=locale,
    )


def create(request: LinkRequest, *, entropy: bytes, now: datetime, ttl: timedelta) -> Link:
    """A new link, made at ``now``, with an id made of ``entropy`` (24 random bytes or more).

    Raises:
        Invalid: a time breaks its rule.
    """
    now, faults = truncate_to_ms(now), Faults()
    _check_times(faults, request.scheduled_at, request.expires_at, now)
    faults.raise_if_any()
    queued = DeliveryState.QUEUED if request.scheduled_at is None else DeliveryState.SCHEDULED
    return Link(
        id=make_link_id(request.org_id, entropy),
        org_id=request.org_id,
        email=request.email,
        transaction_id=request.transaction_id,
        payment_amount=request.payment_amount,
        currency=request.currency,
        otp_required=request.otp_required,
        scheduled_at=request.scheduled_at,
        created_at=now,
        expires_at=request.expires_at or _send_at(request.scheduled_at, now) + ttl,
        delivery=Delivery(queued if request.notify else DeliveryState.NONE),
        locale=request.locale,
    )


def _parse_moment(field: str, moment: datetime) -> datetime:
    try:
        return truncate_to_ms(assume_utc(moment))
    except OverflowError:
        raise Invalid(field, "is too far from today") from None


def _check_times(
    faults: Faults, scheduled_at: datetime | None, expires_at: datetime | None, now: datetime
) -> None:
    """The rules of time. Where ``scheduled_at`` has a fault, ``expires_at`` has to fit some time at which it could be sent."""
    if (
        scheduled_at is not None
        and not now - SCHEDULE_GRACE <= scheduled_at <= now + SCHEDULE_HORIZON
    ):
        faults.add("scheduled_at", "must not lie in the past, nor more than a year ahead")
    if expires_at is not None:
        first = last = _send_at(scheduled_at, now)
        if "scheduled_at" in faults:
            first, last = now, now + SCHEDULE_HORIZON
        if not first + MIN_LINK_LIFETIME <= expires_at <= last + MAX_LINK_LIFETIME:
            faults.add("expires_at", "must lie 5 minutes to 365 days after the link is sent")


def _send_at(scheduled_at: datetime | None, now: datetime) -> datetime:
    """When the link's e-mail goes out: a schedule that has just passed means now."""
    return max(scheduled_at or now, now)


def page_path(link_id: str) -> str:
    """The path of the link's page under ``PUBLIC_URL``; both together are the link's ``url``."""
    return f"{PAGES_PATH}/{link_id}"
