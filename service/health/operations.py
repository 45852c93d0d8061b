"""What concerns several capabilities at once: readiness, and the state of outgoing mail."""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from itertools import compress

import structlog

from service.context import Context
from service.errors import Unreadable
from service.health import store
from service.health.model import (
    PROCESS_TYPES,
    Backlog,
    OutboxReport,
    Readiness,
    Reason,
    describe_faulty,
    find_process_reasons,
)
from service.links import mail_store
from service.links import store as links
from service.links.mail_store import Failure
from service.links.model import DeliveryState, Link
from service.otps import store as otps
from service.outbox import store as outbox
from service.storage import keys
from service.storage.partitions import query_partitions
from service.storage.rate_limits import ReachedLimit, check
from service.values.time import MILLISECOND

log = structlog.get_logger(__name__)

CACHE_SECONDS = 1.0


class ReadinessCheck:
    """Checks the readiness of the service, at most once in ``CACHE_SECONDS``."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._check: asyncio.Task[Readiness] | None = None
        self._started_at = 0.0
        self._reasons: list[Reason] = []

    async def run(self) -> Readiness:
        """The readiness of the service.

        Raises:
            Unavailable: Redis does not answer.
        """
        if self._check is None or time.monotonic() - self._started_at > CACHE_SECONDS:
            self._check = asyncio.create_task(self._run())
            self._started_at = time.monotonic()
        return await asyncio.shield(self._check)

    async def _run(self) -> Readiness:
        readiness = await _check_readiness(self._context)
        if readiness.reasons != self._reasons:
            self._reasons = readiness.reasons
            log.warning(
                "readiness_changed",
                reasons=[reason.value for reason in readiness.reasons],
                processes=describe_faulty(readiness.processes),
            )
        return readiness


async def read_backlog(context: Context) -> Backlog:
    """The e-mails of all partitions that are due."""
    now = context.clock()
    pending = await context.pipeline.run_all(
        [outbox.has_pending(partition) for partition in keys.ALL_PARTITIONS]
    )
    answers = await query_partitions(
        context.pipeline,
        partial(outbox.read_due, now=now),
        list(compress(keys.ALL_PARTITIONS, pending)),
    )
    due = answers.by_partition
    if unreadable_keys := [key for part in due.values() for key in part.unreadable]:
        log.error("data_unreadable", keys=keys.for_log(unreadable_keys))
    oldest = min((part.oldest for part in due.values() if part.oldest), default=None)
    return Backlog(
        unsent=sum(part.unsent for part in due.values()),
        oldest_age=None if oldest is None else now - oldest,
        unreadable_partitions={name for name, part in due.items() if part.unreadable}.union(
            answers.unreadable
        ),
    )


async def read_outbox(context: Context, *, max_failures: int) -> OutboxReport:
    """The outgoing mail of all organizations, with the latest ``max_failures`` failed e-mails."""
    now, retention = context.clock(), context.settings.retention
    count_scheduled = partial(mail_store.count_scheduled, start=now + MILLISECOND)
    read_failures = partial(
        mail_store.read_failures, now=now, retention=retention, limit=max_failures
    )
    backlog, scheduled, jobs_waiting, failures = await asyncio.gather(
        read_backlog(context),
        query_partitions(context.pipeline, count_scheduled),
        context.doorbell.jobs_waiting(),
        query_partitions(context.pipeline, read_failures),
    )
    latest = sorted(
        (failure for part in failures.by_partition.values() for failure in part.latest),
        key=lambda failure: failure.at,
        reverse=True,
    )
    return OutboxReport(
        backlog=backlog,
        scheduled=sum(scheduled.by_partition.values()),
        jobs_waiting=jobs_waiting,
        failed=sum(part.total for part in failures.by_partition.values()),
        failures=await _find_failed_links(context, latest[:max_failures]),
        unreadable_partitions=backlog.unreadable_partitions.union(
            scheduled.unreadable, failures.unreadable
        ),
    )


async def _check_readiness(context: Context) -> Readiness:
    found, backlog, [reached] = await asyncio.gather(
        query_partitions(context.pipeline, store.read, PROCESS_TYPES),
        read_backlog(context),
        context.pipeline.run_each([check(otps.ceiling(context.settings.otp.sends_per_minute))]),
    )
    processes = {
        process_type: found.by_partition.get(process_type, []) for process_type in PROCESS_TYPES
    }
    reasons = [*find_process_reasons(processes)]
    if found.unreadable or backlog.unreadable_partitions or isinstance(reached, Unreadable):
        reasons.append(Reason.DATA_UNREADABLE)
    if isinstance(reached, ReachedLimit):
        reasons.append(Reason.OTP_SENDS_LIMITED)
    if await asyncio.to_thread(context.describe_disk_shortage):
        reasons.append(Reason.DISK_ALMOST_FULL)
    return Readiness(reasons, processes, backlog)


async def _find_failed_links(
    context: Context, failures: Sequence[Failure]
) -> list[tuple[Link, datetime]]:
    """The links of ``failures``, except those that are gone, unreadable, or were sent after all."""
    found = await context.pipeline.run_each([links.get(failure.link_id) for failure in failures])
    return [
        (link, failure.at)
        for failure, link in zip(failures, found, strict=True)
        if isinstance(link, Link) and link.delivery.state is DeliveryState.FAILED
    ]
