"""A process's heartbeat. The store's answer to it also sets the process's clock."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from service.errors import PaymentLinkError
from service.health import store
from service.storage.clock import MAX_CLOCK_SKEW, RedisClock
from service.storage.command import Command
from service.storage.pipeline import AutoPipeline

log = structlog.get_logger(__name__)

HEARTBEAT_INTERVAL_SECONDS = 2.0
UNSET_CLOCK_INTERVAL_SECONDS = 0.1
"""The interval until the store sets the clock, if it did not answer when the process started."""


class Heartbeat:
    """Records that a process is alive, and sets ``clock`` to the store's time."""

    def __init__(self, process_type: str, clock: RedisClock, *, pid: int | None = None) -> None:
        """``pid`` defaults to this process's. A restarted child keeps its parent's heartbeat."""
        self.process_type = process_type
        self.clock = clock
        self._process = f"{host_name()}:{pid or os.getpid()}"
        self._is_skewed = False

    def record(self) -> Command[float]:
        """A command to run at once, and only once: its duration counts."""
        sent_at = time.monotonic()
        command = store.record(self.process_type, self._process, skew=self.clock.skew)

        def decode(reply: list[str]) -> float:
            redis_time = command.decode(reply)
            self.clock.set(redis_time, sent_at=sent_at, received_at=time.monotonic())
            self._log_skew()
            return redis_time

        return command._replace(decode=decode)

    def remove(self) -> Command[bool]:
        """Removes the heartbeat of a process that stops because it was asked to."""
        return store.remove(self.process_type, self._process)

    def _log_skew(self) -> None:
        was_skewed, self._is_skewed = self._is_skewed, abs(self.clock.skew) >= MAX_CLOCK_SKEW
        if self._is_skewed and not was_skewed:
            log.warning(
                "clock_skew",
                process=self.process_type,
                seconds=round(self.clock.skew.total_seconds(), 1),
            )
        if was_skewed and not self._is_skewed:
            log.info("clock_in_step", process=self.process_type)


@asynccontextmanager
async def keep_recording(heartbeat: Heartbeat, pipeline: AutoPipeline) -> AsyncIterator[None]:
    """Records ``heartbeat`` at its interval while the context lasts, and removes it at the end."""
    await _run(heartbeat.record(), pipeline)
    recording = asyncio.create_task(_record_forever(heartbeat, pipeline))
    try:
        yield
    finally:
        recording.cancel()
        await asyncio.wait([recording])
        await _run(heartbeat.remove(), pipeline)


def host_name() -> str:
    """The name of this machine in heartbeats."""
    return socket.gethostname()


async def _record_forever(heartbeat: Heartbeat, pipeline: AutoPipeline) -> None:
    while True:
        is_set = heartbeat.clock.is_set
        await asyncio.sleep(HEARTBEAT_INTERVAL_SECONDS if is_set else UNSET_CLOCK_INTERVAL_SECONDS)
        await _run(heartbeat.record(), pipeline)


async def _run(command: Command[object], pipeline: AutoPipeline) -> None:
    """Runs ``command``; if Redis does not answer, the next heartbeat is the next attempt."""
    with suppress(PaymentLinkError):
        await pipeline.run(command)
