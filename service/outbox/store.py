"""E-mails that are owed, as members of a partition's sorted sets: claimed under a lease, renewed."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from service.storage import keys
from service.storage.command import Command, command, from_ms, run_script, to_ms


class Due(msgspec.Struct, frozen=True):
    """What a partition owes now: whether a link's or a code's e-mail is due, how many e-mails are
    unsent, and since when the oldest of a link is owed.
    """

    links: bool
    codes: bool
    unsent: int
    oldest: datetime | None
    unreadable: list[str] = []
    """Keys that hold another type, and are left out."""


def claim(
    queues: Sequence[str], *, now: datetime, deadline: datetime, limit: int
) -> Command[list[str]]:
    """Takes up to ``limit`` members that are due under a lease that ends at ``deadline``.

    ``queues`` are an outbox, and, for links, ``scheduled`` and ``pending_since``.
    """
    scheduled = ("-inf", to_ms(now) + 1)
    return run_script(
        list, "outbox/claim", queues, to_ms(now), to_ms(deadline), limit, to_ms(now), *scheduled
    )


def claim_window(
    partition: str, *, now: datetime, start: datetime, end: datetime, limit: int
) -> Command[list[str]]:
    """Moves up to ``limit`` members scheduled in [``start``, ``end``) to the outbox, due at once."""
    queues = [keys.outbox(partition), keys.scheduled(partition)]
    return run_script(
        list, "outbox/claim", queues, to_ms(now), "", limit, "", to_ms(start), to_ms(end)
    )


def renew(
    outbox: str, members: Sequence[str], *, deadline: datetime, until: datetime
) -> Command[list[str]]:
    """Extends the lease that ends at ``deadline``; returns the members that are still under it."""
    return run_script(list, "outbox/renew", [outbox], to_ms(deadline), to_ms(until), *members)


def has_pending(partition: str) -> Command[bool]:
    """Whether the partition owes an e-mail, now or later.

    A plain command, to be asked before the script of ``due``: most partitions owe nothing.
    """
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
    """How many e-mails are scheduled in [``start``, ``end``), or from ``start`` on."""
    return command(
        int,
        "ZCOUNT",
        keys.scheduled(partition),
        to_ms(start),
        "+inf" if end is None else f"({to_ms(end)}",
    )
