"""The store's time, which every process goes by: what one schedules, another finds due, whatever their machines' clocks say."""

import time
from datetime import UTC, datetime, timedelta

MAX_CLOCK_SKEW = timedelta(seconds=2)
"""By how much a machine's clock may differ from the store's before somebody is told."""


class RedisClock:
    """Gives the store's time: counts on, by the monotonic clock, from when the store last told it.

    Before that it is this machine's time. ``skew`` is by how much this machine's clock is ahead of the store's.
    """

    def __init__(self) -> None:
        self._started_at = _machine_started_at()
        self.skew = timedelta(0)
        self.is_set = False

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(self._started_at + time.monotonic(), UTC)

    def set(self, store_time: float, *, asked_at: float, answered_at: float) -> None:
        """Goes by ``store_time`` (seconds since 1970), read at some moment between two of the monotonic clock.

        It is only moved as far as this proves it wrong, so that it does not tremble with the time that commands take.
        """
        earliest, latest = store_time - answered_at, store_time - asked_at
        self._started_at = min(max(self._started_at, earliest), latest)
        self.is_set = True
        self.skew = timedelta(seconds=_machine_started_at() - self._started_at)


def _machine_started_at() -> float:
    """When the monotonic clock was 0, as this machine's clock has it."""
    return time.time() - time.monotonic()
