"""A process's heartbeat, which also keeps its clock right."""

import os
import socket
import time

import structlog

from service.health import store as heartbeats
from service.storage.clock import MAX_CLOCK_SKEW, StoreClock
from service.storage.command import Command

log = structlog.get_logger(__name__)


class Heartbeat:
    """Says that a process of ``kind`` is alive; the store's answer sets ``clock``."""

    def __init__(self, kind: str, clock: StoreClock, *, pid: int | None = None) -> None:
        """``pid`` is whose it is where not this process's: a child that is started again goes on with its parent's."""
        self.kind = kind
        self.clock = clock
        self._process = process_name(pid or os.getpid())
        self._is_skewed = False

    def record(self) -> Command[float]:
        """To be carried out at once, and once: how long it takes counts."""
        asked_at = time.monotonic()
        call = heartbeats.record(self.kind, self._process, skew=self.clock.skew)

        def decode(reply: list[str]) -> float:
            store_time = call.decode(reply)
            self.clock.set(store_time, asked_at=asked_at, answered_at=time.monotonic())
            self._report()
            return store_time

        return call._replace(decode=decode)

    def remove(self) -> Command[bool]:
        """For a process that ends as it was asked to."""
        return heartbeats.remove(self.kind, self._process)

    def _report(self) -> None:
        is_skewed = abs(self.clock.skew) >= MAX_CLOCK_SKEW
        if is_skewed and not self._is_skewed:
            log.warning(
                "clock_skew", process=self.kind, seconds=round(self.clock.skew.total_seconds(), 1)
            )
        if self._is_skewed and not is_skewed:
            log.info("clock_in_step", process=self.kind)
        self._is_skewed = is_skewed


def process_name(pid: int) -> str:
    """How heartbeats name a process of this machine."""
    return f"{host_name()}:{pid}"


def host_name() -> str:
    """How heartbeats name this machine."""
    return socket.gethostname()
