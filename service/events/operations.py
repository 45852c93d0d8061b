"""Reading what happened to a link, or to all links of an organization."""

from contextlib import suppress
from datetime import datetime

import structlog

from service.context import Context
from service.errors import Unavailable, Unreadable
from service.events import store
from service.events.model import (
    DERIVED,
    EventPage,
    ListedEvent,
    Position,
    Slice,
    decode_cursor,
    derive_events,
    merge,
)
from service.links.model import Link
from service.storage import keys
from service.storage.clock import MAX_CLOCK_SKEW
from service.storage.event_log import Event, EventType

log = structlog.get_logger(__name__)

SCANNED_ENTRIES = 500
"""Entries of a log looked at in one trip to the store, which take it 0.9 ms."""
MAX_SCANS = 250
"""Trips to the store for one page, which is short if they do not fill it. They suffice for a whole
log of 100,000 entries: 0.2 s of the store, while others' commands get their turn."""


async def read_link_events(
    context: Context,
    link: Link,
    *,
    limit: int,
    kind: EventType | None = None,
    cursor: str | None = None,
) -> EventPage:
    """A page of what happened to ``link``, latest first; of one ``kind`` only, if it is given.

    Raises:
        Invalid: the cursor is not the ``next_cursor`` of a page.
    """
    after, now = decode_cursor(cursor) if cursor else None, context.clock()
    slices = [
        Slice(
            [
                event
                for event in derive_events(link, now)
                if (kind is None or event.type is kind)
                and (after is None or event.position.rank < after.rank)
            ]
        )
    ]
    if kind not in DERIVED:
        since = max(now - context.settings.retention, link.created_at - MAX_CLOCK_SKEW)
        slices.append(await _read_log(context, link.org_id, after, since, limit + 1, kind, link.id))
    return merge(slices, limit)


async def read_org_events(
    context: Context,
    org_id: str,
    *,
    limit: int,
    kind: EventType | None = None,
    cursor: str | None = None,
) -> EventPage:
    """A page of what happened to an organization's links; otherwise as ``read_link_events``.

    Raises:
        Invalid: the cursor is not the ``next_cursor`` of a page.
    """
    after, now = decode_cursor(cursor) if cursor else None, context.clock()
    retention, more = context.settings.retention, limit + 1  # to know whether a page follows
    slices = []
    if kind in {None, EventType.CREATED}:
        created = store.read_created(org_id, after=after, limit=more)
        slices.append(_log_unreadable(await context.pipeline.run(created)))
    if kind in {None, EventType.EXPIRED}:
        expired = store.read_expired(org_id, after=after, now=now, retention=retention, limit=more)
        slices.append(_log_unreadable(await context.pipeline.run(expired)))
    if kind not in DERIVED:
        slices.append(await _read_log(context, org_id, after, now - retention, more, kind))
    return merge(slices, limit)


async def log_event(context: Context, link: Link, event: Event) -> None:
    """Logs an event of ``link`` that no script of its organization's slot could log.

    If that fails, the event is lost, and nothing else: what it is about has happened.
    """
    append = store.append(
        link.org_id,
        link.id,
        event,
        now=context.clock(),
        retention=context.settings.retention,
    )
    with suppress(Unavailable, Unreadable):
        await context.pipeline.run(append)


async def _read_log(
    context: Context,
    org_id: str,
    after: Position | None,
    since: datetime,
    limit: int,
    kind: EventType | None,
    link_id: str | None = None,
) -> Slice:
    """Up to ``limit`` events of the log after a position; fewer if ``MAX_SCANS`` end the search."""
    events: list[ListedEvent] = []
    frontier = after
    for _ in range(MAX_SCANS):
        part = await context.pipeline.run(
            store.read_log(
                org_id,
                after=frontier,
                since=since,
                entries=SCANNED_ENTRIES,
                limit=limit - len(events),
                link_id=link_id,
                kind=kind,
            )
        )
        scanned = _log_unreadable(part)
        events += scanned.events
        frontier = scanned.frontier
        if frontier is None or len(events) == limit:
            break
    return Slice(events, frontier)


def _log_unreadable(part: store.StoredSlice) -> Slice:
    """The slice. Keys that could not be read go to the service's log."""
    if part.unreadable:
        log.error("data_unreadable", keys=keys.for_log(part.unreadable))
    return part.slice
