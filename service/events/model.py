"""Events as they are listed: those of the log, and those that follow from the times of links."""

import base64
import binascii
import re
from collections.abc import Iterable
from datetime import datetime
from enum import IntEnum
from typing import Any, NamedTuple

import msgspec

from service.errors import Invalid
from service.links.model import Link, Status
from service.storage import keys
from service.storage.event_log import SYSTEM, EventType
from service.values.time import datetime_from_ms, datetime_to_ms

_CURSOR = re.compile(r"([1-9][0-9]{0,14})-(0|1|2)-([0-9A-Za-z]{1,22})")
_SEQUENCE = re.compile("[0-9]{1,19}")
_LOCAL_ID = re.compile("[0-9A-Za-z]{22}")


class Origin(IntEnum):
    """Where an event is read from. Of events in the same millisecond, the highest is the latest."""

    CREATION = 0
    LOG = 1
    EXPIRY = 2


DERIVED = {EventType.CREATED: Origin.CREATION, EventType.EXPIRED: Origin.EXPIRY}
"""Events that are not logged: they follow from the times of links."""


class Position(NamedTuple):
    """The place of an event in the order of time; no two events have the same.

    ``key`` is the sequence number of a logged event, as text, and the link's local id of another.
    """

    ms: int
    origin: Origin
    key: str

    @property
    def rank(self) -> tuple[int, int, int | str]:
        """Sorts positions."""
        return self.ms, self.origin, int(self.key) if self.origin is Origin.LOG else self.key


class ListedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event of a link. ``actor`` is None if it is not known who created the link."""

    id: str
    """Unique within the organization."""
    type: EventType
    position: Position
    link_id: str
    actor: str | None
    request_id: str | None = None
    data: dict[str, Any] = {}

    @property
    def at(self) -> datetime:
        return datetime_from_ms(self.position.ms)


class Slice(NamedTuple):
    """Events of one origin, latest first.

    ``frontier`` is the position of the last one that was looked at, listed or not; None where no
    other follows.
    """

    events: list[ListedEvent]
    frontier: Position | None = None


class EventPage(NamedTuple):
    """Events, latest first. ``next_cursor`` is None on the last page."""

    events: list[ListedEvent]
    next_cursor: str | None


def created_event(link_id: str, at_ms: int, created_by: str | None) -> ListedEvent:
    """The creation of a link. ``created_by`` is None for links of earlier versions."""
    return _derived(EventType.CREATED, link_id, at_ms, created_by)


def expired_event(link_id: str, at_ms: int) -> ListedEvent:
    """The expiry of a link."""
    return _derived(EventType.EXPIRED, link_id, at_ms, SYSTEM.name)


def derive_events(link: Link, now: datetime) -> list[ListedEvent]:
    """The events that follow from the times of ``link`` at ``now``, latest first."""
    created = created_event(link.id, datetime_to_ms(link.created_at), link.created_by)
    if link.status(now) is not Status.EXPIRED:
        return [created]
    return [expired_event(link.id, datetime_to_ms(link.expires_at)), created]


def merge(slices: Iterable[Slice], limit: int) -> EventPage:
    """The latest ``limit`` events of all ``slices``.

    They are fewer if a slice ends earlier, because what it did not look at may come next.
    """
    found = [*slices]
    frontiers = [each.frontier for each in found if each.frontier is not None]
    horizon = max(frontiers, key=lambda position: position.rank, default=None)
    events = sorted(
        (
            event
            for each in found
            for event in each.events
            if horizon is None or event.position.rank >= horizon.rank
        ),
        key=lambda event: event.position.rank,
        reverse=True,
    )
    if len(events) > limit:
        horizon = events[limit - 1].position
    return EventPage(events[:limit], None if horizon is None else encode_cursor(horizon))


def encode_cursor(position: Position) -> str:
    """The position of the last event that was looked at, as opaque text."""
    text = f"{position.ms}-{position.origin}-{position.key}"
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> Position:
    """The inverse of ``encode_cursor``.

    Raises:
        Invalid: it is not a cursor.
    """
    try:
        padded = cursor.encode() + b"=" * (-len(cursor) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError):
        text = ""
    if match := _CURSOR.fullmatch(text):
        position = Position(int(match[1]), Origin(int(match[2])), match[3])
        pattern = _SEQUENCE if position.origin is Origin.LOG else _LOCAL_ID
        if pattern.fullmatch(position.key):
            return position
    raise Invalid("cursor", "must be the next_cursor of a page")


def _derived(kind: EventType, link_id: str, at_ms: int, actor: str | None) -> ListedEvent:
    return ListedEvent(
        id=f"{link_id}-{kind.value}",
        type=kind,
        position=Position(at_ms, DERIVED[kind], keys.local_id(link_id)),
        link_id=link_id,
        actor=actor,
    )
