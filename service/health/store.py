"""Heartbeats in Redis, by the store's own clock: which processes are alive, and their skew."""

from datetime import timedelta
from typing import Any

from service.health.model import ProcessHealth
from service.storage import keys
from service.storage.command import Command, command, run_script
from service.values.time import MILLISECOND, duration_ms

HEARTBEAT_TTL = timedelta(seconds=120)
"""Redis forgets a process this long after its last heartbeat; until then it can be stalled."""


def record(process_type: str, process: str, *, skew: timedelta) -> Command[float]:
    """Records a heartbeat of ``process``; returns the store's time, in seconds since 1970."""
    return run_script(
        _seconds,
        "health/record_heartbeat",
        [keys.heartbeats(process_type)],
        process,
        duration_ms(skew),
        duration_ms(HEARTBEAT_TTL),
    )


def remove(process_type: str, process: str) -> Command[bool]:
    """Removes the heartbeat of a process that ends."""
    return command(bool, "HDEL", keys.heartbeats(process_type), process)


def read(process_type: str) -> Command[list[ProcessHealth]]:
    """The processes of a kind, those with the latest heartbeat first."""
    return run_script(_decode_processes, "health/read_heartbeats", [keys.heartbeats(process_type)])


def _seconds(time: list[str]) -> float:
    return int(time[0]) + int(time[1]) / 1_000_000


def _decode_processes(reply: list[Any]) -> list[ProcessHealth]:
    now_ms = _seconds(reply[0]) * 1000
    names, values = reply[1][::2], [value.split() for value in reply[1][1::2]]
    return sorted(
        (
            ProcessHealth(name, max(0.0, now_ms - int(at)) * MILLISECOND, int(skew) * MILLISECOND)
            for name, (at, skew) in zip(names, values, strict=True)
        ),
        key=lambda process: process.heartbeat_age,
    )
