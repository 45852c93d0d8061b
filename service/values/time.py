"""Times as callers write them (ISO 8601), as the service answers (RFC 3339, UTC, milliseconds), and the zones people live in."""

from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import msgspec

from service.errors import Invalid

DEFAULT_ZONE = "UTC"
MAX_ZONE_NAME = 64
"""Characters: twice as many as the longest has."""
NOT_A_PLACE = {"Factory", "localtime"}
"""Names that some machines' copies of the database have, and that mean nothing elsewhere."""


def parse_time(text: str) -> datetime:
    """Any form of ISO 8601 that ``datetime.fromisoformat`` reads. A date means its first moment; without an offset it is UTC.

    Raises:
        ValueError: it is no time.
    """
    return in_utc(datetime.fromisoformat(text))


def in_utc(moment: datetime) -> datetime:
    """``moment``, which is in UTC where it does not say."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def to_millisecond(moment: datetime) -> datetime:
    """``moment`` in UTC, without what is below a millisecond."""
    return moment.astimezone(UTC).replace(microsecond=moment.microsecond // 1000 * 1000)


def format_time(moment: datetime) -> str:
    """``2026-12-01T09:00:00.000Z``. ``moment`` is in UTC."""
    text: str = msgspec.to_builtins(
        moment
    )  # a list writes hundreds: isoformat takes four times as long
    return f"{text[:23]}Z" if "." in text else f"{text[:19]}.000Z"


def parse_zone(name: str) -> str:
    """``name``, if the IANA time zone database has it.

    Raises:
        Invalid: it does not.
    """
    if name not in _zone_names():
        raise Invalid(
            "time_zone",
            "must be the name of a time zone in the IANA database, such as Africa/Lagos",
        )
    return name


def load_zone(name: str | None) -> ZoneInfo:
    """The time zone; UTC where there is none of that name, or not any more."""
    try:
        return ZoneInfo(name or DEFAULT_ZONE)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo(DEFAULT_ZONE)


@cache
def _zone_names() -> set[str]:
    return available_timezones() - NOT_A_PLACE
