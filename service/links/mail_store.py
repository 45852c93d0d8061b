"""The e-mails of links in Redis: claimed under a lease, loaded, and settled."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any

import msgspec

from service.links.model import DeliveryState, Link
from service.links.redis_hash import decode_list
from service.links.reminders import counts_from, next_reminder, reminder_member
from service.outbox import store as outbox
from service.outbox.queues import LINK_QUEUE
from service.storage import event_log, idempotency, keys, rate_limits
from service.storage.command import Command, command, run_script, try_decode
from service.storage.event_log import SYSTEM, Actor, Event, EventType
from service.storage.idempotency import IdempotencyRecord, IdempotentRequest, decode_record
from service.storage.rate_limits import RateLimit, ReachedLimit
from service.values.ids import partition_of
from service.values.mail_replies import reply_code
from service.values.reminders import Reminder, encode_reminders
from service.values.time import datetime_from_ms, datetime_to_ms, duration_ms, format_time

RESEND_AFTER = timedelta(seconds=60)
"""The least time between two resends of a link's e-mail."""
MAX_RESENDS_PER_DAY = 5


class Failure(msgspec.Struct, frozen=True):
    """A link whose e-mail was given up, and when: at the latest when the link expired."""

    link_id: str
    at: datetime


class ResendRefusal(StrEnum):
    """Why an e-mail is not owed again: the link has ended, or its e-mail is not out yet."""

    ENDED = "ended"
    PENDING = "pending"


class Resent(msgspec.Struct, frozen=True):
    """How many e-mails were asked for by now, and the ``earlier`` request with the same key."""

    sends: int
    earlier: IdempotencyRecord | None = None


class FailedBatch(msgspec.Struct, frozen=True):
    """How many failures of a batch are owed again, and how many of all batches of the request.

    ``next_cursor`` is None after the last batch.
    """

    queued: int
    queued_by_request: int
    next_cursor: tuple[str, str] | None


class Failures(msgspec.Struct, frozen=True):
    """How many there are in a partition, and the latest of them, latest first."""

    total: int
    latest: list[Failure]


def claim_window(
    partition: str, *, now: datetime, start: datetime, end: datetime, limit: int
) -> Command[list[str]]:
    """Queues up to ``limit`` links scheduled in [``start``, ``end``): any worker may claim them."""
    claimed = outbox.claim_window(LINK_QUEUE, partition, now=now, start=start, end=end, limit=limit)
    return claimed._replace(decode=partial(keys.full_ids, partition))


def load_claimed(
    partition: str, link_ids: Sequence[str]
) -> Command[list[Link | ValueError | None]]:
    """Reads claimed links and marks their e-mails as queued.

    None: the link no longer exists, and owes nothing. ValueError: its record cannot be read.
    """
    return run_script(
        lambda records: [
            try_decode(decode_list, link_id, fields)
            for link_id, fields in zip(link_ids, records, strict=True)
        ],
        "links/load_claimed",
        [keys.outbox(partition), keys.pending_since(partition), *map(keys.link, link_ids)],
        DeliveryState.SCHEDULED.value,
        DeliveryState.QUEUED.value,
        *map(keys.local_id, link_ids),
    )


def mark_sent(
    link: Link,
    *,
    now: datetime,
    retention: timedelta,
    default_reminders: Sequence[Reminder] = (),
) -> Command[bool]:
    """The mail server accepted the e-mail of ``link``, as it was when that was composed.

    With its first one the link's reminders begin: its own, or the organization's
    ``default_reminders``. False: it was no longer owed. Where another was asked for meanwhile,
    nothing changes.
    """
    delivery = link.delivery
    has_default = link.reminders is None and counts_from(link) is None
    default = default_reminders if has_default else ()
    sent = msgspec.structs.replace(
        link,
        reminders=tuple(default) or link.reminders,
        delivery=msgspec.structs.replace(
            delivery,
            state=DeliveryState.SENT,
            sent_at=now,
            first_sent_at=delivery.first_sent_at or delivery.sent_at,
        ),
    )
    return _settle(
        link,
        DeliveryState.SENT,
        now=now,
        sends=delivery.sends,
        sent=format_time(now),
        remind_at=next_reminder(sent, after=now),
        default_reminders=default,
        event=Event(EventType.SENT, SYSTEM, {"sends": delivery.sends}),
        event_retention=retention,
    )


def mark_failed(
    link: Link,
    *,
    error: str,
    counts_as_attempt: bool,
    now: datetime,
    retention: timedelta,
    lease_deadline: datetime | None = None,
) -> Command[bool]:
    """Gives the link's e-mail up.

    ``read_failures`` lists it for as long as ``retention``. False: the lease until
    ``lease_deadline`` was lost, or the e-mail is no longer owed.
    """
    data = {"mail": "link", "error": reply_code(error)}
    return _settle(
        link,
        DeliveryState.FAILED,
        lease_deadline,
        now=now,
        counts_as_attempt=counts_as_attempt,
        error=error,
        failed_retention=duration_ms(retention),
        event=Event(EventType.DELIVERY_FAILED, SYSTEM, data),
        event_retention=retention,
    )


def retry_later(
    link: Link,
    *,
    error: str,
    at: datetime,
    counts_as_attempt: bool = True,
    unconfirmed: bool = False,
    lease_deadline: datetime | None = None,
) -> Command[bool]:
    """Puts the link's e-mail off until ``at``; it may be out already if it is ``unconfirmed``.

    False: the lease until ``lease_deadline`` was lost, or the e-mail is no longer owed.
    """
    return _settle(
        link,
        DeliveryState.QUEUED,
        lease_deadline,
        counts_as_attempt=counts_as_attempt,
        unconfirmed=unconfirmed,
        error=error,
        retry_at=datetime_to_ms(at),
    )


def requeue(link_id: str, *, at: datetime) -> Command[bool]:
    """Owes a failed e-mail again, from ``at`` on, as if it had been put off until then.

    False: it is no longer failed, or the link has ended by then.
    """
    partition = keys.partition_of_link(link_id)
    return run_script(
        bool,
        "links/requeue",
        [keys.link(link_id), keys.outbox(partition), keys.failed(partition)],
        keys.local_id(link_id),
        datetime_to_ms(at),
        format_time(at),
        DeliveryState.FAILED.value,
        DeliveryState.QUEUED.value,
    )


def resend_limits(link_id: str) -> list[RateLimit]:
    """How often the link's e-mail can be sent again."""
    return [
        RateLimit("resend", keys.link_limit(link_id, "resend"), 1, RESEND_AFTER),
        RateLimit(
            "resends_day",
            keys.link_limit(link_id, "resends_day"),
            MAX_RESENDS_PER_DAY,
            timedelta(days=1),
        ),
    ]


def resend(
    link: Link,
    *,
    now: datetime,
    retention: timedelta,
    actor: Actor,
    request: IdempotentRequest | None = None,
) -> Command[Resent | ResendRefusal | ReachedLimit]:
    """Owes the e-mail of ``link`` again for ``actor``, as another one, whatever became of the last.

    It counts under ``resend_limits`` if it is not refused. ``retention`` is that of its event.
    """
    partition, limits = keys.partition_of_link(link.id), resend_limits(link.id)
    return run_script(
        partial(_decode_resend, limits),
        "links/resend",
        [
            keys.link(link.id),
            keys.outbox(partition),
            keys.failed(partition),
            keys.events(link.org_id),
            *(limit.key for limit in limits),
            *(() if request is None else (request.redis_key,)),
        ],
        keys.local_id(link.id),
        datetime_to_ms(now),
        format_time(now),
        DeliveryState.SCHEDULED.value,
        DeliveryState.QUEUED.value,
        DeliveryState.NONE.value,
        *rate_limits.script_args(limits),
        *idempotency.script_args(request, now),
        *event_log.script_args(Event(EventType.RESENT, actor), retention),
    )


def resend_failed(
    org_id: str,
    *,
    now: datetime,
    retention: timedelta,
    since: datetime | None,
    until: datetime,
    limit: int,
    actor: Actor,
    cursor: tuple[str, str] = ("", ""),
    request: IdempotentRequest | None = None,
) -> Command[FailedBatch]:
    """Owes failed e-mails of the organization's active links again for ``actor``, as others.

    It looks at up to ``limit`` failures of [``since``, ``until``] in the partition, latest first,
    from ``cursor`` on; at the longest, ``retention`` ago. The key of ``request`` was saved before.
    """
    partition, oldest = partition_of(org_id), now - retention
    return run_script(
        _decode_failed_batch,
        "links/resend_failed",
        [
            keys.failed(partition),
            keys.outbox(partition),
            keys.events(org_id),
            keys.link_key_prefix(partition),
            *(() if request is None else (request.redis_key,)),
        ],
        org_id,
        datetime_to_ms(now),
        format_time(now),
        f"({datetime_to_ms(oldest)}" if since is None or since <= oldest else datetime_to_ms(since),
        datetime_to_ms(until),
        limit,
        *cursor,
        DeliveryState.FAILED.value,
        DeliveryState.QUEUED.value,
        DeliveryState.NONE.value,
        *event_log.script_args(Event(EventType.RESENT, actor), retention),
    )


def count_scheduled(
    partition: str, *, start: datetime, end: datetime | None = None
) -> Command[int]:
    """How many e-mails are scheduled in [``start``, ``end``), or from ``start`` on."""
    latest = "+inf" if end is None else f"({datetime_to_ms(end)}"
    return command(int, "ZCOUNT", keys.scheduled(partition), datetime_to_ms(start), latest)


def read_failures(
    partition: str, *, now: datetime, retention: timedelta, limit: int
) -> Command[Failures]:
    """The e-mails that were given up within ``retention``: how many, and the latest ``limit``."""
    return run_script(
        partial(_decode_failures, partition),
        "links/read_failures",
        [keys.failed(partition)],
        datetime_to_ms(now - retention),
        limit,
    )


def _settle(
    link: Link,
    state: DeliveryState,
    lease_deadline: datetime | None = None,
    *,
    now: datetime | None = None,
    sends: int | str = "",
    counts_as_attempt: bool = True,
    unconfirmed: bool = False,
    sent: str = "",
    error: str = "",
    retry_at: int | str = "",
    failed_retention: int | str = "",
    remind_at: datetime | None = None,
    default_reminders: Sequence[Reminder] = (),
    event: Event | None = None,
    event_retention: timedelta = timedelta(0),
) -> Command[bool]:
    partition = keys.partition_of_link(link.id)
    return run_script(
        bool,
        "links/settle",
        [
            keys.link(link.id),
            keys.outbox(partition),
            keys.pending_since(partition),
            keys.failed(partition),
            keys.events(link.org_id),
            keys.notices(partition),
            keys.notice_outbox(partition),
        ],
        keys.local_id(link.id),
        sends,
        state.value,
        int(counts_as_attempt),
        int(unconfirmed),
        "" if lease_deadline is None else datetime_to_ms(lease_deadline),
        sent,
        error,
        retry_at,
        "" if now is None else datetime_to_ms(now),
        failed_retention,
        format_time(link.expires_at),
        "" if link.reminders is None else encode_reminders(link.reminders),
        reminder_member(link.id),
        "" if remind_at is None else datetime_to_ms(remind_at),
        encode_reminders(default_reminders) if default_reminders else "",
        *(() if event is None else event_log.script_args(event, event_retention)),
    )


def _decode_failures(partition: str, reply: list[Any]) -> Failures:
    link_ids = keys.full_ids(partition, reply[1::2])
    latest = [
        Failure(link_id, datetime_from_ms(at))
        for link_id, at in zip(link_ids, reply[2::2], strict=True)
    ]
    return Failures(int(reply[0]), latest)


def _decode_resend(
    limits: Sequence[RateLimit], reply: list[Any]
) -> Resent | ResendRefusal | ReachedLimit:
    outcome, *values = reply
    if outcome in {"resent", "earlier"}:
        sends, *earlier = values
        return Resent(int(sends), decode_record(earlier) if earlier else None)
    return rate_limits.decode_reached(limits, *values) if values else ResendRefusal(outcome)


def _decode_failed_batch(reply: list[Any]) -> FailedBatch:
    queued, queued_by_request, score, local_id = reply
    return FailedBatch(queued, queued_by_request, (score, local_id) if score else None)
