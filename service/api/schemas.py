"""What goes over the wire. Times without an offset are UTC; unknown fields are refused."""

from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from service.domain.email import mask, parse_email
from service.domain.errors import Faults
from service.domain.link import (
    ID_PATTERN,
    MAX_TRANSACTION_ID,
    ORG_ID_PATTERN,
    DeliveryState,
    Link,
    LinkRequest,
    Status,
    parse_request,
)
from service.domain.locale import LOCALE_PATTERN
from service.domain.otp import parse_code
from service.domain.profile import COLOUR_PATTERN, LARGEST_LOGO, LOGO_PATTERN, LONGEST_NAME, Profile, parse_profile
from service.domain.text import LINE_PATTERN
from service.domain.time import MAX_ZONE_NAME, format_time, in_utc, to_millisecond

Email = Annotated[str, Meta(examples=["jane@example.com"], extra_json_schema={"format": "idn-email", "maxLength": 254})]
OrgId = Annotated[str, Meta(examples=["acme"], extra_json_schema={"pattern": f"^{ORG_ID_PATTERN}$", "maxLength": 64})]
LinkId = Annotated[str, Meta(examples=["pl_3fUgF8kQ2mZpR7sT1vXyW4aB"], extra_json_schema={"pattern": f"^{ID_PATTERN}$"})]
"""One that cannot be is not found, as one that never was: 404, not 422."""
KnownId = Annotated[str, Meta(pattern=f"^{ID_PATTERN}$")]
Timestamp = Annotated[str, Meta(examples=["2026-12-01T09:00:00.000Z"], extra_json_schema={"format": "date-time"})]
"""A time in an answer: in UTC, with three decimals."""
Time = Annotated[
    datetime,
    Meta(
        description="Any form of ISO 8601. A date means its first moment; without an offset it is UTC.",
        examples=["2026-12-01T09:00:00Z"],
        extra_json_schema={"format": "date-time"},
    ),
]
"""A time in a request. The format is narrower than what is taken: it has generated clients give a time, not a text."""
Code = Annotated[str, Meta(examples=["042817"], extra_json_schema={"pattern": "^[0-9]{6}$", "maxLength": 6})]
Tag = Annotated[str, Meta(examples=["en", "pt-BR"], extra_json_schema={"pattern": f"^{LOCALE_PATTERN}$", "maxLength": 5})]
"""Of a language that we write (BCP 47)."""
TimeZone = Annotated[
    str,
    Meta(
        description="A name of the IANA time zone database.",
        examples=["Africa/Lagos"],
        extra_json_schema={"maxLength": MAX_ZONE_NAME},
    ),
]
Colour = Annotated[str, Meta(examples=["#1f5eff"], extra_json_schema={"pattern": f"^{COLOUR_PATTERN}$", "maxLength": 7})]
LONGEST_LOGO = 4 * (LARGEST_LOGO // 3 + 1) + len("data:image/jpeg;base64,")
TransactionId = Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": MAX_TRANSACTION_ID, "pattern": LINE_PATTERN})]
Currency = Annotated[str, Meta(examples=["NGN"], extra_json_schema={"pattern": "^[A-Za-z]{3}$", "maxLength": 3})]
DisplayName = Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": LONGEST_NAME, "pattern": LINE_PATTERN})]
Logo = Annotated[str, Meta(extra_json_schema={"maxLength": LONGEST_LOGO, "pattern": f"^{LOGO_PATTERN}$"})]
LONGEST_WINDOW = 720
Hours = Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": LONGEST_WINDOW})]


UnreadablePartitions = Annotated[
    list[str],
    Meta(description="Partitions that are left out, in whole or in part: a key in Redis holds something else. None as a rule."),
]


class Amount(Decimal):
    """A JSON number, read digit for digit."""


class Request(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A request body. msgspec checks the JSON types of its fields; their rules are the domain's, and are described here only."""

    def check(self, now: datetime, faults: Faults) -> None:
        """Checks the domain's rules. A field that could not be read is among ``faults``, and None here if it is required.

        Raises:
            Invalid: there are faults.
        """
        faults.raise_if_any()


class CreateLink(Request, frozen=True, kw_only=True):
    """A payment link to be made."""

    email: Email
    org_id: OrgId
    transaction_id: TransactionId | None = None
    payment_amount: Amount | None = None
    currency: Currency | None = None
    scheduled_at: Time | None = None
    expires_at: Time | None = None
    otp: Code | None = None
    otp_required: bool | None = False
    notify: bool | None = True
    locale: Tag | None = None

    def check(self, now: datetime, faults: Faults) -> None:
        self.understood(now, faults)

    def understood(self, now: datetime, faults: Faults | None = None) -> LinkRequest:
        """The link that is asked for.

        Raises:
            Invalid: fields break their rules.
        """
        return parse_request(
            now=now,
            org_id=self.org_id,
            email=self.email,
            transaction_id=self.transaction_id,
            payment_amount=self.payment_amount,
            currency=self.currency,
            scheduled_at=self.scheduled_at,
            expires_at=self.expires_at,
            otp=self.otp,
            otp_required=self.otp_required is True,
            notify=self.notify is not False,
            locale=self.locale,
            faults=faults,
        )


class VerifyLink(Request, frozen=True):
    link_id: LinkId


class RevokeLinks(Request, frozen=True):
    email: Email | None = None

    def check(self, now: datetime, faults: Faults) -> None:
        _check_recipient(self.email, faults)


class RevokeRecipient(Request, frozen=True):
    email: Email

    def check(self, now: datetime, faults: Faults) -> None:
        _check_recipient(self.email, faults)


class SendOtp(Request, frozen=True):
    email: Email

    def check(self, now: datetime, faults: Faults) -> None:
        _check_recipient(self.email, faults)


class SubmitOtp(Request, frozen=True):
    email: Email
    otp: Code

    def check(self, now: datetime, faults: Faults) -> None:
        if "otp" not in faults:
            faults.check(parse_code, self.otp)
        _check_recipient(self.email, faults)


class PutProfile(Request, frozen=True, kw_only=True):
    """How an organization presents itself. What is left out is null."""

    display_name: DisplayName | None = None
    colour: Colour | None = None
    logo: Logo | None = None
    reply_to: Email | None = None
    locale: Tag | None = None
    time_zone: TimeZone | None = None

    def check(self, now: datetime, faults: Faults) -> None:
        self.understood(faults)

    def understood(self, faults: Faults | None = None) -> Profile:
        """The profile as it is kept.

        Raises:
            Invalid: fields break their rules.
        """
        profile = Profile(
            display_name=self.display_name,
            colour=self.colour,
            logo=self.logo,
            reply_to=self.reply_to,
            locale=self.locale,
            time_zone=self.time_zone,
        )
        return parse_profile(profile, faults)


class DispatchWindow(Request, frozen=True):
    """``scheduled_at`` defaults to now; ``period`` is in hours."""

    scheduled_at: Time | None = None
    period: Hours | None = 24

    def check(self, now: datetime, faults: Faults) -> None:
        self.understood(now, faults)

    def understood(self, now: datetime, faults: Faults | None = None) -> tuple[datetime, datetime]:
        """The first moment of the window, and the first after it.

        Raises:
            Invalid: fields break their rules.
        """
        faults = Faults() if faults is None else faults
        start, hours = in_utc(self.scheduled_at or now), 24 if self.period is None else self.period
        if not 2000 <= start.year < 9000:
            faults.add("scheduled_at", "is too far from today")
        if not 1 <= hours <= LONGEST_WINDOW:
            faults.add("period", f"must be a whole number of hours from 1 to {LONGEST_WINDOW}")
        faults.raise_if_any()
        start = to_millisecond(start)
        return start, start + timedelta(hours=hours)


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
    """Why the service is ``degraded``. README's "Operation" explains each."""

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
    delivery, scheduled_at, revoked_at, sent_at = link.delivery, link.scheduled_at, link.revoked_at, link.delivery.sent_at
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


def _check_recipient(email: str | None, faults: Faults) -> None:
    if email is not None:
        faults.check(parse_email, email)
    faults.raise_if_any()


def decode_hook(kind: type[Any], value: Any) -> Any:
    """Reads an ``Amount`` from a number, never from a string."""
    if kind is Amount and isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Amount(value)
    raise ValueError("is no number")


def encode_hook(value: Any) -> Any:
    """Writes an ``Amount`` as the decimal it is."""
    if isinstance(value, Amount):
        return Decimal(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


ENCODER = msgspec.json.Encoder(decimal_format="number", enc_hook=encode_hook)
"""Writes every response: amounts as numbers, digit for digit."""
