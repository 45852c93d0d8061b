"""The payment link: the rules for its values, its status, and its end."""

from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

import msgspec

from service.errors import Faults, Invalid
from service.otps.model import parse_code
from service.values.email import canonical, parse_email
from service.values.ids import make_link_id, parse_org_id
from service.values.languages import parse_locale
from service.values.money import check_range, parse_amount, parse_currency
from service.values.text import parse_line
from service.values.time import assume_utc, to_utc_ms

MAX_TRANSACTION_ID_CHARACTERS = 128
PAGES_PATH = "/pay"
"""The path of the customers' pages, under ``PUBLIC_URL``."""
SCHEDULE_GRACE = timedelta(seconds=60)
"""How far in the past a time of sending may lie, since clocks differ."""
MAX_SCHEDULE_AHEAD = timedelta(days=365)
MIN_LINK_LIFETIME = timedelta(minutes=5)
MAX_LINK_LIFETIME = timedelta(days=365)


class Status(StrEnum):
    """Computed from a link's times whenever it is read; never stored."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


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
        """The e-mail in the form that is compared and indexed."""
        return canonical(self.email)

    @property
    def due_at(self) -> datetime:
        return self.scheduled_at or self.created_at

    @property
    def ended_at(self) -> datetime:
        """When it ended, or will end."""
        return min(self.revoked_at or self.expires_at, self.expires_at)

    def status(self, now: datetime) -> Status:
        """Its status at ``now``. At ``expires_at`` it has expired."""
        if self.revoked_at is not None:
            return Status.REVOKED
        return Status.ACTIVE if now < self.expires_at else Status.EXPIRED


class LinkRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request to create a link.

    ``otp`` is a code that the recipient has verified. Without ``expires_at``, the link lives for
    the ``ttl`` of ``create``.
    """

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
    def normalized(self) -> "LinkRequest":
        """Equal for all requests for the same link, however they spell it.

        Its JSON leaves out defaults, so that a field which a later version adds changes nothing.
        """
        amount = self.payment_amount
        return msgspec.structs.replace(
            self,
            email=canonical(self.email),
            payment_amount=None if amount is None else amount.normalize(),
        )


def validate_request(
    request: LinkRequest, *, now: datetime, faults: Faults | None = None
) -> LinkRequest:
    """``request`` with its values checked, and in the form in which they are stored.

    ``create`` checks the times: a request may be repeated after they have passed.

    Args:
        request: What the caller sent. A required value that could not be read is None.
        now: The time at which its times are checked if it has faults, to name all of them.
        faults: Those that the caller has found already.

    Raises:
        Invalid: values break their rules.
    """
    faults = faults or Faults()
    faults.check(parse_org_id, request.org_id)
    faults.check(parse_email, request.email)
    faults.check(
        parse_line, request.transaction_id, "transaction_id", MAX_TRANSACTION_ID_CHARACTERS
    )
    faults.check(parse_code, request.otp)
    currency = faults.check(parse_currency, request.currency)
    parsed = msgspec.structs.replace(
        request,
        currency=currency,
        payment_amount=_parse_amount(faults, request.payment_amount, currency),
        scheduled_at=faults.check(_parse_time, request.scheduled_at, "scheduled_at"),
        expires_at=faults.check(_parse_time, request.expires_at, "expires_at"),
        otp_required=request.otp_required or request.otp is not None,
        locale=faults.check(parse_locale, request.locale),
    )
    if faults.found:
        _check_times(faults, parsed.scheduled_at, parsed.expires_at, to_utc_ms(now))
        faults.raise_if_any()
    return parsed


def create(request: LinkRequest, *, entropy: bytes, now: datetime, ttl: timedelta) -> Link:
    """A new link, made at ``now``, with an id made of ``entropy`` (24 random bytes or more).

    Raises:
        Invalid: a time breaks its rule.
    """
    now, faults = to_utc_ms(now), Faults()
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


def _parse_amount(faults: Faults, amount: Decimal | None, currency: str | None) -> Decimal | None:
    if "currency" in faults:  # the number of decimals depends on it
        return faults.check(check_range, amount)
    return faults.check(parse_amount, amount, currency)


def _parse_time(time: datetime, field: str) -> datetime:
    try:
        return to_utc_ms(assume_utc(time))
    except OverflowError:
        raise Invalid(field, "is too far from today") from None


def _check_times(
    faults: Faults, scheduled_at: datetime | None, expires_at: datetime | None, now: datetime
) -> None:
    """Checks the rules that depend on the time.

    If ``scheduled_at`` has a fault, ``expires_at`` must fit at least one possible send time.
    """
    if (
        scheduled_at is not None
        and not now - SCHEDULE_GRACE <= scheduled_at <= now + MAX_SCHEDULE_AHEAD
    ):
        faults.add("scheduled_at", "must not lie in the past, nor more than a year ahead")
    if expires_at is not None:
        first = last = _send_at(scheduled_at, now)
        if "scheduled_at" in faults:
            first, last = now, now + MAX_SCHEDULE_AHEAD
        if not first + MIN_LINK_LIFETIME <= expires_at <= last + MAX_LINK_LIFETIME:
            faults.add("expires_at", "must lie 5 minutes to 365 days after the link is sent")


def _send_at(scheduled_at: datetime | None, now: datetime) -> datetime:
    """When the link's e-mail is sent: now, if ``scheduled_at`` has just passed."""
    return max(scheduled_at or now, now)


def page_path(link_id: str) -> str:
    """The path of the link's page under ``PUBLIC_URL``; both together are the link's ``url``."""
    return f"{PAGES_PATH}/{link_id}"
