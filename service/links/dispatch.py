"""The internal job's endpoint: have all links of a window e-mailed now."""

import time
from asyncio import sleep
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from litestar import post
from litestar.params import JSONBody

from service.auth.guards import require_internal_admin
from service.context import Context
from service.errors import Unreadable
from service.http.body import JsonBodyDTO
from service.http.problems import responses
from service.http.request import AdminRequest, context_of
from service.links.model import Link, Status
from service.links.schemas import Dispatch, DispatchWindow
from service.outbox import store as outbox
from service.outbox.doorbell import QueueName
from service.storage.command import Command
from service.storage.partitions import query_partitions
from service.values.time import format_time

BATCH = 150
"""Links that are claimed at once, and then marked: some 0.4 and 0.9 ms of Redis."""
PAUSE = 5
"""A pause is this many times as long as the batch before it: a window can wait, other requests should not."""
LONGEST_PAUSE = 0.05
"""Seconds, at most: a store that hangs is not waited for twice over."""


@post(
    "/payment-links/scheduled",
    status_code=200,
    before_request=require_internal_admin,
    dto=JsonBodyDTO[DispatchWindow],
    return_dto=None,
    responses=responses(400, 401, 403, 408, 413, 415, 422),
    security=[{"admin": []}],
    tags=["Operations"],
    summary="Send the scheduled links of a window",
    response_description="How many links were due, and how many of them are queued.",
)
async def dispatch_window(
    request: AdminRequest, data: JSONBody[DispatchWindow | None] = None
) -> Dispatch:
    """Queues every link scheduled in the window. Each is e-mailed once, however often this is called."""
    context, window = context_of(request), data or DispatchWindow()
    start, end = window.parse(context.clock())
    counts = await query_partitions(
        context.pipeline, partial(outbox.count_scheduled, start=start, end=end)
    )
    owing = [partition for partition, count in counts.by_partition.items() if count]
    done = await _queue(context, owing, start, end)
    unreadable = sorted(done.unreadable.union(counts.unreadable))
    return Dispatch(format_time(start), format_time(end), done.due, done.queued, unreadable)


@dataclass
class _Done:
    """How many links were due, how many of them are queued, and what partitions could not be read."""

    due: int = 0
    queued: int = 0
    unreadable: set[str] = field(default_factory=set)

    def count(
        self, partition: str, found: Sequence[Link | ValueError | None] | Unreadable, now: datetime
    ) -> None:
        if isinstance(found, Unreadable):
            self.unreadable.add(partition)
            return
        self.due += sum(1 for link in found if link is not None)
        self.queued += sum(
            1 for link in found if isinstance(link, Link) and link.status(now) is Status.ACTIVE
        )


async def _queue(
    context: Context, partitions: Sequence[str], start: datetime, end: datetime
) -> _Done:
    """Queues what the partitions owe.

    One batch after the other, each claimed while the one before is marked. Where other requests, or other windows, ask the store
    for something meanwhile, a pause of ``PAUSE`` times its length follows.
    """
    done = _Done()
    waiting, partition, claimed = deque(partitions), "", list[str]()
    while waiting or claimed:
        began, asked = time.monotonic(), context.pipeline.asked
        calls: list[Command[Any]] = (
            [outbox.load_claimed_links(partition, claimed)] if claimed else []
        )
        if waiting:
            calls.append(
                outbox.claim_window(
                    waiting[0], now=context.clock(), start=start, end=end, limit=BATCH
                )
            )
        replies = await context.pipeline.run_each(calls)
        if claimed:
            context.doorbell.ring(QueueName.LINKS, [partition])
            done.count(partition, replies[0], context.clock())
        if not waiting:
            break
        partition = waiting[0]
        if isinstance(replies[-1], Unreadable):
            done.unreadable.add(partition)
        claimed = [] if isinstance(replies[-1], Unreadable) else replies[-1]
        if len(claimed) < BATCH:
            waiting.popleft()
        if (waiting or claimed) and context.pipeline.asked - asked > len(calls):
            await sleep(min(PAUSE * (time.monotonic() - began), LONGEST_PAUSE))
    return done


HANDLERS: list[Any] = [dispatch_window]
