"""Types of fields that several capabilities share, with their rules for the API's description."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from msgspec import Meta

from service.values.ids import LINK_ID_PATTERN, ORG_ID_PATTERN
from service.values.languages import LOCALE_PATTERN
from service.values.reminders import MAX_REMINDERS, Reminder

EXAMPLE_EMAIL, EXAMPLE_ORG_ID = "jane@example.com", "acme"
EXAMPLE_LINK_ID = "pl_3fUgF8kQ2mZpR7sT1vXyW4aB"
EXAMPLE_TIME = "2026-12-01T09:00:00.000Z"


class Amount(Decimal):
    """A JSON number, read digit for digit."""


Email = Annotated[
    str,
    Meta(examples=[EXAMPLE_EMAIL], extra_json_schema={"format": "idn-email", "maxLength": 254}),
]
OrgId = Annotated[
    str,
    Meta(
        examples=[EXAMPLE_ORG_ID],
        extra_json_schema={"pattern": f"^{ORG_ID_PATTERN}$", "maxLength": 64},
    ),
]
LinkId = Annotated[
    str, Meta(examples=[EXAMPLE_LINK_ID], extra_json_schema={"pattern": f"^{LINK_ID_PATTERN}$"})
]
"""The pattern is described, not checked: an id that breaks it is answered with 404, not 422."""
LanguageTag = Annotated[
    str,
    Meta(
        examples=["en", "pt-BR"],
        extra_json_schema={"pattern": f"^{LOCALE_PATTERN}$", "maxLength": 5},
    ),
]
"""A language of our catalogs (BCP 47)."""
Time = Annotated[
    datetime,
    Meta(
        description="Any form of ISO 8601. "
        "A date means its first moment; without an offset it is UTC.",
        examples=["2026-12-01T09:00:00Z"],
        extra_json_schema={"format": "date-time"},
    ),
]
"""A time in a request. The described format is narrower than what is accepted, so that generated
clients take a time, not a text."""
Timestamp = Annotated[str, Meta(examples=[EXAMPLE_TIME], extra_json_schema={"format": "date-time"})]
"""A time in an answer: UTC, with three decimals."""
Reminders = Annotated[
    list[Reminder],
    Meta(
        description="When the customer is reminded, at least 24 hours apart. An empty list: never.",
        extra_json_schema={"maxItems": MAX_REMINDERS},
    ),
]
UnavailablePartitions = Annotated[
    list[str],
    Meta(
        description="Partitions that are left out, in whole or in part: they do not answer now."
        " The same request later includes them. None as a rule."
    ),
]
UnreadablePartitions = Annotated[
    list[str],
    Meta(
        description="Partitions that are left out, in whole or in part: a key in Redis holds"
        " something else. None as a rule."
    ),
]
