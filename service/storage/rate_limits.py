"""Rate limits: counters that Redis forgets at the end of their window, checked and counted by one script."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from service.storage.command import Command, duration_ms, run_script


class RateLimit(NamedTuple):
    """At most ``maximum`` under ``key`` in a ``window``, which begins with the first."""

    name: str
    key: str
    maximum: int
    window: timedelta


class RateLimited(NamedTuple):
    """``limit`` is reached, for another ``retry_after``."""

    limit: RateLimit
    retry_after: timedelta


def count(limits: Sequence[RateLimit]) -> Command[RateLimited | None]:
    """Counts one more under each of ``limits``, which lie in one slot. Where one is reached, it counts under none.

    Of several that are reached, it names the one that lasts longest.
    """
    return _count(limits, 1)


def check(limits: Sequence[RateLimit]) -> Command[RateLimited | None]:
    """What ``count`` would answer; counts nothing."""
    return _count(limits, 0)


def uncount(limits: Sequence[RateLimit]) -> Command[None]:
    """Takes one count back from each of ``limits``, which lie in one slot."""
    return run_script(lambda _: None, "storage/uncount", [limit.key for limit in limits])


def parse_pttl(milliseconds: str | int) -> timedelta:
    """How long to wait for a key that has this PTTL: never zero, nor less where it went meanwhile."""
    return timedelta(milliseconds=max(1, int(milliseconds)))


def _count(limits: Sequence[RateLimit], more: int) -> Command[RateLimited | None]:
    def decode(reply: Any) -> RateLimited | None:
        reached, milliseconds = reply
        return (
            RateLimited(limits[int(reached) - 1], parse_pttl(milliseconds))
            if int(reached)
            else None
        )

    arguments = [
        argument for limit in limits for argument in (limit.maximum, duration_ms(limit.window))
    ]
    return run_script(decode, "storage/count", [limit.key for limit in limits], more, *arguments)
