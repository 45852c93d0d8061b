"""What goes over the wire. Times without an offset are UTC; unknown fields are refused."""

from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from service.domain.email import mask
from service.domain.link import ID_PATTERN, ORG_ID_PATTERN, Delivery, Link, Status
from service.domain.locale import LOCALE_PATTERN
from service.domain.profile import COLOUR_PATTERN, LARGEST_LOGO, LOGO_PATTERN, LONGEST_NAME

Email = Annotated[str, Meta(max_length=254, examples=["jane@example.com"], extra_json_schema={"format": "idn-email"})]
OrgId = Annotated[str, Meta(pattern=f"^{ORG_ID_PATTERN}$", max_length=64, examples=["acme"])]
LinkId = Annotated[str, Meta(examples=["pl_3fUgF8kQ2mZpR7sT1vXyW4aB"], extra_json_schema={"pattern": f"^{ID_PATTERN}$"})]
"""One that cannot be is not found, as one that never was: 404, not 422. So the pattern is described, but not checked."""
KnownId = Annotated[str, Meta(pattern=f"^{ID_PATTERN}$")]
Moment = Annotated[datetime, Meta(extra_json_schema={"format": "date-time"})]
Code = Annotated[str, Meta(pattern="^[0-9]{6}$", max_length=6, examples=["042817"])]
Tag = Annotated[str, Meta(pattern=f"^{LOCALE_PATTERN}$", max_length=5, examples=["en", "pt-BR"])]
"""Of a language that we write (BCP 47)."""
Colour = Annotated[str, Meta(pattern=f"^{COLOUR_PATTERN}$", max_length=7, examples=["#1f5eff"])]
LONGEST_LOGO = 4 * (LARGEST_LOGO // 3 + 1) + len("data:image/jpeg;base64,")
PRINTABLE = r"^[^\x00-\x1f\x7f-\xa0\xad]*$"
"""Roughly: the rest of what Unicode does not print cannot be said in a portable pattern."""
DateOrMoment = Annotated[
    str,
    Meta(
        max_length=40,
        examples=["2026-12-01", "2026-12-01T09:00:00Z"],
        extra_json_schema={"format": "date-time"},
    ),
]


class Amount(Decimal):
    """A JSON number, read digit for digit."""


class Request(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A request body. Written again (for its digest) it omits defaults, so that a field which is added later changes nothing."""


class CreateLink(Request, frozen=True, kw_only=True):
    """A payment link to be made."""

    email: Email
    org_id: OrgId
    transaction_id: Annotated[str, Meta(min_length=1, max_length=128, extra_json_schema={"pattern": PRINTABLE})] | None = None
    payment_amount: Amount | None = None
    currency: Annotated[str, Meta(pattern="^[A-Za-z]{3}$", max_length=3, examples=["NGN"])] | None = None
    scheduled_at: Moment | None = None
    expires_at: Moment | None = None
    otp: Code | None = None
    otp_required: bool = False
    notify: bool = True
    locale: Tag | None = None


class VerifyLink(Request, frozen=True):
    link_id: LinkId


class RevokeLinks(Request, frozen=True):
    email: Email | None = None


class RevokeRecipient(Request, frozen=True):
    email: Email


class SendOtp(Request, frozen=True):
    email: Email


class SubmitOtp(Request, frozen=True):
    email: Email
    otp: Code


class PutProfile(Request, frozen=True, kw_only=True):
    """How an organization presents itself. What is left out is null."""

    display_name: Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME, extra_json_schema={"pattern": PRINTABLE})] | None = (
        None
    )
    colour: Colour | None = None
    logo: Annotated[str, Meta(max_length=LONGEST_LOGO, extra_json_schema={"pattern": f"^{LOGO_PATTERN}$"})] | None = None
    reply_to: Email | None = None
    locale: Tag | None = None


class DispatchWindow(Request, frozen=True):
    """``scheduled_at`` (default: now) is a time, or a date, which means its first moment in UTC; ``period`` is in hours."""

    scheduled_at: DateOrMoment | None = None
    period: Annotated[int, Meta(ge=1, le=720)] = 24


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
    scheduled_at: Moment | None
    created_at: Moment
    expires_at: Moment
    revoked_at: Moment | None
    delivery: Delivery


class MaskedLink(Struct, frozen=True, kw_only=True):
    """What of a gated link needs no proof."""

    id: KnownId
    status: Status
    expires_at: Moment
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


class Dispatch(Struct, frozen=True):
    """Of the links scheduled in [``from``, ``to``): how many were still to be e-mailed, and how many of them now are queued."""

    start: Moment = field(name="from")
    end: Moment = field(name="to")
    due: int
    queued: int


class Health(Struct, frozen=True):
    status: str


class Reason(StrEnum):
    """Why the service is ``degraded``. README's "Operation" explains each."""

    WORKER_LINKS_AWAY = "worker_links_away"
    WORKER_OTPS_AWAY = "worker_otps_away"
    SCHEDULER_AWAY = "scheduler_away"


class Readiness(Struct, frozen=True):
    """``degraded``: the API serves, but something needs an operator, and ``reasons`` names it; ``ok``: there are none.

    Heartbeats are in seconds ago, null when away.
    """

    status: str
    redis: str
    reasons: list[Reason]
    heartbeats: dict[str, float | None]
    unsent: int
    oldest_unsent_seconds: float | None


class OrgPage(Struct, frozen=True):
    """Ids of organizations, and how many there are with that prefix."""

    total: int
    orgs: list[str]


class FailedDelivery(Struct, frozen=True, kw_only=True):
    """A link whose e-mail was given up, and why."""

    id: KnownId
    org_id: str
    email: str
    transaction_id: str | None
    error: str
    failed_at: Moment


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


def link_body(link: Link, *, now: datetime, public_url: str) -> LinkBody:
    """``link`` as it is at ``now``."""
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
        scheduled_at=link.scheduled_at,
        created_at=link.created_at,
        expires_at=link.expires_at,
        revoked_at=link.revoked_at,
        delivery=link.delivery,
    )


def masked_link(link: Link, *, now: datetime) -> MaskedLink:
    """What anyone may know of a gated link."""
    return MaskedLink(
        id=link.id,
        status=link.status(now),
        expires_at=link.expires_at,
        otp_required=link.otp_required,
        email=mask(link.email),
    )


def in_utc(moment: datetime | None) -> datetime | None:
    """``moment``, which is in UTC where it does not say."""
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def decode_hook(kind: type[Any], value: Any) -> Any:
    """Reads an ``Amount`` from a number, never from a string."""
    if kind is Amount and isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Amount(value)
    raise ValueError(f"Expected `number | null`, got `{type(value).__name__}`")


def encode_hook(value: Any) -> Any:
    """Writes an ``Amount`` as the decimal it is."""
    if isinstance(value, Amount):
        return Decimal(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


ENCODER = msgspec.json.Encoder(decimal_format="number", enc_hook=encode_hook)
"""Writes every response: amounts as numbers, digit for digit."""
