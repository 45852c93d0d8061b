"""Links in Redis: storing, superseding, reading, revoking, listing."""

import base64
import binascii
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any

import msgspec

from service.errors import Invalid
from service.links.link_request import OnConflict
from service.links.model import DeliveryState, Link, Status
from service.links.redis_hash import decode, decode_list, encode
from service.links.reminders import next_reminder, reminder_member
from service.storage import event_log, keys
from service.storage.command import Argument, Command, command, run_script, try_decode
from service.storage.event_log import SYSTEM, Actor, Event, EventType
from service.storage.idempotency import (
    IdempotencyRecord,
    IdempotentRequest,
    decode_record,
    script_args,
)
from service.values.ids import is_link_id, partition_of
from service.values.time import datetime_to_ms, format_time

PRUNE_EVERY = 16
"""How many creates there are to one that also prunes its indexes; its millisecond decides."""


_MAIL_STATES = (
    DeliveryState.SCHEDULED.value,
    DeliveryState.QUEUED.value,
    DeliveryState.NONE.value,
)
"""The states by which scripts tell whether a link owes its e-mail."""


class Page(msgspec.Struct, frozen=True):
    """Some of an organization's links, and how many it has.

    ``next_cursor`` is None on the last page.
    """

    total: int
    counts: dict[Status, int]
    links: list[Link]
    unreadable: list[str]
    """Keys of links that cannot be decoded."""
    next_cursor: str | None


class Superseding(msgspec.Struct, frozen=True):
    """A link was stored in place of others; ``link_id`` is the newest of these."""

    link_id: str


class ConflictReason(StrEnum):
    """Why a link is not stored.

    ``EXISTS``: its transaction has an active or paid link. ``PAID``: one that it would supersede is
    paid, in whole or in part.
    """

    EXISTS = "exists"
    PAID = "paid"


class TransactionConflict(msgspec.Struct, frozen=True):
    """Another link of its transaction keeps a link from being stored."""

    reason: ConflictReason
    link_id: str


class RevokeOutcome(StrEnum):
    """Whether a link was revoked. ``ENDED``: it had expired, or was revoked before."""

    REVOKED = "revoked"
    ENDED = "ended"
    PAID = "paid"


def create(
    link: Link,
    *,
    now: datetime,
    retention: timedelta,
    request: IdempotentRequest | None = None,
    gone: str = "",
    on_conflict: OnConflict = OnConflict.ALLOW,
    actor: Actor = SYSTEM,
) -> Command[bool | Superseding | TransactionConflict | IdempotencyRecord]:
    """Stores ``link``, its index entries, what it owes, and the key of ``request``.

    It owes its e-mail, or, if it has none, its first reminder. With ``on_conflict``, which needs a
    transaction, it may take the place of the other links of its transaction: ``actor`` revokes
    them with it, and what they owe is taken back.

    True, or ``Superseding``: it is stored. False: its id exists already. ``TransactionConflict``:
    because of another link, it is not stored. Otherwise, the record of an earlier request with the
    same key, unless that created ``gone`` (a local id), which has expired.
    """
    partition, transaction = keys.partition_of_link(link.id), _transaction_keys(link)
    queue, owed, due_at = _first_owed(link)
    created_ms, expires_ms = datetime_to_ms(link.created_at), datetime_to_ms(link.expires_at)
    fields, is_exclusive = encode(link), on_conflict is not OnConflict.ALLOW
    return run_script(
        partial(_decode_created, partition),
        "links/create",
        [
            keys.link(link.id),
            keys.org(link.org_id),
            keys.active(link.org_id),
            keys.revoked(link.org_id),
            keys.paid(link.org_id),
            keys.email(partition, link.recipient),
            keys.orgs(partition),
            queue(partition),
            *transaction,
            *(_superseding_keys(link) if is_exclusive else ()),
            *(() if request is None else (request.redis_key,)),
        ],
        keys.local_id(link.id),
        link.org_id,
        owed,
        created_ms,
        expires_ms,
        datetime_to_ms(link.ended_at + retention),
        -(-expires_ms // 1000) * 1000,  # only the first link of a second changes orgs
        "" if due_at is None else datetime_to_ms(due_at),
        datetime_to_ms(now - retention) if created_ms % PRUNE_EVERY == 0 else "",
        on_conflict.value if transaction else "",
        *script_args(request, now),
        gone,
        len(fields),
        *fields,
        *(_superseding_args(link, retention, actor) if is_exclusive else ()),
    )


def get(link_id: str) -> Command[Link | None]:
    """The link, or None where there is none."""
    return command(partial(decode, link_id), "HGETALL", keys.link(link_id))


def revoke(
    link: Link, *, now: datetime, retention: timedelta, actor: Actor
) -> Command[RevokeOutcome]:
    """Revokes ``link`` for ``actor``, and takes back what it still owes, unless it has ended."""
    partition = keys.partition_of_link(link.id)
    return run_script(
        RevokeOutcome,
        "links/revoke",
        [
            keys.link(link.id),
            keys.org(link.org_id),
            keys.active(link.org_id),
            keys.revoked(link.org_id),
            keys.email(partition, link.recipient),
            keys.outbox(partition),
            keys.scheduled(partition),
            keys.pending_since(partition),
            keys.notices(partition),
            keys.notice_outbox(partition),
            keys.email(partition, ""),
            keys.events(link.org_id),
            *_transaction_keys(link),
        ],
        keys.local_id(link.id),
        datetime_to_ms(now),
        format_time(now),
        datetime_to_ms(now + retention),
        *_MAIL_STATES,
        reminder_member(link.id),
        *event_log.script_args(Event(EventType.REVOKED, actor), retention),
    )


def count_active(partition: str, recipient: str, *, now: datetime) -> Command[int]:
    """How many active links to ``recipient``, a canonical e-mail, the partition has."""
    key = keys.email(partition, recipient)
    return command(int, "ZCOUNT", key, f"({datetime_to_ms(now)}", "+inf")


def active_ids(
    partition: str, recipient: str, *, now: datetime, offset: int, limit: int
) -> Command[list[str]]:
    """The partition's active links to ``recipient``, a canonical e-mail; first to end first."""
    return command(
        partial(keys.full_ids, partition),
        "ZRANGEBYSCORE",
        keys.email(partition, recipient),
        f"({datetime_to_ms(now)}",
        "+inf",
        "LIMIT",
        offset,
        limit,
    )


def read_page(
    org_id: str,
    *,
    now: datetime,
    retention: timedelta,
    limit: int,
    status: Status | None = None,
    cursor: str | None = None,
) -> Command[Page]:
    """The next ``limit`` links after ``cursor``: newest first; of one status, last to end first.

    Raises:
        Invalid: the cursor is not the ``next_cursor`` of a page.
    """
    score, last = decode_cursor(cursor) if cursor else ("", "")
    org, active = keys.org(org_id), keys.active(org_id)
    revoked, paid = keys.revoked(org_id), keys.paid(org_id)
    now_ms, prune_before = str(datetime_to_ms(now)), str(datetime_to_ms(now - retention))
    index, lowest, highest = {
        None: (org, "-inf", "+inf"),
        Status.ACTIVE: (active, f"({now_ms}", "+inf"),
        Status.EXPIRED: (active, f"({prune_before}", now_ms),
        Status.REVOKED: (revoked, f"({prune_before}", "+inf"),
        Status.PAID: (paid, f"({prune_before}", "+inf"),
    }[status]
    return run_script(
        partial(_decode_page, partition_of(org_id)),
        "links/read_page",
        [org, active, revoked, paid, index, keys.link_key_prefix(partition_of(org_id))],
        now_ms,
        prune_before,
        lowest,
        highest,
        limit,
        score,
        keys.local_id(last),
    )


def encode_cursor(score: str, link_id: str) -> str:
    """The last link of a page, as opaque text."""
    return base64.urlsafe_b64encode(f"{score}:{link_id}".encode()).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> tuple[str, str]:
    """The inverse of ``encode_cursor``.

    Raises:
        Invalid: ``encode_cursor`` does not return such text.
    """
    try:
        padded = cursor.encode() + b"=" * (-len(cursor) % 4)
        score, _, link_id = (
            base64.b64decode(padded, altchars=b"-_", validate=True).decode().partition(":")
        )
    except (binascii.Error, UnicodeError):
        score, link_id = "", ""
    if not (score.isascii() and score.isdigit() and len(score) < 16 and is_link_id(link_id)):
        raise Invalid("cursor", "must be the next_cursor of a page")
    return score, link_id


def _first_owed(link: Link) -> tuple[Callable[[str], str], str, datetime | None]:
    """The queue of what a new ``link`` owes first, its member there, and when it is due."""
    if link.delivery.state is DeliveryState.NONE:
        return keys.notices, reminder_member(link.id), next_reminder(link)
    queue = keys.scheduled if link.delivery.state is DeliveryState.SCHEDULED else keys.outbox
    return queue, keys.local_id(link.id), link.due_at


def _transaction_keys(link: Link) -> list[str]:
    """The index of its transaction, if it has one."""
    transaction_id = link.transaction_id
    return [] if transaction_id is None else [keys.transaction(link.org_id, transaction_id)]


def _superseding_keys(link: Link) -> list[str]:
    """Where else links that ``link`` supersedes may be indexed, queued or logged."""
    partition = keys.partition_of_link(link.id)
    return [
        keys.events(link.org_id),
        keys.outbox(partition),
        keys.scheduled(partition),
        keys.pending_since(partition),
        keys.notices(partition),
        keys.notice_outbox(partition),
        keys.email(partition, ""),
    ]


def _superseding_args(link: Link, retention: timedelta, actor: Actor) -> list[Argument]:
    """How the links that ``link`` supersedes change."""
    id_prefix = keys.full_id(keys.partition_of_link(link.id), "")
    superseded = Event(EventType.SUPERSEDED, actor, {"superseded_by": link.id})
    return [
        format_time(link.created_at),
        datetime_to_ms(link.created_at + retention),
        *_MAIL_STATES,
        id_prefix,
        reminder_member(id_prefix),
        *event_log.script_args(superseded, retention),
    ]


def _decode_created(
    partition: str, reply: int | list[Any]
) -> bool | Superseding | TransactionConflict | IdempotencyRecord:
    if isinstance(reply, int):
        return bool(reply)
    outcome, *values = reply
    if outcome == "earlier":
        return decode_record(values) or False
    link_id = keys.full_id(partition, values[0])
    if outcome == "superseded":
        return Superseding(link_id)
    return TransactionConflict(ConflictReason(outcome), link_id)


def _decode_page(partition: str, reply: list[Any]) -> Page:
    total, active, expired, revoked, paid, last_score, local_ids, records = reply
    link_ids = keys.full_ids(partition, local_ids)
    links = [
        try_decode(decode_list, link_id, fields)
        for link_id, fields in zip(link_ids, records, strict=True)
    ]
    return Page(
        total=total,
        counts={
            Status.ACTIVE: active,
            Status.EXPIRED: expired,
            Status.REVOKED: revoked,
            Status.PAID: paid,
        },
        links=[link for link in links if isinstance(link, Link)],
        unreadable=[
            keys.link(link_id)
            for link_id, link in zip(link_ids, links, strict=True)
            if isinstance(link, ValueError)
        ],
        next_cursor=encode_cursor(str(int(float(last_score))), link_ids[-1])
        if last_score
        else None,
    )
