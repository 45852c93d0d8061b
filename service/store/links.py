"""Links in Redis: storing, reading, revoking, listing."""

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from service.domain.errors import Invalid
from service.domain.link import Delivery, DeliveryState, Link, Status, is_id
from service.store import keys
from service.store.call import Call, call, from_ms, run_script, to_ms

FIELDS = (
    "org_id",
    "email",
    "transaction_id",
    "payment_amount",
    "currency",
    "otp_required",
    "scheduled_at",
    "created_at",
    "expires_at",
    "revoked_at",
    "delivery_state",
    "delivery_attempts",
    "delivery_sent_at",
    "delivery_error",
)
"""A link's fields in its hash. One that is null is absent; times are in ms. ``request`` is kept beside them."""


class Page(msgspec.Struct, frozen=True):
    """Some of an organization's links, and how many it has. ``next_cursor`` is null on the last page."""

    total: int
    counts: dict[Status, int]
    ids: list[str]
    next_cursor: str | None


def create(link: Link, *, now: datetime, retention: timedelta, request: str | None = None) -> Call[bool]:
    """Stores ``link`` with its indexes and the e-mail it owes. False: its id exists already, and nothing was changed.

    ``request`` is the digest of the request, kept where one may come again (``get_with_request`` reads it).
    """
    recipient, partition = link.recipient, keys.partition_of_link(link.id)
    owes = link.delivery.state is not DeliveryState.NONE
    queues = [keys.outbox(partition), keys.scheduled(partition)]
    if link.delivery.state is DeliveryState.SCHEDULED:
        queues.reverse()
    record = [part for field, value in _encode(link).items() for part in (field, value)]
    if request is not None:
        record += ["request", request]
    return run_script(
        bool,
        "create",
        [
            keys.link(link.id),
            keys.org(link.org_id),
            keys.active(link.org_id),
            keys.revoked(link.org_id),
            keys.email(partition, recipient),
            keys.unsent(partition),
            *queues,
        ],
        link.id,
        to_ms(link.created_at),
        to_ms(link.expires_at),
        to_ms(link.ended_at + retention),
        "mail" if owes else "",
        to_ms(link.due_at),
        to_ms(now - retention),
        *record,
    )


def get(link_id: str) -> Call[Link | None]:
    """The link, or None where there is none."""
    return call(lambda values: decode(link_id, values), "HMGET", keys.link(link_id), *FIELDS)


def get_with_request(link_id: str) -> Call[tuple[Link | None, str | None]]:
    """The link, and the digest of the request that made it where it came with an idempotency key."""
    return call(lambda values: (decode(link_id, values[:-1]), values[-1]), "HMGET", keys.link(link_id), *FIELDS, "request")


def get_many(link_ids: Sequence[str]) -> Call[list[Link | None]]:
    """The links behind ``link_ids`` (one or more, all of one partition), None where there is none."""
    return run_script(
        lambda records: [decode(*record) for record in zip(link_ids, records, strict=True)],
        "read",
        [keys.link(link_id) for link_id in link_ids],
        *FIELDS,
    )


def revoke(link: Link, *, now: datetime, retention: timedelta) -> Call[bool]:
    """Revokes ``link`` and takes back an e-mail that is not out yet. False: it had ended before."""
    partition = keys.partition_of_link(link.id)
    return run_script(
        bool,
        "revoke",
        [
            keys.link(link.id),
            keys.active(link.org_id),
            keys.revoked(link.org_id),
            keys.email(partition, link.recipient),
            keys.unsent(partition),
            keys.outbox(partition),
            keys.scheduled(partition),
            keys.org(link.org_id),
        ],
        link.id,
        to_ms(now),
        to_ms(now + retention),
    )


def active_ids(partition: str, recipient: str, *, now: datetime, offset: int, limit: int) -> Call[list[str]]:
    """Ids of links in ``partition`` that are active and were sent to the canonical e-mail ``recipient``."""
    key = keys.email(partition, recipient)
    return call(list, "ZRANGEBYSCORE", key, f"({to_ms(now)}", "+inf", "LIMIT", offset, limit)


def page(
    org_id: str, *, now: datetime, retention: timedelta, limit: int, status: Status | None = None, cursor: str | None = None
) -> Call[Page]:
    """The next ``limit`` links after ``cursor``: newest first, or, of one status, the latest to end first.

    Raises:
        Invalid: the cursor is none that a page gave out.
    """
    score, last = decode_cursor(cursor) if cursor else ("", "")
    return run_script(
        lambda reply: _decode_page(reply, limit),
        "page",
        [keys.org(org_id), keys.active(org_id), keys.revoked(org_id)],
        to_ms(now),
        to_ms(now - retention),
        status.value if status else "",
        limit,
        score,
        last,
    )


def decode(link_id: str, values: Sequence[str | None]) -> Link | None:
    """The link whose ``FIELDS`` have these values."""
    org_id, email, transaction_id, amount, currency, otp_required, scheduled_at, created_at, expires_at, revoked_at = values[:10]
    state, attempts, sent_at, error = values[10:]
    if org_id is None or email is None or created_at is None or expires_at is None or state is None:
        return None
    return Link(
        id=link_id,
        org_id=org_id,
        email=email,
        transaction_id=transaction_id,
        payment_amount=None if amount is None else Decimal(amount),
        currency=currency,
        otp_required=otp_required is not None,
        scheduled_at=_moment_or_none(scheduled_at),
        created_at=from_ms(created_at),
        expires_at=from_ms(expires_at),
        revoked_at=_moment_or_none(revoked_at),
        delivery=Delivery(DeliveryState(state), int(attempts or 0), _moment_or_none(sent_at), error),
    )


def encode_cursor(score: str, link_id: str) -> str:
    """A page's last link, in a form that tells callers nothing to rely on."""
    return base64.urlsafe_b64encode(f"{score}:{link_id}".encode()).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> tuple[str, str]:
    """What ``encode_cursor`` was given.

    Raises:
        Invalid: it is none of ours.
    """
    try:
        padded = cursor.encode() + b"=" * (-len(cursor) % 4)
        score, _, link_id = base64.b64decode(padded, altchars=b"-_", validate=True).decode().partition(":")
    except (binascii.Error, UnicodeError):
        score, link_id = "", ""
    if not (score.isascii() and score.isdigit() and len(score) < 16 and is_id(link_id)):
        raise Invalid("cursor", "must be the next_cursor of a page")
    return score, link_id


def _encode(link: Link) -> dict[str, str | int]:
    values: dict[str, str | int | None] = {
        "org_id": link.org_id,
        "email": link.email,
        "transaction_id": link.transaction_id,
        "payment_amount": None if link.payment_amount is None else str(link.payment_amount),
        "currency": link.currency,
        "otp_required": 1 if link.otp_required else None,
        "scheduled_at": None if link.scheduled_at is None else to_ms(link.scheduled_at),
        "created_at": to_ms(link.created_at),
        "expires_at": to_ms(link.expires_at),
        "delivery_state": link.delivery.state.value,
    }
    return {field: value for field, value in values.items() if value is not None}


def _decode_page(reply: list[Any], limit: int) -> Page:
    total, active, expired, revoked = (int(count) for count in reply[:4])
    entries = list(zip(reply[4::2], reply[5::2], strict=True))
    more, entries = len(entries) > limit, entries[:limit]
    return Page(
        total=total,
        counts={Status.ACTIVE: active, Status.EXPIRED: expired, Status.REVOKED: revoked},
        ids=[link_id for link_id, _ in entries],
        next_cursor=encode_cursor(str(int(float(entries[-1][1]))), entries[-1][0]) if more else None,
    )


def _moment_or_none(milliseconds: str | None) -> datetime | None:
    return None if milliseconds is None else from_ms(milliseconds)
