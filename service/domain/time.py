"""Times as callers write them (ISO 8601) and as the service answers (RFC 3339, UTC, milliseconds)."""

from datetime import UTC, datetime


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
    return moment.isoformat("T", "milliseconds")[:23] + "Z"
