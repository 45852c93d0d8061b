"""A request to create a link: the rules for its values, and the link that it makes."""

from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

import msgspec

from service.errors import Faults
from service.links.model import Delivery, DeliveryState, Link
from service.otps.model import parse_code
from service.values.email import canonical, parse_email
from service.values.ids import make_link_id, parse_org_id
from service.values.languages import parse_locale
from service.values.money import check_range, parse_amount, parse_currency
from service.values.reminders import Reminder, parse_reminders
from service.values.text import parse_line
from service.values.time import parse_request_time, to_utc_ms

MAX_TRANSACTION_ID_CHARACTERS = 128
MAX_DESCRIPTION_CHARACTERS = 200
MAX_METADATA_KEYS = 20
MAX_METADATA_KEY_CHARACTERS, MAX_METADATA_VALUE_CHARACTERS = 40, 256
SCHEDULE_GRACE = timedelta(seconds=60)
"""How far in the past a time of sending may lie, since clocks differ."""
MAX_SCHEDULE_AHEAD = timedelta(days=365)
MIN_LINK_LIFETIME = timedelta(minutes=5)
MAX_LINK_LIFETIME = timedelta(days=365)
SCHEDULE_RULE = "must not lie in the past, nor more than a year ahead"
EXPIRY_RULE = "must lie 5 minutes to 365 days after the link is sent"


class OnConflict(StrEnum):
    """What becomes of a new link whose transaction has an active or paid link already.

    ``supersede``: it takes the place of all of them, none of which may be paid, not even in part.
    """

    ALLOW = "allow"
    ERROR = "error"
    SUPERSEDE = "supersede"


class LinkRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request to create a link.

    ``otp`` is a code that the recipient has verified. Without ``expires_at``, the link lives for
    the ``ttl`` of ``build_link``.
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
    description: str | None = None
    metadata: dict[str, str] = {}
    accept_partial: bool = False
    reminders: tuple[Reminder, ...] | None = None
    on_conflict: OnConflict = OnConflict.ALLOW

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

    ``build_link`` checks the times: a request may be repeated after they have passed.

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
        scheduled_at=faults.check(parse_request_time, request.scheduled_at, "scheduled_at"),
        expires_at=faults.check(parse_request_time, request.expires_at, "expires_at"),
        otp_required=request.otp_required or request.otp is not None,
        locale=faults.check(parse_locale, request.locale),
        description=faults.check(parse_description, request.description),
        metadata=faults.check(parse_metadata, request.metadata) or {},
        reminders=faults.check(parse_reminders, request.reminders),
    )
    if request.accept_partial and request.payment_amount is None:
        faults.add("accept_partial", "needs a payment_amount")
    if request.on_conflict is not OnConflict.ALLOW and request.transaction_id is None:
        faults.add("on_conflict", "needs a transaction_id")
    if faults.found:
        _check_times(faults, parsed.scheduled_at, parsed.expires_at, to_utc_ms(now))
        faults.raise_if_any()
    return parsed


def build_link(
    request: LinkRequest, *, created_by: str, entropy: bytes, now: datetime, ttl: timedelta
) -> Link:
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
        delivery=Delivery(queued) if request.notify else Delivery(DeliveryState.NONE, sends=0),
        locale=request.locale,
        description=request.description,
        metadata=request.metadata,
        created_by=created_by,
        accept_partial=request.accept_partial,
        reminders=request.reminders,
    )


def parse_description(text: str) -> str:
    """``text`` unchanged if it is a line that a customer can read.

    Raises:
        Invalid
    """
    return parse_line(text, "description", MAX_DESCRIPTION_CHARACTERS)


def parse_metadata(metadata: dict[str, str]) -> dict[str, str]:
    """``metadata`` unchanged: up to 20 keys, each a line, with values of up to 256 characters.

    Raises:
        Invalid
    """
    faults = Faults()
    if len(metadata) > MAX_METADATA_KEYS:
        faults.add("metadata", f"must have at most {MAX_METADATA_KEYS} keys")
    for key, value in metadata.items():
        faults.check(parse_line, key, "metadata", MAX_METADATA_KEY_CHARACTERS)
        if len(value) > MAX_METADATA_VALUE_CHARACTERS:
            at_most = f"must have at most {MAX_METADATA_VALUE_CHARACTERS} characters"
            faults.add(f"metadata[{key[:MAX_METADATA_KEY_CHARACTERS]}]", at_most)
    faults.raise_if_any()
    return metadata


def _parse_amount(faults: Faults, amount: Decimal | None, currency: str | None) -> Decimal | None:
    if "currency" in faults:  # the number of decimals depends on it
        return faults.check(check_range, amount)
    return faults.check(parse_amount, amount, currency)


def check_scheduled_at(faults: Faults, scheduled_at: datetime | None, now: datetime) -> None:
    """Checks that a link can be sent at ``scheduled_at``; None means at once."""
    if (
        scheduled_at is not None
        and not now - SCHEDULE_GRACE <= scheduled_at <= now + MAX_SCHEDULE_AHEAD
    ):
        faults.add("scheduled_at", SCHEDULE_RULE)


def _check_times(
    faults: Faults, scheduled_at: datetime | None, expires_at: datetime | None, now: datetime
) -> None:
    """Checks the rules that depend on the time.

    If ``scheduled_at`` has a fault, ``expires_at`` must fit at least one possible send time.
    """
    check_scheduled_at(faults, scheduled_at, now)
    if expires_at is not None:
        first = last = _send_at(scheduled_at, now)
        if "scheduled_at" in faults:
            first, last = now, now + MAX_SCHEDULE_AHEAD
        if not first + MIN_LINK_LIFETIME <= expires_at <= last + MAX_LINK_LIFETIME:
            faults.add("expires_at", EXPIRY_RULE)


def _send_at(scheduled_at: datetime | None, now: datetime) -> datetime:
    """When the link's e-mail is sent: now, if ``scheduled_at`` has just passed."""
    return max(scheduled_at or now, now)
