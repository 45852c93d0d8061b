"""Events in Redis: the log of an organization, and the times of its links."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any, NamedTuple

import msgspec

from service.events.model import (
    ListedEvent,
    Origin,
    Position,
    Slice,
    created_event,
    expired_event,
)
from service.storage import event_log, keys
from service.storage.command import Command, run_script, try_decode
from service.storage.event_log import Event, EventType
from service.values.ids import partition_of
from service.values.time import datetime_to_ms


class StoredSlice(NamedTuple):
    """A slice, and the keys whose values could not be read."""

    slice: Slice
    unreadable: list[str]


class LogEntry(msgspec.Struct, frozen=True):
    """An entry of the log, as ``add_event`` in ``common.lua`` writes it."""

    type: EventType
    link: Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z]{22}\Z")]
    actor: str
    request: str
    data: str


def append(
    org_id: str, link_id: str, event: Event, *, now: datetime, retention: timedelta
) -> Command[None]:
    """Logs an event that no script of the organization's slot logs with its change."""
    return run_script(
        lambda _: None,
        "events/append",
        [keys.events(org_id)],
        keys.local_id(link_id),
        datetime_to_ms(now),
        *event_log.script_args(event, retention),
    )


def read_log(
    org_id: str,
    *,
    after: Position | None,
    since: datetime,
    entries: int,
    limit: int,
    link_id: str | None = None,
    kind: EventType | None = None,
) -> Command[StoredSlice]:
    """Looks through the next ``entries`` of the log after a position, latest first.

    It ends with the ``limit``-th event, or at ``since``. If an entry cannot be read, the log's key
    is among the unreadable ones.
    """
    return run_script(
        partial(_decode_log, keys.events(org_id), partition_of(org_id)),
        "events/read_log",
        [keys.events(org_id)],
        "+" if after is None else _entry_before(after),
        datetime_to_ms(since),
        entries,
        limit,
        "" if link_id is None else keys.local_id(link_id),
        "" if kind is None else kind.value,
    )


def read_created(org_id: str, *, after: Position | None, limit: int) -> Command[StoredSlice]:
    """The next ``limit`` creations of links after a position, latest first."""
    return _read_times(org_id, keys.org(org_id), Origin.CREATION, after, "+inf", "-inf", limit)


def read_expired(
    org_id: str, *, after: Position | None, now: datetime, retention: timedelta, limit: int
) -> Command[StoredSlice]:
    """The next ``limit`` links after a position that expired until ``now``, latest first."""
    return _read_times(
        org_id,
        keys.active(org_id),
        Origin.EXPIRY,
        after,
        datetime_to_ms(now),
        f"({datetime_to_ms(now - retention)}",
        limit,
    )


def _read_times(
    org_id: str,
    index: str,
    origin: Origin,
    after: Position | None,
    highest: int | str,
    lowest: str,
    limit: int,
) -> Command[StoredSlice]:
    cursor = ""
    if after is not None:
        highest = f"({after.ms}" if origin > after.origin else after.ms
        cursor = after.key if origin is after.origin else ""
    partition = partition_of(org_id)
    return run_script(
        partial(_decode_times, origin, partition, limit),
        "events/read_times",
        [index, keys.link_key_prefix(partition)],
        highest,
        lowest,
        cursor,
        limit,
    )


def _entry_before(after: Position) -> str:
    """The highest id of entries that follow ``after``, latest first; ``(``: not itself."""
    if after.origin is Origin.EXPIRY:
        return str(after.ms)
    return f"({after.ms}-{after.key if after.origin is Origin.LOG else 0}"


def _decode_log(key: str, partition: str, reply: list[Any]) -> StoredSlice:
    stopped_at, entries = reply
    events = [try_decode(_decode_entry, partition, *entry) for entry in entries]
    return StoredSlice(
        Slice(
            [event for event in events if isinstance(event, ListedEvent)],
            _position(stopped_at) if stopped_at else None,
        ),
        [key] if any(isinstance(event, ValueError) for event in events) else [],
    )


def _decode_entry(partition: str, entry_id: str, fields: Sequence[str]) -> ListedEvent:
    values = dict(zip(fields[::2], fields[1::2], strict=True))
    entry = msgspec.convert(values, LogEntry)
    return ListedEvent(
        id=entry_id,
        type=entry.type,
        position=_position(entry_id),
        link_id=keys.full_id(partition, entry.link),
        actor=entry.actor,
        request_id=entry.request or None,
        data=msgspec.json.decode(entry.data, type=dict[str, Any]) if entry.data else {},
    )


def _position(entry_id: str) -> Position:
    ms, _, sequence = entry_id.partition("-")
    return Position(int(ms), Origin.LOG, sequence)


def _decode_times(origin: Origin, partition: str, limit: int, reply: list[Any]) -> StoredSlice:
    local_ids, scores, records = reply
    positions = [
        Position(int(float(score)), origin, local_id)
        for local_id, score in zip(local_ids, scores, strict=True)
    ]
    events, unreadable = [], []
    for position, record in zip(positions, records, strict=True):
        link_id = keys.full_id(partition, position.key)
        if record is None:
            unreadable.append(keys.link(link_id))
        elif record[0] is not None:  # otherwise the index has not forgotten it yet
            events.append(
                created_event(link_id, position.ms, record[1])
                if origin is Origin.CREATION
                else expired_event(link_id, position.ms)
            )
    frontier = positions[-1] if len(positions) == limit else None
    return StoredSlice(Slice(events, frontier), unreadable)
