"""Changes of a link that are decided in Python and written by compare-and-set.

A script writes a change only if the link is still as it was read; otherwise the caller reads it
again and decides anew. So amounts are added and compared as decimals, never by a script.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

from service.links.model import DeliveryState, Link
from service.links.redis_hash import FIELDS, by_name, decode, encode
from service.links.reminders import next_reminder, receipt_member, reminder_member
from service.storage import event_log, keys
from service.storage.command import Command, command, run_script
from service.storage.event_log import Event
from service.storage.idempotency import (
    IdempotencyRecord,
    IdempotentRequest,
    decode_record,
    script_args,
)
from service.values.time import datetime_to_ms

OWED_STATES = {DeliveryState.SCHEDULED, DeliveryState.QUEUED}
"""States of an e-mail that is still to be sent."""


class StoredLink(msgspec.Struct, frozen=True):
    """A link, and the fields of its hash when it was read."""

    link: Link
    fields: dict[str, str]


class ChangeOutcome(StrEnum):
    """Whether a change was made. ``CHANGED``: the link is no longer as it was read.

    ``HELD``: a worker is about to send its e-mail, which would show the old values.
    """

    UPDATED = "updated"
    CHANGED = "changed"
    HELD = "held"


def read(link_id: str) -> Command[StoredLink | None]:
    """The link, to be changed; None where there is none."""

    def decode_stored(fields: dict[str, str]) -> StoredLink | None:
        link = decode(link_id, fields)
        return None if link is None else StoredLink(link, fields)

    return command(decode_stored, "HGETALL", keys.link(link_id))


def update(
    stored: StoredLink,
    link: Link,
    *,
    now: datetime,
    retention: timedelta,
    events: Sequence[Event],
    request: IdempotentRequest | None = None,
    changes_mail: bool = False,
    receipt_at: datetime | None = None,
) -> Command[ChangeOutcome | IdempotencyRecord]:
    """Replaces ``stored`` by ``link``, if it is still as it was read, and logs ``events``.

    An e-mail that the link no longer owes is taken back, and so are its reminders. One that a
    worker holds, and that is still owed, goes out once, as it was composed.

    Args:
        stored: The link as it was read.
        link: The link as it is to be, with the same id, organization and ``created_at``.
        now: The time of the change.
        retention: How long the link and the events are kept.
        events: What is logged, in this order.
        request: A request with an idempotency key; the record of an earlier one is returned.
        changes_mail: Whether the change alters the link's e-mail.
        receipt_at: When a receipt is due; None takes back one that is not out yet.
    """
    before, gone_at = stored.link, link.ended_at + retention
    moves = (
        _index_moves(before, link, keeps_end=gone_at == before.ended_at + retention)
        | _mail_moves(before, link, now)
        | _reminder_moves(before, link, now)
        | _receipt_moves(before, link, receipt_at)
    )
    written, earlier = by_name(encode(link)), by_name(encode(before))
    changed = {name: text for name, text in written.items() if earlier.get(name) != text}
    removed = [name for name in earlier if name not in written]
    partition = keys.partition_of_link(link.id)
    return run_script(
        _decode_outcome,
        "links/update",
        [
            keys.link(link.id),
            keys.org(link.org_id),
            keys.active(link.org_id),
            keys.revoked(link.org_id),
            keys.paid(link.org_id),
            keys.events(link.org_id),
            keys.outbox(partition),
            keys.pending_since(partition),
            keys.scheduled(partition),
            keys.notice_outbox(partition),
            keys.orgs(partition),
            *(key for key, _ in moves),
            *(() if request is None else (request.redis_key,)),
        ],
        keys.local_id(link.id),
        link.org_id,
        datetime_to_ms(now),
        datetime_to_ms(gone_at),
        -(-datetime_to_ms(link.ended_at) // 1000) * 1000,
        reminder_member(link.id),
        int(changes_mail),
        *script_args(request, now),
        len(moves),
        len(FIELDS),
        len(changed),
        len(removed),
        len(events),
        *(text for (_, member), score in moves.items() for text in (member, score)),
        *(text for name in FIELDS for text in (name, stored.fields.get(name, ""))),
        *(text for pair in changed.items() for text in pair),
        *removed,
        *(arg for event in events for arg in event_log.script_args(event, retention)),
    )


def index_scores(link: Link) -> dict[str, int]:
    """The indexes that contain ``link``, with its score in each."""
    partition, has_ended = keys.partition_of_link(link.id), bool(link.revoked_at or link.paid_at)
    ended_at = datetime_to_ms(link.ended_at)
    scores = {keys.org(link.org_id): datetime_to_ms(link.created_at)}
    if not has_ended:
        scores[keys.active(link.org_id)] = ended_at
        scores[keys.email(partition, link.recipient)] = ended_at
    elif link.paid_at:
        scores[keys.paid(link.org_id)] = ended_at
    else:
        scores[keys.revoked(link.org_id)] = ended_at
    if link.transaction_id is not None and (link.paid_at or not link.revoked_at):
        scores[keys.transaction(link.org_id, link.transaction_id)] = datetime_to_ms(link.created_at)
    return scores


Moves = dict[tuple[str, str], int | str]
"""New scores by key and member; an empty text removes the member."""


def _index_moves(before: Link, after: Link, *, keeps_end: bool) -> Moves:
    """If its record ends at another time, includes the indexes in which it stays, for their TTL."""
    earlier, later, member = index_scores(before), index_scores(after), keys.local_id(after.id)
    return {
        (key, member): later.get(key, "")
        for key in earlier | later
        if later.get(key) != earlier.get(key) or (key in later and not keeps_end)
    }


def _mail_moves(before: Link, after: Link, now: datetime) -> Moves:
    """Moves in the queues of the link's own e-mail."""
    earlier, later = before.delivery.state, after.delivery.state
    is_same = earlier is later and before.due_at == after.due_at
    if is_same or (earlier is later and later is not DeliveryState.SCHEDULED):
        return {}
    partition, member = keys.partition_of_link(after.id), keys.local_id(after.id)
    queues = (keys.outbox, keys.scheduled, keys.pending_since, keys.failed)
    moves: Moves = {(queue(partition), member): "" for queue in queues}
    if later is DeliveryState.SCHEDULED:
        moves[keys.scheduled(partition), member] = datetime_to_ms(after.due_at)
    elif later is DeliveryState.QUEUED:
        moves[keys.outbox(partition), member] = datetime_to_ms(now)
    return moves


def _reminder_moves(before: Link, after: Link, now: datetime) -> Moves:
    """Reminders whose time has passed before the change are skipped."""
    at = next_reminder(after, after=now)
    is_same = at == next_reminder(before, after=now)
    if is_same and next_reminder(after) == next_reminder(before):
        return {}
    return _notice_moves(after, reminder_member(after.id), at)


def _receipt_moves(before: Link, after: Link, receipt_at: datetime | None) -> Moves:
    if bool(before.paid_at) == bool(after.paid_at):
        return {}
    return _notice_moves(after, receipt_member(after.id), receipt_at)


def _notice_moves(link: Link, member: str, at: datetime | None) -> Moves:
    partition = keys.partition_of_link(link.id)
    return {
        (keys.notices(partition), member): "" if at is None else datetime_to_ms(at),
        (keys.notice_outbox(partition), member): "",
    }


def _decode_outcome(reply: list[Any]) -> ChangeOutcome | IdempotencyRecord:
    outcome, *earlier = reply
    if outcome == "earlier" and (record := decode_record(earlier)):
        return record
    return ChangeOutcome(outcome)
