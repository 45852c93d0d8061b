"""Links on the wire: request bodies and answers, each with an example."""

from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, field

from service.errors import Faults
from service.http.fields import (
    EXAMPLE_EMAIL,
    EXAMPLE_LINK_ID,
    EXAMPLE_ORG_ID,
    EXAMPLE_TIME,
    Amount,
    Email,
    LanguageTag,
    LinkId,
    OrgId,
    Time,
    Timestamp,
    UnreadablePartitions,
)
from service.http.schemas import RequestBody, parse_recipient
from service.links.model import (
    MAX_TRANSACTION_ID_CHARACTERS,
    DeliveryState,
    Link,
    LinkRequest,
    Status,
    page_path,
    validate_request,
)
from service.otps.schemas import Code
from service.values.email import mask
from service.values.text import LINE_PATTERN
from service.values.time import assume_utc, format_time, to_utc_ms

MAX_WINDOW_HOURS = 720

TransactionId = Annotated[
    str,
    Meta(
        extra_json_schema={
            "minLength": 1,
            "maxLength": MAX_TRANSACTION_ID_CHARACTERS,
            "pattern": LINE_PATTERN,
        }
    ),
]
CurrencyCode = Annotated[
    str, Meta(examples=["NGN"], extra_json_schema={"pattern": "^[A-Za-z]{3}$", "maxLength": 3})
]
Hours = Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": MAX_WINDOW_HOURS})]


class CreateLink(RequestBody, frozen=True, kw_only=True):
    """A payment link to be made."""

    email: Email
    org_id: OrgId
    transaction_id: TransactionId | None = None
    payment_amount: Amount | None = None
    currency: CurrencyCode | None = None
    scheduled_at: Time | None = None
    expires_at: Time | None = None
    otp: Code | None = None
    otp_required: bool | None = False
    notify: bool | None = True
    locale: LanguageTag | None = None

    def parse(self, now: datetime, faults: Faults | None = None) -> LinkRequest:
        """The request with every value checked and normalized."""
        fields = msgspec.structs.asdict(self)
        fields |= {"otp_required": bool(self.otp_required), "notify": self.notify is not False}
        return validate_request(LinkRequest(**fields), now=now, faults=faults)


class VerifyLink(RequestBody, frozen=True):
    link_id: LinkId


class RevokeLinks(RequestBody, frozen=True):
    email: Email | None = None

    def parse(self, now: datetime, faults: Faults | None = None) -> str | None:
        """The canonical address whose links are revoked; None for all of the organization's."""
        if self.email is not None:
            return parse_recipient(self.email, faults)
        super().parse(now, faults)
        return None


class RevokeRecipient(RequestBody, frozen=True):
    email: Email

    def parse(self, now: datetime, faults: Faults | None = None) -> str:
        """The canonical address whose links are revoked."""
        return parse_recipient(self.email, faults)


class DispatchWindow(RequestBody, frozen=True):
    """``scheduled_at`` defaults to now; ``period`` is in hours."""

    scheduled_at: Time | None = None
    period: Hours | None = 24

    def parse(self, now: datetime, faults: Faults | None = None) -> tuple[datetime, datetime]:
        """The first moment of the window, and the first after it."""
        faults = faults or Faults()
        start, hours = (
            assume_utc(self.scheduled_at or now),
            24 if self.period is None else self.period,
        )
        if not 2000 <= start.year < 9000:
            faults.add("scheduled_at", "is too far from today")
        if not 1 <= hours <= MAX_WINDOW_HOURS:
            faults.add("period", f"must be a whole number of hours from 1 to {MAX_WINDOW_HOURS}")
        faults.raise_if_any()
        start = to_utc_ms(start)
        return start, start + timedelta(hours=hours)


class DeliveryBody(Struct, frozen=True, kw_only=True):
    """The state of the link's e-mail.

    Only admins of the organization see ``error``, which holds the mail server's words.
    """

    state: DeliveryState
    attempts: int
    sent_at: Timestamp | None
    error: str | msgspec.UnsetType | None = msgspec.UNSET


class LinkBody(Struct, frozen=True, kw_only=True):
    """A payment link."""

    id: LinkId
    url: str
    org_id: str
    email: str
    transaction_id: str | None
    payment_amount: Decimal | None
    currency: str | None
    status: Status
    otp_required: bool
    locale: str | None
    scheduled_at: Timestamp | None
    created_at: Timestamp
    expires_at: Timestamp
    revoked_at: Timestamp | None
    delivery: DeliveryBody


class MaskedLink(Struct, frozen=True, kw_only=True):
    """The part of a gated link that needs no proof."""

    id: LinkId
    status: Status
    expires_at: Timestamp
    otp_required: bool
    email: str


class Verification(Struct, frozen=True):
    """Whether a link is good: neither expired nor revoked."""

    valid: bool
    status: Status
    link: LinkBody


class MaskedVerification(Struct, frozen=True):
    """The same of a gated link, for callers who have not proved to be its customer."""

    valid: bool
    status: Status
    link: MaskedLink


class Revocation(Struct, frozen=True):
    """Ids of the links that were active until now."""

    revoked: int
    links: list[LinkId]


class Counts(Struct, frozen=True):
    active: int
    expired: int
    revoked: int


class LinkPage(Struct, frozen=True):
    total: int
    counts: Counts
    links: list[LinkBody]
    next_cursor: str | None


class QrFormat(StrEnum):
    """The format of a QR code's picture: scalable, or in pixels."""

    SVG = "svg"
    PNG = "png"


class Dispatch(Struct, frozen=True):
    """Links scheduled in [``from``, ``to``): how many were ``due``, and how many are now queued."""

    start: Timestamp = field(name="from")
    end: Timestamp = field(name="to")
    due: int
    queued: int
    unreadable_partitions: UnreadablePartitions


def link_body(link: Link, *, now: datetime, public_url: str, for_admin: bool) -> LinkBody:
    """``link`` as it is at ``now``, with or without what only admins of its organization see."""
    delivery, scheduled_at, revoked_at, sent_at = (
        link.delivery,
        link.scheduled_at,
        link.revoked_at,
        link.delivery.sent_at,
    )
    return LinkBody(
        id=link.id,
        url=public_url + page_path(link.id),
        org_id=link.org_id,
        email=link.email,
        transaction_id=link.transaction_id,
        payment_amount=link.payment_amount,
        currency=link.currency,
        status=link.status(now),
        otp_required=link.otp_required,
        locale=link.locale,
        scheduled_at=None if scheduled_at is None else format_time(scheduled_at),
        created_at=format_time(link.created_at),
        expires_at=format_time(link.expires_at),
        revoked_at=None if revoked_at is None else format_time(revoked_at),
        delivery=DeliveryBody(
            state=delivery.state,
            attempts=delivery.attempts,
            sent_at=None if sent_at is None else format_time(sent_at),
            error=delivery.error if for_admin else msgspec.UNSET,
        ),
    )


def masked_link(link: Link, *, now: datetime) -> MaskedLink:
    """What anyone may see of a gated link."""
    return MaskedLink(
        id=link.id,
        status=link.status(now),
        expires_at=format_time(link.expires_at),
        otp_required=link.otp_required,
        email=mask(link.email),
    )


_EXAMPLE_EXPIRY = "2026-12-04T09:00:00.000Z"
EXAMPLE_LINK = LinkBody(
    id=EXAMPLE_LINK_ID,
    url=f"https://pay.example.com/pay/{EXAMPLE_LINK_ID}",
    org_id=EXAMPLE_ORG_ID,
    email=EXAMPLE_EMAIL,
    transaction_id="order-1138",
    payment_amount=Decimal("125000.50"),
    currency="NGN",
    status=Status.ACTIVE,
    otp_required=False,
    locale="en",
    scheduled_at=None,
    created_at=EXAMPLE_TIME,
    expires_at=_EXAMPLE_EXPIRY,
    revoked_at=None,
    delivery=DeliveryBody(
        state=DeliveryState.SENT, attempts=1, sent_at="2026-12-01T09:00:01.000Z", error=None
    ),
)
EXAMPLES: tuple[Struct, ...] = (
    CreateLink(
        email=EXAMPLE_EMAIL,
        org_id=EXAMPLE_ORG_ID,
        transaction_id="order-1138",
        payment_amount=Amount("125000.50"),
        currency="NGN",
    ),
    VerifyLink(EXAMPLE_LINK_ID),
    RevokeLinks(EXAMPLE_EMAIL),
    RevokeRecipient(EXAMPLE_EMAIL),
    DispatchWindow(period=48),
    EXAMPLE_LINK,
    Verification(valid=True, status=Status.ACTIVE, link=EXAMPLE_LINK),
    MaskedVerification(
        valid=True,
        status=Status.ACTIVE,
        link=MaskedLink(
            id=EXAMPLE_LINK_ID,
            status=Status.ACTIVE,
            expires_at=_EXAMPLE_EXPIRY,
            otp_required=True,
            email=mask(EXAMPLE_EMAIL),
        ),
    ),
    Revocation(1, [EXAMPLE_LINK_ID]),
    LinkPage(
        total=1,
        counts=Counts(active=1, expired=0, revoked=0),
        links=[EXAMPLE_LINK],
        next_cursor=None,
    ),
    Dispatch(
        start=EXAMPLE_TIME,
        end="2026-12-03T09:00:00.000Z",
        due=12,
        queued=12,
        unreadable_partitions=[],
    ),
)
