"""Links on the wire: request bodies and answers, each with an example."""

from datetime import UTC, datetime, timedelta
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
    Reminders,
    Time,
    Timestamp,
    UnavailablePartitions,
    UnreadablePartitions,
)
from service.http.schemas import RequestBody, parse_recipient
from service.links.link_body import (
    EXAMPLE_LINK,
    EXAMPLE_MASKED_LINK,
    LinkBody,
    MaskedLink,
)
from service.links.link_request import (
    MAX_DESCRIPTION_CHARACTERS,
    MAX_METADATA_KEY_CHARACTERS,
    MAX_METADATA_KEYS,
    MAX_METADATA_VALUE_CHARACTERS,
    MAX_TRANSACTION_ID_CHARACTERS,
    LinkRequest,
    OnConflict,
    validate_request,
)
from service.links.model import Status
from service.otps.schemas import Code
from service.values.reminders import Reminder
from service.values.text import LINE_PATTERN
from service.values.time import assume_utc, parse_request_time, to_utc_ms

MAX_WINDOW_HOURS, DEFAULT_WINDOW_HOURS = 720, 24

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
Description = Annotated[
    str,
    Meta(
        extra_json_schema={
            "minLength": 1,
            "maxLength": MAX_DESCRIPTION_CHARACTERS,
            "pattern": LINE_PATTERN,
        }
    ),
]
Metadata = Annotated[
    dict[str, str],
    Meta(
        description="For your own use: up to 20 keys of 40 characters, with values of 256.",
        extra_json_schema={
            "maxProperties": MAX_METADATA_KEYS,
            "propertyNames": {
                "type": "string",
                "minLength": 1,
                "maxLength": MAX_METADATA_KEY_CHARACTERS,
                "pattern": LINE_PATTERN,
            },
            "additionalProperties": {
                "type": "string",
                "maxLength": MAX_METADATA_VALUE_CHARACTERS,
            },
        },
    ),
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
    description: Description | None = None
    metadata: Metadata | None = None
    accept_partial: bool | None = False
    reminders: Reminders | None = None
    on_conflict: OnConflict | None = OnConflict.ALLOW

    def parse(self, now: datetime, faults: Faults | None = None) -> LinkRequest:
        """The request with every value checked and normalized."""
        fields = msgspec.structs.asdict(self)
        fields |= {
            "otp_required": bool(self.otp_required),
            "notify": self.notify is not False,
            "metadata": self.metadata or {},
            "accept_partial": bool(self.accept_partial),
            "reminders": None if self.reminders is None else tuple(self.reminders),
            "on_conflict": self.on_conflict or OnConflict.ALLOW,
        }
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
    period: Hours | None = DEFAULT_WINDOW_HOURS

    @property
    def normalized(self) -> "DispatchWindow":
        """Equal for all requests for the same window, however they spell it."""
        start = self.scheduled_at
        return DispatchWindow(
            None if start is None else to_utc_ms(assume_utc(start)),
            DEFAULT_WINDOW_HOURS if self.period is None else self.period,
        )

    def parse(self, now: datetime, faults: Faults | None = None) -> tuple[datetime, datetime]:
        """The first moment of the window, and the first after it."""
        faults = faults or Faults()
        start, hours = (
            assume_utc(self.scheduled_at or now),
            DEFAULT_WINDOW_HOURS if self.period is None else self.period,
        )
        if not 2000 <= start.year < 9000:
            faults.add("scheduled_at", "is too far from today")
        if not 1 <= hours <= MAX_WINDOW_HOURS:
            faults.add("period", f"must be a whole number of hours from 1 to {MAX_WINDOW_HOURS}")
        faults.raise_if_any()
        start = to_utc_ms(start)
        return start, start + timedelta(hours=hours)


class ResendLink(RequestBody, frozen=True):
    """Nothing: the mail goes to the link's e-mail."""


class ResendFailed(RequestBody, frozen=True):
    """Mails that failed earlier than ``since`` are left out."""

    since: Time | None = None

    def parse(self, now: datetime, faults: Faults | None = None) -> datetime | None:
        """The time from which failures count; None for all."""
        faults = faults or Faults()
        since = faults.check(parse_request_time, self.since, "since")
        faults.raise_if_any()
        return since


class Verification(Struct, frozen=True):
    """Whether a link is good: neither expired nor revoked nor paid."""

    valid: bool
    status: Status
    link: LinkBody


class MaskedVerification(Struct, frozen=True):
    """The same of a gated link, for callers who have not proved to be its customer."""

    valid: bool
    status: Status
    link: MaskedLink


class Revocation(Struct, frozen=True):
    """Ids of the links that were active until now.

    Where partitions are ``unavailable``, ask again: a recipient may still have active links there.
    """

    revoked: int
    links: list[LinkId]
    unavailable: UnavailablePartitions


class Counts(Struct, frozen=True):
    active: int
    expired: int
    revoked: int
    paid: int


class Resending(Struct, frozen=True):
    """How many mails of the link were asked for by now, and when another can be, in seconds."""

    sends: int
    resend_after: int


class FailedResending(Struct, frozen=True):
    """How many mails that had failed are queued again."""

    queued: int


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
    """Links scheduled in [``from``, ``to``): how many were ``due``, and how many are now queued.

    Where partitions are ``unavailable``, repeat the request, with the same ``Idempotency-Key`` if
    it had one: it queues the links there too.
    """

    start: Timestamp = field(name="from")
    end: Timestamp = field(name="to")
    due: int
    queued: int
    unreadable_partitions: UnreadablePartitions
    unavailable: UnavailablePartitions


EXAMPLES: tuple[Struct, ...] = (
    CreateLink(
        email=EXAMPLE_EMAIL,
        org_id=EXAMPLE_ORG_ID,
        transaction_id="order-1138",
        description="Office cleaning, November",
        payment_amount=Amount("125000.50"),
        currency="NGN",
        metadata={"invoice": "2026-1138"},
        reminders=[Reminder(before_expiry="24h")],
    ),
    VerifyLink(EXAMPLE_LINK_ID),
    RevokeLinks(EXAMPLE_EMAIL),
    RevokeRecipient(EXAMPLE_EMAIL),
    DispatchWindow(period=48),
    ResendLink(),
    ResendFailed(since=datetime(2026, 12, 1, 9, tzinfo=UTC)),
    EXAMPLE_LINK,
    Verification(valid=True, status=Status.ACTIVE, link=EXAMPLE_LINK),
    MaskedVerification(
        valid=True,
        status=Status.ACTIVE,
        link=EXAMPLE_MASKED_LINK,
    ),
    Revocation(1, [EXAMPLE_LINK_ID], unavailable=[]),
    Resending(sends=2, resend_after=60),
    FailedResending(12),
    LinkPage(
        total=1,
        counts=Counts(active=1, expired=0, revoked=0, paid=0),
        links=[EXAMPLE_LINK],
        next_cursor=None,
    ),
    Dispatch(
        start=EXAMPLE_TIME,
        end="2026-12-03T09:00:00.000Z",
        due=12,
        queued=12,
        unreadable_partitions=[],
        unavailable=[],
    ),
)
