"""Heartbeats in Redis, by the store's own clock: which processes are alive, and how they are."""

from datetime import timedelta
from typing import Any

from service.health.model import Pause, ProcessHealth
from service.storage import keys
from service.storage.clock import decode_time
from service.storage.command import Command, command, run_script
from service.values.time import MILLISECOND, datetime_from_ms, datetime_to_ms, duration_ms

HEARTBEAT_TTL = timedelta(seconds=120)
"""Redis forgets a process this long after its last heartbeat; until then it can be stalled."""


def record(
    process_type: str, process: str, *, skew: timedelta, pause: Pause | None = None
) -> Command[float]:
    """Records a heartbeat of ``process``; returns the store's time, in seconds since 1970."""
    return run_script(
        decode_time,
        "health/record_heartbeat",
        [keys.heartbeats(process_type)],
        process,
        _encode_state(skew, pause),
        duration_ms(HEARTBEAT_TTL),
    )


def remove(process_type: str, process: str) -> Command[bool]:
    """Removes the heartbeat of a process that ends."""
    return command(bool, "HDEL", keys.heartbeats(process_type), process)


def probe_writes(tag: str) -> Command[bool]:
    """Changes nothing. A server refuses it that refuses to write what lies with ``tag``."""
    return command(bool, "DEL", keys.probe(tag))


def read(process_type: str) -> Command[list[ProcessHealth]]:
    """The processes of a kind, those with the latest heartbeat first."""
    return run_script(_decode_processes, "health/read_heartbeats", [keys.heartbeats(process_type)])


def _encode_state(skew: timedelta, pause: Pause | None) -> str:
    """The skew in milliseconds; of a paused worker also since when, in milliseconds, and why."""
    paused = "" if pause is None else f" {datetime_to_ms(pause.since)} {pause.reason}"
    return f"{duration_ms(skew)}{paused}"


def _decode_processes(reply: list[Any]) -> list[ProcessHealth]:
    now_ms = decode_time(reply[0]) * 1000
    names, values = reply[1][::2], reply[1][1::2]
    return sorted(
        (_decode_process(name, value, now_ms) for name, value in zip(names, values, strict=True)),
        key=lambda process: process.heartbeat_age,
    )


def _decode_process(name: str, value: str, now_ms: float) -> ProcessHealth:
    at, skew, *pause = value.split(" ", 3)
    return ProcessHealth(
        name,
        max(0.0, now_ms - int(at)) * MILLISECOND,
        int(skew) * MILLISECOND,
        _decode_pause(*pause) if pause else None,
    )


def _decode_pause(since: str, reason: str) -> Pause:
    return Pause(reason, datetime_from_ms(since))
