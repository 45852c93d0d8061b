"""The clock of Redis, which every process uses: so all agree on what is due.

It does not matter what the clocks of their machines show.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from service.storage import keys
from service.storage.command import Command, run_script

MAX_CLOCK_SKEW = timedelta(seconds=2)
"""A larger difference between a machine's clock and that of Redis is reported."""


class RedisClock:
    """The time of Redis as last read, carried on by the monotonic clock; until then the machine's.

    ``skew`` is how far the machine's clock is ahead of that of Redis.
    """

    def __init__(self) -> None:
        self._monotonic_start = _machine_monotonic_start()
        self.skew = timedelta(0)
        self.is_set = False

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(self._monotonic_start + time.monotonic(), UTC)

    def set(self, redis_time: float, *, sent_at: float, received_at: float) -> None:
        """Sets the clock to ``redis_time`` (seconds since 1970), read between two monotonic times.

        It moves only as far as this proves it wrong: latency varies from one reading to the next.
        """
        earliest, latest = redis_time - received_at, redis_time - sent_at
        self._monotonic_start = min(max(self._monotonic_start, earliest), latest)
        self.is_set = True
        self.skew = timedelta(seconds=_machine_monotonic_start() - self._monotonic_start)

    def set_by(self, command: Command[float]) -> Command[float]:
        """``command``, which returns the time of Redis (seconds since 1970), and sets the clock.

        It is to be run at once, and only once: its duration counts.
        """
        sent_at = time.monotonic()

        def decode(reply: Any) -> float:
            redis_time = command.decode(reply)
            self.set(redis_time, sent_at=sent_at, received_at=time.monotonic())
            return redis_time

        return command._replace(decode=decode)


def read_time() -> Command[float]:
    """The time of Redis, in seconds since 1970, where the version of the data lies.

    Heartbeats return it too; this is for a process that starts while their slot is unavailable.
    """
    return run_script(decode_time, "storage/read_time", [keys.DATA_VERSION_KEY])


def decode_time(reply: list[str]) -> float:
    """The reply of TIME, in seconds since 1970."""
    return int(reply[0]) + int(reply[1]) / 1_000_000


def _machine_monotonic_start() -> float:
    """When the monotonic clock was 0, by the machine's clock, in seconds since 1970."""
    return time.time() - time.monotonic()
