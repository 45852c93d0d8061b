"""A process's heartbeat. The store's answer to it also sets the process's clock."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from service.errors import PaymentLinkError, Unavailable
from service.health import store
from service.health.model import Pause
from service.storage.clock import MAX_CLOCK_SKEW, RedisClock, read_time
from service.storage.command import Command
from service.storage.error_descriptions import describe_failure
from service.storage.pipeline import AutoPipeline

log = structlog.get_logger(__name__)

HEARTBEAT_INTERVAL_SECONDS = 2.0
UNSET_CLOCK_INTERVAL_SECONDS = 0.1
"""The interval until the store sets the clock, if it did not answer when the process started."""


class Heartbeat:
    """Records that a process is alive, and sets ``clock`` to the store's time.

    A worker that holds its mail back sets ``pause``, which the next heartbeat records.
    """

    def __init__(self, process_type: str, clock: RedisClock, *, pid: int | None = None) -> None:
        """``pid`` defaults to this process's. A restarted child keeps its parent's heartbeat."""
        self.process_type = process_type
        self.clock = clock
        self.pause: Pause | None = None
        self._process = f"{host_name()}:{pid or os.getpid()}"
        self._is_skewed = self._is_failing = False

    def record(self) -> Command[float]:
        """A command to run at once, and only once: its duration counts."""
        command = self.clock.set_by(
            store.record(self.process_type, self._process, skew=self.clock.skew, pause=self.pause)
        )

        def decode(reply: list[str]) -> float:
            redis_time = command.decode(reply)
            self._log_skew()
            self._log_recovery()
            return redis_time

        return command._replace(decode=decode)

    def log_failure(self, error: Unavailable) -> None:
        """Logs that it could not be recorded, unless the one before it could not either."""
        if not self._is_failing:
            log.warning(
                "heartbeat_failed", process=self.process_type, error=describe_failure(error)
            )
        self._is_failing = True

    def remove(self) -> Command[bool]:
        """Removes the heartbeat of a process that stops because it was asked to."""
        return store.remove(self.process_type, self._process)

    def _log_recovery(self) -> None:
        if self._is_failing:
            log.info("heartbeat_recorded", process=self.process_type)
        self._is_failing = False

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
    await record(heartbeat, pipeline)
    recording = asyncio.create_task(_record_forever(heartbeat, pipeline))
    try:
        yield
    finally:
        recording.cancel()
        await asyncio.wait([recording])
        with suppress(PaymentLinkError):
            await pipeline.run(heartbeat.remove())


async def record(heartbeat: Heartbeat, pipeline: AutoPipeline) -> None:
    """Records ``heartbeat`` and sets its clock; if Redis does not answer, the next one does.

    A process counts time by its machine's clock until then, so a clock that is not set yet is set
    by another part of Redis.
    """
    try:
        await pipeline.run(heartbeat.record())
    except Unavailable as error:
        heartbeat.log_failure(error)
        if not heartbeat.clock.is_set:
            with suppress(PaymentLinkError):
                await pipeline.run(heartbeat.clock.set_by(read_time()))
    except PaymentLinkError:
        pass  # and logged


def host_name() -> str:
    """The name of this machine in heartbeats."""
    return socket.gethostname()


async def _record_forever(heartbeat: Heartbeat, pipeline: AutoPipeline) -> None:
    while True:
        is_set = heartbeat.clock.is_set
        await asyncio.sleep(HEARTBEAT_INTERVAL_SECONDS if is_set else UNSET_CLOCK_INTERVAL_SECONDS)
        await record(heartbeat, pipeline)
