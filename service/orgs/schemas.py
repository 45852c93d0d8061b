"""Organizations on the wire: request bodies and answers, each with an example."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, structs

from service.errors import Faults
from service.http.fields import (
    EXAMPLE_ORG_ID,
    Email,
    LanguageTag,
    Reminders,
    UnavailablePartitions,
    UnreadablePartitions,
)
from service.http.schemas import RequestBody
from service.orgs.model import (
    COLOR_PATTERN,
    LOGO_PATTERN,
    MAX_DISPLAY_NAME_CHARACTERS,
    MAX_LOGO_BYTES,
    Profile,
    parse_profile,
)
from service.values.checkout_url import CHECKOUT_URL_PATTERN, MAX_CHECKOUT_URL_CHARACTERS
from service.values.reminders import Reminder
from service.values.text import LINE_PATTERN
from service.values.time import MAX_ZONE_NAME_CHARACTERS

MAX_LOGO_URL_CHARACTERS = 4 * (MAX_LOGO_BYTES // 3 + 1) + len("data:image/jpeg;base64,")

Color = Annotated[
    str,
    Meta(examples=["#1f5eff"], extra_json_schema={"pattern": f"^{COLOR_PATTERN}$", "maxLength": 7}),
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
TimeZone = Annotated[
    str,
    Meta(
        description="A name of the IANA time zone database.",
        examples=["Africa/Lagos"],
        extra_json_schema={"maxLength": MAX_ZONE_NAME_CHARACTERS},
    ),
]
CheckoutUrl = Annotated[
    str,
    Meta(
        description="An https URL that holds any of {link_id}, {amount} (what is due), {currency}"
        " and {transaction_id}, which are filled in percent-encoded.",
        examples=["https://shop.example/checkout?link={link_id}"],
        extra_json_schema={
            "maxLength": MAX_CHECKOUT_URL_CHARACTERS,
            "pattern": f"^{CHECKOUT_URL_PATTERN}$",
        },
    ),
]


class PutProfile(RequestBody, frozen=True, kw_only=True):
    """How an organization presents itself, and what its links do by default.

    Fields left out are null, and ``receipts`` false.
    """

    display_name: DisplayName | None = None
    colour: Color | None = None
    logo: Logo | None = None
    reply_to: Email | None = None
    locale: LanguageTag | None = None
    time_zone: TimeZone | None = None
    checkout_url: CheckoutUrl | None = None
    receipts: bool | None = False
    reminders: Reminders | None = None

    def parse(self, now: datetime, faults: Faults | None = None) -> Profile:
        """The profile with every value checked."""
        fields = structs.asdict(self) | {
            "receipts": bool(self.receipts),
            "reminders": None if self.reminders is None else tuple(self.reminders),
        }
        return parse_profile(Profile(**fields), faults)


class ProfileBody(Struct, frozen=True, kw_only=True):
    """How mails and pages present an organization, and what its links do by default."""

    display_name: str | None
    colour: Color | None
    logo: str | None
    reply_to: str | None
    locale: str | None
    time_zone: str | None
    checkout_url: str | None
    receipts: bool
    reminders: list[Reminder] | None


class OrgPage(Struct, frozen=True):
    """Ids of organizations, and how many there are with that prefix in the partitions asked."""

    total: int
    orgs: list[str]
    unreadable_partitions: UnreadablePartitions
    unavailable: UnavailablePartitions


def profile_body(profile: Profile) -> ProfileBody:
    """``profile`` with null for what is not set."""
    return msgspec.convert(profile, ProfileBody, from_attributes=True)


_EXAMPLE_PROFILE: dict[str, Any] = {
    "display_name": "Acme Cleaning Ltd",
    "colour": "#0a7d4f",
    "reply_to": "help@acme.example.com",
    "locale": "en",
    "time_zone": "Africa/Lagos",
    "checkout_url": "https://acme.example.com/checkout?link={link_id}",
    "receipts": True,
    "reminders": [Reminder(before_expiry="24h")],
}
EXAMPLES: tuple[Struct, ...] = (
    PutProfile(**_EXAMPLE_PROFILE),
    ProfileBody(**_EXAMPLE_PROFILE, logo=None),
    OrgPage(1, [EXAMPLE_ORG_ID], unreadable_partitions=[], unavailable=[]),
)
