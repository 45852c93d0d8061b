"""Pictures: drawn off the event loop, one at a time, once for all who ask meanwhile, and kept."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable

MAX_KEPT_BYTES = 4 * 1024 * 1024
"""Of pictures that a process keeps: some 250 of the largest, 2,000 of the usual size."""


class Pictures:
    """Draws pictures, and keeps those that were asked for last. A key must be what was found, never what was sent."""

    def __init__(self, max_kept_bytes: int = MAX_KEPT_BYTES) -> None:
        self._max_kept_bytes = max_kept_bytes
        self._kept: OrderedDict[Hashable, bytes] = OrderedDict()
        self._kept_bytes = 0
        self._drawing: dict[Hashable, asyncio.Task[bytes]] = {}
        self._one_at_a_time = asyncio.Semaphore(1)

    async def get(self, key: Hashable, draw: Callable[[], bytes]) -> bytes:
        """The picture of ``key``, which ``draw`` makes in a thread unless it is kept. What that raises is raised here."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        if key not in self._drawing:
            self._drawing[key] = asyncio.create_task(self._draw(key, draw))
            self._drawing[key].add_done_callback(lambda _: self._drawing.pop(key))
        return await asyncio.shield(self._drawing[key])

    async def _draw(self, key: Hashable, draw: Callable[[], bytes]) -> bytes:
        async with self._one_at_a_time:
            picture = await asyncio.to_thread(draw)
        self._kept[key] = picture
        self._kept_bytes += len(picture)
        while self._kept_bytes > self._max_kept_bytes:
            self._kept_bytes -= len(self._kept.popitem(last=False)[1])
        return picture
