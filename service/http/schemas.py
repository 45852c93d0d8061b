"""What the service answers. Times are UTC, with three decimals."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from service.http.request_bodies import Amount, Colour
from service.links.model import DeliveryState, Link, Status
from service.values.email import mask
from service.values.ids import ID_PATTERN
from service.values.time import format_time

KnownId = Annotated[str, Meta(pattern=f"^{ID_PATTERN}$")]
Timestamp = Annotated[
    str, Meta(examples=["2026-12-01T09:00:00.000Z"], extra_json_schema={"format": "date-time"})
]
"""A time in an answer: in UTC, with three decimals."""
UnreadablePartitions = Annotated[
    list[str],
    Meta(
        description="Partitions that are left out, in whole or in part: a key in Redis holds something else. None as a rule."
    ),
]


class DeliveryBody(Struct, frozen=True, kw_only=True):
    """What became of the link's e-mail. ``error`` holds the mail server's words, for admins of the organization only."""

    state: DeliveryState
    attempts: int
    sent_at: Timestamp | None
    error: str | msgspec.UnsetType | None = msgspec.UNSET


class LinkBody(Struct, frozen=True, kw_only=True):
    """A payment link."""

    id: KnownId
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
    """What of a gated link needs no proof."""

    id: KnownId
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
    """The same of a gated link, for whoever has not proved to be its customer."""

    valid: bool
    status: Status
    link: MaskedLink


class Revocation(Struct, frozen=True):
    """Ids of the links that were active until now."""

    revoked: int
    links: list[KnownId]


class Counts(Struct, frozen=True):
    active: int
    expired: int
    revoked: int


class LinkPage(Struct, frozen=True):
    total: int
    counts: Counts
    links: list[LinkBody]
    next_cursor: str | None


class OtpSent(Struct, frozen=True):
    """In seconds: how long the code is good, and when another may be asked for."""

    expires_in: int
    resend_after: int


class CustomerToken(Struct, frozen=True):
    token: str
    token_type: str
    expires_in: int


class QrFormat(StrEnum):
    """What a QR code is drawn as: of any size, or in pixels."""

    SVG = "svg"
    PNG = "png"


class ProfileBody(Struct, frozen=True, kw_only=True):
    """How mails and pages present an organization."""

    display_name: str | None
    colour: Colour | None
    logo: str | None
    reply_to: str | None
    locale: str | None
    time_zone: str | None


class Dispatch(Struct, frozen=True):
    """Of the links scheduled in [``from``, ``to``): how many were still to be e-mailed, and how many of them now are queued."""

    start: Timestamp = field(name="from")
    end: Timestamp = field(name="to")
    due: int
    queued: int
    unreadable_partitions: UnreadablePartitions


class Health(Struct, frozen=True):
    status: str


class Reason(StrEnum):
    """Why the service is ``degraded``. ``service/process/README.md`` explains each."""

    WORKER_LINKS_AWAY = "worker_links_away"
    WORKER_OTPS_AWAY = "worker_otps_away"
    SCHEDULER_AWAY = "scheduler_away"
    PROCESS_STALLED = "process_stalled"
    CLOCK_SKEW = "clock_skew"
    DATA_UNREADABLE = "data_unreadable"
    OTP_SENDS_LIMITED = "otp_sends_limited"
    DISK_ALMOST_FULL = "disk_almost_full"


class Readiness(Struct, frozen=True):
    """``degraded``: the API serves, but something needs an operator, and ``reasons`` names it; ``ok``: there are none.

    ``heartbeats`` are how many seconds ago each process of a kind was last alive.
    """

    status: str
    redis: str
    reasons: list[Reason]
    heartbeats: dict[str, list[float]]
    unsent: int
    oldest_unsent_seconds: float | None


class OrgPage(Struct, frozen=True):
    """Ids of organizations, and how many there are with that prefix."""

    total: int
    orgs: list[str]
    unreadable_partitions: UnreadablePartitions


class FailedDelivery(Struct, frozen=True, kw_only=True):
    """A link whose e-mail was given up, and why."""

    id: KnownId
    org_id: str
    email: str
    transaction_id: str | None
    error: str
    failed_at: Timestamp


class Outbox(Struct, frozen=True, kw_only=True):
    """E-mails that are due and not out, those that are due later, and those given up in the last ``RETENTION``.

    ``jobs_waiting`` is the depth of each queue, null where RQ's Redis does not answer.
    """

    unsent: int
    oldest_unsent_seconds: float | None
    scheduled: int
    jobs_waiting: dict[str, int | None]
    failed: int
    failures: list[FailedDelivery]
    unreadable_partitions: UnreadablePartitions


class FieldError(Struct, frozen=True):
    field: str
    message: str


class Problem(Struct, frozen=True, kw_only=True):
    """Any error (RFC 9457). ``code`` is stable; ``errors`` is there where fields are at fault."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldError] | msgspec.UnsetType = msgspec.UNSET


def link_body(link: Link, *, now: datetime, public_url: str, for_admin: bool) -> LinkBody:
    """``link`` as it is at ``now``, with what only admins of its organization see, or without it."""
    delivery, scheduled_at, revoked_at, sent_at = (
        link.delivery,
        link.scheduled_at,
        link.revoked_at,
        link.delivery.sent_at,
    )
    return LinkBody(
        id=link.id,
        url=f"{public_url}/pay/{link.id}",
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
    """What anyone may know of a gated link."""
    return MaskedLink(
        id=link.id,
        status=link.status(now),
        expires_at=format_time(link.expires_at),
        otp_required=link.otp_required,
        email=mask(link.email),
    )


def encode_hook(value: Any) -> Any:
    """Writes an ``Amount`` as the decimal it is."""
    if isinstance(value, Amount):
        return Decimal(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


ENCODER = msgspec.json.Encoder(decimal_format="number", enc_hook=encode_hook)
"""Writes every response: amounts as numbers, digit for digit."""
