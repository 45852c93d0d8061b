"""The internal job's endpoint: have all links of a window e-mailed now."""

import time
from asyncio import sleep
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from litestar import post
from litestar.params import JSONBody

from service.api.bodies import StrictJson
from service.api.context import AdminRequest, Context, context_of
from service.api.guards import require_internal_admin
from service.api.problems import responses
from service.api.schemas import Dispatch, DispatchWindow
from service.domain.link import Status
from service.domain.time import format_time
from service.jobs import Bell
from service.store import keys, outbox
from service.store.call import Call

BATCH = 150
"""Links that are claimed at once, and then marked: some 0.4 and 0.9 ms of Redis."""
PAUSE = 5
"""A pause is this many times as long as the batch before it: a window can wait, other requests should not."""
LONGEST_PAUSE = 0.05
"""Seconds, at most: a store that hangs is not waited for twice over."""


@post(
    "/payment-links/scheduled",
    status_code=200,
    guards=[require_internal_admin],
    dto=StrictJson[DispatchWindow],
    return_dto=None,
    responses=responses(400, 401, 403, 408, 413, 415, 422),
    security=[{"admin": []}],
    tags=["Operations"],
    summary="Send the scheduled links of a window",
    response_description="How many links were due, and how many of them are queued.",
)
async def dispatch_window(request: AdminRequest, data: JSONBody[DispatchWindow | None] = None) -> Dispatch:
    """Queues every link scheduled in the window. Each is e-mailed once, however often this is called."""
    context, window = context_of(request), data or DispatchWindow()
    start, end = window.understood(context.clock())
    counts = [outbox.count_scheduled(partition, start=start, end=end) for partition in keys.PARTITIONS]
    owing = [partition for partition, count in zip(keys.PARTITIONS, await context.lane.run_all(counts), strict=True) if count]
    due, queued = await _queue(context, owing, start, end)
    return Dispatch(format_time(start), format_time(end), due, queued)


async def _queue(context: Context, partitions: Sequence[str], start: datetime, end: datetime) -> tuple[int, int]:
    """How many links of the partitions were due, and how many of them are queued.

    One batch after the other, each claimed while the one before is marked. Where other requests, or other windows, ask the store
    for something meanwhile, a pause of ``PAUSE`` times its length follows.
    """
    due, queued = 0, 0
    waiting, partition, claimed = deque(partitions), "", list[str]()
    while waiting or claimed:
        began, asked = time.monotonic(), context.lane.asked
        calls: list[Call[Any]] = [outbox.open_links(partition, claimed)] if claimed else []
        if waiting:
            calls.append(outbox.claim_window(waiting[0], now=context.clock(), start=start, end=end, limit=BATCH))
        replies = await context.lane.run_all(calls)
        if claimed:
            context.doorbell.ring(Bell.LINKS, [partition])
            now, there = context.clock(), [link for link in replies[0] if link is not None]
            due += len(there)
            queued += sum(1 for link in there if not isinstance(link, ValueError) and link.status(now) is Status.ACTIVE)
        if not waiting:
            break
        partition, claimed = waiting[0], replies[-1]
        if len(claimed) < BATCH:
            waiting.popleft()
        if (waiting or claimed) and context.lane.asked - asked > len(calls):
            await sleep(min(PAUSE * (time.monotonic() - began), LONGEST_PAUSE))
    return due, queued


HANDLERS: list[Any] = [dispatch_window]
