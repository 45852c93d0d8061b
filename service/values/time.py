"""Times in the API (ISO 8601, RFC 3339) and in Redis (milliseconds), and time zones."""

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import msgspec

from service.errors import Invalid

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
MAX_ZONE_NAME_CHARACTERS = 64
"""Limits a zone's name to twice the longest one's length."""
LOCAL_ZONES = {"Factory", "localtime"}
"""Names that only some machines' databases have, each with another meaning."""


def parse_time(text: str) -> datetime:
    """Any ISO 8601 form that ``datetime.fromisoformat`` reads.

    A date means its first moment. A time without an offset is in UTC.

    Raises:
        ValueError: it is not a time.
    """
    return assume_utc(datetime.fromisoformat(text))


def assume_utc(time: datetime) -> datetime:
    """``time``, in UTC if it has no offset."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def to_utc_ms(time: datetime) -> datetime:
    """``time`` in UTC, truncated to milliseconds."""
    return time.astimezone(UTC).replace(microsecond=time.microsecond // 1000 * 1000)


def parse_request_time(time: datetime, field: str) -> datetime:
    """``time`` in UTC, truncated to milliseconds; it is in UTC if it has no offset.

    Raises:
        Invalid: it has no equivalent in UTC.
    """
    try:
        return to_utc_ms(assume_utc(time))
    except OverflowError:
        raise Invalid(field, "is too far from today") from None


def format_time(time: datetime) -> str:
    """``2026-12-01T09:00:00.000Z``, for a ``time`` in UTC."""
    # isoformat takes four times as long, and a list of links has hundreds of times.
    text: str = msgspec.to_builtins(time)
    return f"{text[:23]}Z" if "." in text else f"{text[:19]}.000Z"


def datetime_to_ms(time: datetime) -> int:
    """Milliseconds since 1970: times as scores in Redis."""
    return int((time - EPOCH) / MILLISECOND)


def datetime_from_ms(milliseconds: float | str) -> datetime:
    """The inverse of ``datetime_to_ms``."""
    return EPOCH + float(milliseconds) * MILLISECOND


def duration_ms(duration: timedelta) -> int:
    """A duration in milliseconds."""
    return int(duration / MILLISECOND)


def parse_zone(name: str) -> str:
    """``name`` if it is in the IANA time zone database.

    Raises:
        Invalid: it is not.
    """
    if name not in _zone_names():
        raise Invalid(
            "time_zone",
            "must be the name of a time zone in the IANA database, such as Africa/Lagos",
        )
    return name


def load_zone(name: str | None) -> ZoneInfo:
    """The time zone ``name``, or UTC if there is none of that name."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


@cache
def _zone_names() -> set[str]:
    return available_timezones() - LOCAL_ZONES
