"""Organizations on the wire: request bodies and answers, each with an example."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, structs

from service.errors import Faults
from service.http.fields import EXAMPLE_ORG_ID, Email, LanguageTag, UnreadablePartitions
from service.http.schemas import RequestBody
from service.orgs.model import (
    COLOR_PATTERN,
    LOGO_PATTERN,
    MAX_DISPLAY_NAME_CHARACTERS,
    MAX_LOGO_BYTES,
    Profile,
    parse_profile,
)
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


class PutProfile(RequestBody, frozen=True, kw_only=True):
    """How an organization presents itself. Fields left out are null."""

    display_name: DisplayName | None = None
    colour: Color | None = None
    logo: Logo | None = None
    reply_to: Email | None = None
    locale: LanguageTag | None = None
    time_zone: TimeZone | None = None

    def parse(self, now: datetime, faults: Faults | None = None) -> Profile:
        """The profile with every value checked."""
        return parse_profile(Profile(**structs.asdict(self)), faults)


class ProfileBody(Struct, frozen=True, kw_only=True):
    """How mails and pages present an organization."""

    display_name: str | None
    colour: Color | None
    logo: str | None
    reply_to: str | None
    locale: str | None
    time_zone: str | None


class OrgPage(Struct, frozen=True):
    """Ids of organizations, and how many there are with that prefix."""

    total: int
    orgs: list[str]
    unreadable_partitions: UnreadablePartitions


def profile_body(profile: Profile) -> ProfileBody:
    """``profile`` with null for what is not set."""
    return msgspec.convert(profile, ProfileBody, from_attributes=True)


_EXAMPLE_PROFILE = {
    "display_name": "Acme Cleaning Ltd",
    "colour": "#0a7d4f",
    "reply_to": "help@acme.example.com",
    "locale": "en",
    "time_zone": "Africa/Lagos",
}
EXAMPLES: tuple[Struct, ...] = (
    PutProfile(**_EXAMPLE_PROFILE),
    ProfileBody(**_EXAMPLE_PROFILE, logo=None),
    OrgPage(1, [EXAMPLE_ORG_ID], unreadable_partitions=[]),
)
