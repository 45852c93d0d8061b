"""E-mails that wait in queues: claimed under a lease, and renewed.

A member of a queue stands for an e-mail; only the capability that added it knows which.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Any

import msgspec

from service.outbox.queues import QUEUES, MailQueue
from service.storage.command import Command, command, run_script
from service.values.time import datetime_from_ms, datetime_to_ms


class Due(msgspec.Struct, frozen=True):
    """What is due in a partition."""

    queues: list[MailQueue]
    """Those in which a worker can claim an e-mail."""
    unsent: int
    """E-mails that are due or claimed."""
    oldest: datetime | None
    """Since when the oldest of them is due, in the queues that record it."""
    unreadable: list[str] = []
    """Keys of another type, which do not count."""


def claim(
    queue: MailQueue, partition: str, *, now: datetime, lease_deadline: datetime, limit: int
) -> Command[list[str]]:
    """Claims up to ``limit`` members that are due, under a lease until ``lease_deadline``."""
    scheduled = ("-inf", datetime_to_ms(now) + 1)
    times = (
        datetime_to_ms(now),
        datetime_to_ms(lease_deadline),
        limit,
        datetime_to_ms(now),
        *scheduled,
    )
    return run_script(list, "outbox/claim", queue.all_keys(partition), *times)


def claim_window(
    queue: MailQueue, partition: str, *, now: datetime, start: datetime, end: datetime, limit: int
) -> Command[list[str]]:
    """Moves up to ``limit`` members scheduled in [``start``, ``end``) to the outbox, due now."""
    times = (datetime_to_ms(now), "", limit, "", datetime_to_ms(start), datetime_to_ms(end))
    return run_script(list, "outbox/claim", queue.waiting_keys(partition), *times)


def renew(
    queue: MailQueue,
    partition: str,
    members: Sequence[str],
    *,
    lease_deadline: datetime,
    until: datetime,
) -> Command[list[str]]:
    """Extends the lease until ``lease_deadline``; returns the members that are still under it."""
    return run_script(
        list,
        "outbox/renew",
        [queue.outbox(partition)],
        datetime_to_ms(lease_deadline),
        datetime_to_ms(until),
        *members,
    )


def has_pending(partition: str, queues: Sequence[MailQueue] = QUEUES) -> Command[bool]:
    """Whether an e-mail waits in the partition, due now or later.

    Ask this before ``read_due``, which runs a script: in most partitions, none waits.
    """
    keys = [key for queue in queues for key in queue.waiting_keys(partition)]
    return command(bool, "EXISTS", *keys)


def read_due(
    partition: str, *, now: datetime, queues: Sequence[MailQueue] = QUEUES
) -> Command[Due]:
    """What is due in the partition."""
    keys = [queue.all_keys(partition) for queue in queues]
    return run_script(
        partial(_decode_due, queues),
        "outbox/read_due",
        list(chain.from_iterable(keys)),
        datetime_to_ms(now),
        *map(len, keys),
    )


def _decode_due(queues: Sequence[MailQueue], reply: list[Any]) -> Due:
    are_due, unsent, oldest, unreadable = reply
    return Due(
        [queue for queue, is_due in zip(queues, are_due, strict=True) if is_due],
        unsent,
        datetime_from_ms(oldest) if oldest else None,
        unreadable,
    )
