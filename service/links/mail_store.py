"""The e-mails of links in Redis: claimed under a lease, loaded, and settled."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from service.links.model import DeliveryState, Link
from service.links.redis_hash import FIELDS, decode
from service.outbox import store as outbox
from service.outbox.queues import LINK_QUEUE
from service.storage import keys
from service.storage.command import Command, command, run_script, try_decode
from service.values.time import datetime_from_ms, datetime_to_ms, duration_ms, format_time


class Failure(msgspec.Struct, frozen=True):
    """A link whose e-mail was given up, and when: at the latest when the link expired."""

    link_id: str
    at: datetime


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
    """The mail server accepted the link's e-mail. False: it was no longer owed."""
    return _settle(link_id, DeliveryState.SENT, sent=format_time(now))


def mark_failed(
    link_id: str,
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
    failed = (datetime_to_ms(now), duration_ms(retention))
    return _settle(
        link_id,
        DeliveryState.FAILED,
        lease_deadline,
        counts_as_attempt=counts_as_attempt,
        error=error,
        failed=failed,
    )


def retry_later(
    link_id: str,
    *,
    error: str,
    at: datetime,
    counts_as_attempt: bool = True,
    lease_deadline: datetime | None = None,
) -> Command[bool]:
    """Puts the link's e-mail off until ``at``.

    False: the lease until ``lease_deadline`` was lost, or the e-mail is no longer owed.
    """
    return _settle(
        link_id,
        DeliveryState.QUEUED,
        lease_deadline,
        counts_as_attempt=counts_as_attempt,
        error=error,
        retry_at=datetime_to_ms(at),
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
    link_id: str,
    state: DeliveryState,
    lease_deadline: datetime | None = None,
    *,
    counts_as_attempt: bool = True,
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
        int(counts_as_attempt),
        "" if lease_deadline is None else datetime_to_ms(lease_deadline),
        sent,
        error,
        retry_at,
        *failed,
    )


def _decode_failures(partition: str, reply: list[Any]) -> Failures:
    link_ids = keys.full_ids(partition, reply[1::2])
    latest = [
        Failure(link_id, datetime_from_ms(at))
        for link_id, at in zip(link_ids, reply[2::2], strict=True)
    ]
    return Failures(int(reply[0]), latest)
