"""What callers send: request bodies, and the rules that their fields obey. Unknown fields are refused."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

from msgspec import Meta, Struct

from service.errors import Faults
from service.links.model import MAX_TRANSACTION_ID, LinkRequest, parse_request
from service.orgs.model import (
    COLOUR_PATTERN,
    LOGO_PATTERN,
    MAX_DISPLAY_NAME_CHARACTERS,
    MAX_LOGO_BYTES,
    Profile,
    parse_profile,
)
from service.otps.model import parse_code
from service.values.email import canonical, parse_email
from service.values.ids import ID_PATTERN, ORG_ID_PATTERN
from service.values.locale import LOCALE_PATTERN
from service.values.text import LINE_PATTERN
from service.values.time import MAX_ZONE_NAME, in_utc, to_millisecond

Email = Annotated[
    str,
    Meta(
        examples=["jane@example.com"], extra_json_schema={"format": "idn-email", "maxLength": 254}
    ),
]
OrgId = Annotated[
    str,
    Meta(examples=["acme"], extra_json_schema={"pattern": f"^{ORG_ID_PATTERN}$", "maxLength": 64}),
]
LinkId = Annotated[
    str,
    Meta(
        examples=["pl_3fUgF8kQ2mZpR7sT1vXyW4aB"], extra_json_schema={"pattern": f"^{ID_PATTERN}$"}
    ),
]
"""One that cannot be is not found, as one that never was: 404, not 422."""
Time = Annotated[
    datetime,
    Meta(
        description="Any form of ISO 8601. A date means its first moment; without an offset it is UTC.",
        examples=["2026-12-01T09:00:00Z"],
        extra_json_schema={"format": "date-time"},
    ),
]
"""A time in a request. The format is narrower than what is taken: it has generated clients give a time, not a text."""
Code = Annotated[
    str, Meta(examples=["042817"], extra_json_schema={"pattern": "^[0-9]{6}$", "maxLength": 6})
]
Tag = Annotated[
    str,
    Meta(
        examples=["en", "pt-BR"],
        extra_json_schema={"pattern": f"^{LOCALE_PATTERN}$", "maxLength": 5},
    ),
]
"""Of a language that we write (BCP 47)."""
TimeZone = Annotated[
    str,
    Meta(
        description="A name of the IANA time zone database.",
        examples=["Africa/Lagos"],
        extra_json_schema={"maxLength": MAX_ZONE_NAME},
    ),
]
Colour = Annotated[
    str,
    Meta(
        examples=["#1f5eff"], extra_json_schema={"pattern": f"^{COLOUR_PATTERN}$", "maxLength": 7}
    ),
]
MAX_LOGO_URL_CHARACTERS = 4 * (MAX_LOGO_BYTES // 3 + 1) + len("data:image/jpeg;base64,")
TransactionId = Annotated[
    str,
    Meta(
        extra_json_schema={"minLength": 1, "maxLength": MAX_TRANSACTION_ID, "pattern": LINE_PATTERN}
    ),
]
Currency = Annotated[
    str, Meta(examples=["NGN"], extra_json_schema={"pattern": "^[A-Za-z]{3}$", "maxLength": 3})
]
DisplayName = Annotated[
    str,
    Meta(
        extra_json_schema={
            "minLength": 1,
            "maxLength": MAX_DISPLAY_NAME_CHARACTERS,
            "pattern": LINE_PATTERN,
        }
    ),
]
Logo = Annotated[
    str,
    Meta(extra_json_schema={"maxLength": MAX_LOGO_URL_CHARACTERS, "pattern": f"^{LOGO_PATTERN}$"}),
]
MAX_WINDOW_HOURS = 720
Hours = Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": MAX_WINDOW_HOURS})]


class Amount(Decimal):
    """A JSON number, read digit for digit."""


class Request(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A request body. msgspec checks the JSON types of its fields; their rules are the domain's, and are described here only."""

    def parse(self, now: datetime, faults: Faults | None = None) -> Any:
        """What is asked for, in the domain's terms. A field that could not be read is among ``faults``, and None if required.

        Raises:
            Invalid: there are faults, or fields break their rules.
        """
        if faults is not None:
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

    def parse(self, now: datetime, faults: Faults | None = None) -> LinkRequest:
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

    def parse(self, now: datetime, faults: Faults | None = None) -> str | None:
        if self.email is not None:
            return _parse_recipient(self.email, faults)
        super().parse(now, faults)
        return None


class RevokeRecipient(Request, frozen=True):
    email: Email

    def parse(self, now: datetime, faults: Faults | None = None) -> str:
        return _parse_recipient(self.email, faults)


class SendOtp(Request, frozen=True):
    email: Email

    def parse(self, now: datetime, faults: Faults | None = None) -> str:
        return _parse_recipient(self.email, faults)


class SubmitOtp(Request, frozen=True):
    email: Email
    otp: Code

    def parse(self, now: datetime, faults: Faults | None = None) -> tuple[str, str]:
        faults = faults or Faults()
        if "otp" not in faults:
            faults.check(parse_code, self.otp)
        return _parse_recipient(self.email, faults), self.otp


class PutProfile(Request, frozen=True, kw_only=True):
    """How an organization presents itself. What is left out is null."""

    display_name: DisplayName | None = None
    colour: Colour | None = None
    logo: Logo | None = None
    reply_to: Email | None = None
    locale: Tag | None = None
    time_zone: TimeZone | None = None

    def parse(self, now: datetime, faults: Faults | None = None) -> Profile:
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

    def parse(self, now: datetime, faults: Faults | None = None) -> tuple[datetime, datetime]:
        """The first moment of the window, and the first after it."""
        faults = faults or Faults()
        start, hours = in_utc(self.scheduled_at or now), 24 if self.period is None else self.period
        if not 2000 <= start.year < 9000:
            faults.add("scheduled_at", "is too far from today")
        if not 1 <= hours <= MAX_WINDOW_HOURS:
            faults.add("period", f"must be a whole number of hours from 1 to {MAX_WINDOW_HOURS}")
        faults.raise_if_any()
        start = to_millisecond(start)
        return start, start + timedelta(hours=hours)


def decode_hook(kind: type[Any], value: Any) -> Any:
    """Reads an ``Amount`` from a number, never from a string."""
    if kind is Amount and isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Amount(value)
    raise ValueError("is no number")


def _parse_recipient(email: str, faults: Faults | None) -> str:
    """The canonical form of ``email``."""
    faults = faults or Faults()
    if "email" not in faults:
        faults.check(parse_email, email)
    faults.raise_if_any()
    return canonical(email)
