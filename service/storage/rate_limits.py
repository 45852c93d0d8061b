"""Rate limits: counters that expire with their window. One script checks them and counts."""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from service.storage.command import Command, run_script
from service.values.time import duration_ms


class RateLimit(NamedTuple):
    """At most ``maximum`` counts under ``key`` in a ``window``, which the first count starts."""

    name: str
    key: str
    maximum: int
    window: timedelta


class ReachedLimit(NamedTuple):
    """The limit has been reached, until ``retry_after``."""

    limit: RateLimit
    retry_after: timedelta


def count(limits: Sequence[RateLimit]) -> Command[ReachedLimit | None]:
    """Adds one to each of the limits, or to none if one of them has been reached.

    The limits lie in one slot. If several have been reached, the reply is the one that ends last.
    """
    return _count(limits, 1)


def check(limits: Sequence[RateLimit]) -> Command[ReachedLimit | None]:
    """The same reply as that of ``count``, without adding anything."""
    return _count(limits, 0)


def uncount(limits: Sequence[RateLimit]) -> Command[None]:
    """Takes one from each of the limits, which lie in one slot."""
    return run_script(lambda _: None, "storage/uncount", [limit.key for limit in limits])


def script_args(limits: Sequence[RateLimit]) -> list[int]:
    """``limits`` as ``find_reached`` in ``common.lua`` takes them."""
    return [arg for limit in limits for arg in (limit.maximum, duration_ms(limit.window))]


def decode_reached(
    limits: Sequence[RateLimit], position: str | int, milliseconds: str | int
) -> ReachedLimit:
    """The reply of ``find_reached`` where it found one of ``limits``."""
    return ReachedLimit(limits[int(position) - 1], parse_pttl(milliseconds))


def parse_pttl(milliseconds: str | int) -> timedelta:
    """The reply to PTTL, and at least a millisecond: the key may have expired meanwhile."""
    return timedelta(milliseconds=max(1, int(milliseconds)))


def _count(limits: Sequence[RateLimit], increment: int) -> Command[ReachedLimit | None]:
    return run_script(
        lambda reply: decode_reached(limits, *reply) if int(reply[0]) else None,
        "storage/count",
        [limit.key for limit in limits],
        increment,
        *script_args(limits),
    )
