"""Heartbeats: which processes are alive, and how far their clocks are from the store's. The store's own clock counts here."""

from datetime import timedelta
from typing import Any

import msgspec

from service.storage import keys
from service.storage.clock import MAX_CLOCK_SKEW
from service.storage.command import MILLISECOND, Command, call, duration_ms, run_script

STALLED_AFTER = timedelta(seconds=20)
"""How old a heartbeat is when its process counts as stalled: a worker may wait that long for a mail server."""
REMEMBERED_FOR = timedelta(seconds=120)
"""How long a process that is not heard of any more counts as stalled before it is forgotten."""


class Seen(msgspec.Struct, frozen=True):
    """A process, how long ago it was last alive, and by how much its machine's clock is ahead of the store's."""

    process: str
    age: timedelta
    skew: timedelta

    @property
    def is_stalled(self) -> bool:
        return self.age > STALLED_AFTER

    @property
    def is_skewed(self) -> bool:
        return abs(self.skew) >= MAX_CLOCK_SKEW


def record(kind: str, process: str, *, skew: timedelta) -> Command[float]:
    """Says that ``process`` is alive; gives the store's time, in seconds since 1970."""
    return run_script(
        _seconds,
        "health/record_heartbeat",
        [keys.heartbeats(kind)],
        process,
        duration_ms(skew),
        duration_ms(REMEMBERED_FOR),
    )


def remove(kind: str, process: str) -> Command[bool]:
    """Forgets ``process``, which ends."""
    return call(bool, "HDEL", keys.heartbeats(kind), process)


def read(kind: str) -> Command[list[Seen]]:
    """The processes of a kind, those first that were alive last."""
    return run_script(_decode, "health/read_heartbeats", [keys.heartbeats(kind)])


def _seconds(time: list[str]) -> float:
    return int(time[0]) + int(time[1]) / 1_000_000


def _decode(reply: list[Any]) -> list[Seen]:
    now_ms = _seconds(reply[0]) * 1000
    processes, values = reply[1][::2], [value.split() for value in reply[1][1::2]]
    seen = [
        Seen(process, max(0.0, now_ms - int(at)) * MILLISECOND, int(skew) * MILLISECOND)
        for process, (at, skew) in zip(processes, values, strict=True)
    ]
    return sorted(seen, key=lambda one: one.age)
