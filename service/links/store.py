"""Links in Redis: storing, reading, revoking, listing."""

import base64
import binascii
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from service.errors import Invalid
from service.links.model import DeliveryState, Link, Status
from service.links.redis_hash import FIELDS, decode, encode
from service.storage import keys
from service.storage.command import Command, command, run_script, try_decode
from service.storage.idempotency import (
    IDEMPOTENCY_TTL,
    IdempotencyRecord,
    IdempotentRequest,
    decode_record,
)
from service.values.ids import is_link_id, partition_of
from service.values.time import datetime_to_ms, format_time

PRUNE_EVERY = 16
"""How many creates there are to one that also prunes its indexes; its millisecond decides."""


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


def create(
    link: Link,
    *,
    now: datetime,
    retention: timedelta,
    request: IdempotentRequest | None = None,
    gone: str = "",
) -> Command[bool | IdempotencyRecord]:
    """Stores ``link``, its index entries, the e-mail it owes, and the key of ``request``.

    True: it is stored. False: its id exists already. Otherwise, the record of an earlier request
    with the same key, unless that created ``gone`` (a local id), which has expired.
    """
    partition = keys.partition_of_link(link.id)
    queue = keys.scheduled if link.delivery.state is DeliveryState.SCHEDULED else keys.outbox
    created_ms, expires_ms = datetime_to_ms(link.created_at), datetime_to_ms(link.expires_at)
    return run_script(
        _decode_created,
        "links/create",
        [
            keys.link(link.id),
            keys.org(link.org_id),
            keys.active(link.org_id),
            keys.revoked(link.org_id),
            keys.email(partition, link.recipient),
            keys.orgs(partition),
            queue(partition),
            *(() if request is None else (request.redis_key,)),
        ],
        keys.local_id(link.id),
        link.org_id,
        created_ms,
        expires_ms,
        datetime_to_ms(link.ended_at + retention),
        -(-expires_ms // 1000) * 1000,  # only the first link of a second changes orgs
        "" if link.delivery.state is DeliveryState.NONE else datetime_to_ms(link.due_at),
        datetime_to_ms(now - retention) if created_ms % PRUNE_EVERY == 0 else "",
        *(
            ("", "", "")
            if request is None
            else (request.fingerprint, datetime_to_ms(now + IDEMPOTENCY_TTL), gone)
        ),
        *encode(link),
    )


def get(link_id: str) -> Command[Link | None]:
    """The link, or None where there is none."""
    return command(partial(decode, link_id), "HMGET", keys.link(link_id), *FIELDS)


def revoke(link: Link, *, now: datetime, retention: timedelta) -> Command[bool]:
    """Revokes ``link``, and takes back an e-mail that it still owes. False: it had ended before."""
    partition = keys.partition_of_link(link.id)
    return run_script(
        bool,
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
        ],
        keys.local_id(link.id),
        datetime_to_ms(now),
        format_time(now),
        datetime_to_ms(now + retention),
        DeliveryState.SCHEDULED.value,
        DeliveryState.QUEUED.value,
        DeliveryState.NONE.value,
    )


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
    org, active, revoked = keys.org(org_id), keys.active(org_id), keys.revoked(org_id)
    now_ms, prune_before = str(datetime_to_ms(now)), str(datetime_to_ms(now - retention))
    index, lowest, highest = {
        None: (org, "-inf", "+inf"),
        Status.ACTIVE: (active, f"({now_ms}", "+inf"),
        Status.EXPIRED: (active, f"({prune_before}", now_ms),
        Status.REVOKED: (revoked, f"({prune_before}", "+inf"),
    }[status]
    return run_script(
        partial(_decode_page, partition_of(org_id)),
        "links/read_page",
        [org, active, revoked, index, keys.link_key_prefix(partition_of(org_id))],
        now_ms,
        prune_before,
        lowest,
        highest,
        limit,
        score,
        keys.local_id(last),
        *FIELDS,
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


def _decode_created(reply: int | list[Any]) -> bool | IdempotencyRecord:
    return decode_record(reply) or False if isinstance(reply, list) else bool(reply)


def _decode_page(partition: str, reply: list[Any]) -> Page:
    total, active, expired, revoked, last_score, local_ids, records = reply
    link_ids = keys.full_ids(partition, local_ids)
    links = [
        try_decode(decode, link_id, values)
        for link_id, values in zip(link_ids, records, strict=True)
    ]
    return Page(
        total=total,
        counts={Status.ACTIVE: active, Status.EXPIRED: expired, Status.REVOKED: revoked},
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
