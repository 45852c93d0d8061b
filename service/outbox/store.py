"""E-mails that are owed: claimed under a lease, opened, and settled. What is written here survives whoever was sending it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from service.links.model import DeliveryState, Link
from service.links.record import FIELDS, decode
from service.storage import keys
from service.storage.command import (
    Command,
    command,
    duration_ms,
    from_ms,
    run_script,
    to_ms,
    try_decode,
)
from service.values.time import format_time


class Due(msgspec.Struct, frozen=True):
    """What a partition owes now: whether a link's or a code's e-mail is due, how many links' are, and since when the oldest."""

    links: bool
    codes: bool
    unsent: int
    oldest: datetime | None
    unreadable: list[str] = []
    """Keys that hold something else, and are left out."""


class Failure(msgspec.Struct, frozen=True):
    """A link whose e-mail was given up, and when: at the latest when it expired."""

    link_id: str
    at: datetime


class Failures(msgspec.Struct, frozen=True):
    """How many there are in a partition, and the latest of them, latest first."""

    total: int
    latest: list[Failure]


def claim_links(
    partition: str, *, now: datetime, deadline: datetime, limit: int
) -> Command[list[str]]:
    """Takes up to ``limit`` links whose e-mail is due under a lease that ends at ``deadline``."""
    queues = [keys.outbox(partition), keys.scheduled(partition), keys.pending_since(partition)]
    full_ids = partial(keys.full_ids, partition)
    return run_script(
        full_ids,
        "outbox/claim",
        queues,
        to_ms(now),
        to_ms(deadline),
        limit,
        to_ms(now),
        "-inf",
        to_ms(now) + 1,
    )


def claim_codes(
    partition: str, *, now: datetime, deadline: datetime, limit: int
) -> Command[list[str]]:
    """The same for e-mails that are owed a one-time password."""
    return run_script(
        list,
        "outbox/claim",
        [keys.otp_outbox(partition)],
        to_ms(now),
        to_ms(deadline),
        limit,
        to_ms(now),
    )


def claim_window(
    partition: str, *, now: datetime, start: datetime, end: datetime, limit: int
) -> Command[list[str]]:
    """Queues up to ``limit`` links scheduled in [``start``, ``end``) for whichever worker is next."""
    queues = [keys.outbox(partition), keys.scheduled(partition)]
    full_ids = partial(keys.full_ids, partition)
    return run_script(
        full_ids, "outbox/claim", queues, to_ms(now), "", limit, "", to_ms(start), to_ms(end)
    )


def renew_links(
    partition: str, link_ids: Sequence[str], *, deadline: datetime, until: datetime
) -> Command[list[str]]:
    """Prolongs the lease that ends at ``deadline``; gives the links still under it."""
    full_ids, local_ids = partial(keys.full_ids, partition), map(keys.local_id, link_ids)
    return run_script(
        full_ids,
        "outbox/renew",
        [keys.outbox(partition)],
        to_ms(deadline),
        to_ms(until),
        *local_ids,
    )


def renew_codes(
    partition: str, emails: Sequence[str], *, deadline: datetime, until: datetime
) -> Command[list[str]]:
    """The same for e-mails that are owed a one-time password."""
    return run_script(
        list, "outbox/renew", [keys.otp_outbox(partition)], to_ms(deadline), to_ms(until), *emails
    )


def load_claimed_links(
    partition: str, link_ids: Sequence[str]
) -> Command[list[Link | ValueError | None]]:
    """Reads claimed links and marks their e-mails as queued. None: the link is gone, and owes nothing any more.

    ValueError: its record cannot be read.
    """
    return run_script(
        lambda records: [
            try_decode(decode, link_id, values)
            for link_id, values in zip(link_ids, records, strict=True)
        ],
        "links/load_claimed",
        [keys.outbox(partition), keys.pending_since(partition), *map(keys.link, link_ids)],
        DeliveryState.SCHEDULED.value,
        DeliveryState.QUEUED.value,
        *map(keys.local_id, link_ids),
        *FIELDS,
    )


def mark_sent(link_id: str, *, now: datetime) -> Command[bool]:
    """The SMTP server has the link's e-mail."""
    return _settle(link_id, DeliveryState.SENT, sent=format_time(now))


def mark_failed(
    link_id: str,
    *,
    error: str,
    attempts: int,
    now: datetime,
    retention: timedelta,
    deadline: datetime | None = None,
) -> Command[bool]:
    """The link's e-mail is given up after ``attempts`` more tries (0 or 1), unless the lease until ``deadline`` was lost.

    ``failures`` tells of it for as long as ``retention``.
    """
    failed = (to_ms(now), duration_ms(retention))
    return _settle(link_id, DeliveryState.FAILED, attempts, deadline, error=error, failed=failed)


def retry_later(
    link_id: str, *, error: str, at: datetime, attempts: int = 1, deadline: datetime | None = None
) -> Command[bool]:
    """After ``attempts`` more tries (0 or 1) there is another at ``at``, unless the lease until ``deadline`` was lost."""
    return _settle(
        link_id, DeliveryState.QUEUED, attempts, deadline, error=error, retry_at=to_ms(at)
    )


def has_pending(partition: str) -> Command[bool]:
    """Whether the partition owes an e-mail, now or later: asked before ``due``, a script, for most owe nothing most of the time."""
    return command(
        bool,
        "EXISTS",
        keys.outbox(partition),
        keys.scheduled(partition),
        keys.otp_outbox(partition),
    )


def due(partition: str, *, now: datetime) -> Command[Due]:
    """What the partition owes."""
    return run_script(
        lambda reply: Due(
            bool(reply[0]),
            bool(reply[1]),
            int(reply[2]),
            from_ms(reply[3]) if reply[3] else None,
            reply[4],
        ),
        "outbox/due",
        [
            keys.outbox(partition),
            keys.scheduled(partition),
            keys.otp_outbox(partition),
            keys.pending_since(partition),
        ],
        to_ms(now),
    )


def count_scheduled(
    partition: str, *, start: datetime, end: datetime | None = None
) -> Command[int]:
    """How many e-mails of links the partition owes in [``start``, ``end``), or from ``start`` on."""
    return command(
        int,
        "ZCOUNT",
        keys.scheduled(partition),
        to_ms(start),
        "+inf" if end is None else f"({to_ms(end)}",
    )


def failures(
    partition: str, *, now: datetime, retention: timedelta, limit: int
) -> Command[Failures]:
    """The e-mails that were given up in the time of ``retention``, the latest ``limit`` of them by name."""
    return run_script(
        partial(_decode_failures, partition),
        "links/failures",
        [keys.failed(partition)],
        to_ms(now - retention),
        limit,
    )


def _settle(
    link_id: str,
    state: DeliveryState,
    attempts: int = 1,
    deadline: datetime | None = None,
    *,
    sent: str = "",
    error: str = "",
    retry_at: int | str = "",
    failed: tuple[int | str, int | str] = ("", ""),
) -> Command[bool]:
    partition = keys.partition_of_link(link_id)
    return run_script(
        bool,
        "links/settle",
        [
            keys.link(link_id),
            keys.outbox(partition),
            keys.pending_since(partition),
            keys.failed(partition),
        ],
        keys.local_id(link_id),
        state.value,
        attempts,
        "" if deadline is None else to_ms(deadline),
        sent,
        error,
        retry_at,
        *failed,
    )


def _decode_failures(partition: str, reply: list[Any]) -> Failures:
    link_ids = keys.full_ids(partition, reply[1::2])
    latest = [
        Failure(link_id, from_ms(at)) for link_id, at in zip(link_ids, reply[2::2], strict=True)
    ]
    return Failures(int(reply[0]), latest)
