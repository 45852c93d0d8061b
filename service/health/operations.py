"""What concerns several capabilities at once: readiness, and the state of outgoing mail."""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from functools import partial

import structlog

from service.context import Context
from service.errors import Unavailable, Unreadable
from service.health import store
from service.health.model import (
    PROCESS_TYPES,
    Backlog,
    OutboxReport,
    ProcessHealth,
    Readiness,
    Reason,
    describe_faulty,
    find_paused,
    find_process_reasons,
)
from service.links import mail_store
from service.links import store as links
from service.links.mail_store import Failure
from service.links.model import DeliveryState, Link
from service.otps import store as otps
from service.outbox import store as outbox
from service.storage import keys
from service.storage.partitions import Missing, Replies, query_each
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
    """The e-mails of all partitions that are due.

    Raises:
        Unavailable: no partition answers.
    """
    now = context.clock()
    pending = await query_each(context.pipeline, outbox.has_pending)
    replies = await query_each(
        context.pipeline,
        partial(outbox.read_due, now=now),
        [partition for partition, waits in pending.by_name.items() if waits],
        needs_reply=False,
    )
    due = replies.by_name
    if unreadable_keys := [key for part in due.values() for key in part.unreadable]:
        log.error("data_unreadable", keys=keys.for_log(unreadable_keys))
    oldest = min((part.oldest for part in due.values() if part.oldest), default=None)
    return Backlog(
        unsent=sum(part.unsent for part in due.values()),
        oldest_age=None if oldest is None else now - oldest,
        missing=pending.missing
        | replies.missing
        | Missing(unreadable={name for name, part in due.items() if part.unreadable}),
    )


async def read_outbox(context: Context, *, max_failures: int) -> OutboxReport:
    """The outgoing mail of all organizations, with the latest ``max_failures`` failed e-mails.

    Raises:
        Unavailable: no partition answers.
    """
    now, retention = context.clock(), context.settings.retention
    count_scheduled = partial(mail_store.count_scheduled, start=now + MILLISECOND)
    read_failures = partial(
        mail_store.read_failures, now=now, retention=retention, limit=max_failures
    )
    backlog, scheduled, jobs_waiting, failures, heartbeats = await asyncio.gather(
        read_backlog(context),
        query_each(context.pipeline, count_scheduled),
        context.doorbell.jobs_waiting(),
        query_each(context.pipeline, read_failures),
        _read_processes(context),
    )
    latest = sorted(
        (failure for part in failures.by_name.values() for failure in part.latest),
        key=lambda failure: failure.at,
        reverse=True,
    )
    failed_links, missing = await _find_failed_links(context, latest[:max_failures])
    return OutboxReport(
        backlog=backlog,
        scheduled=sum(scheduled.by_name.values()),
        jobs_waiting=jobs_waiting,
        paused=[*find_paused(heartbeats.by_name)],
        failed=sum(part.total for part in failures.by_name.values()),
        failures=failed_links,
        missing=backlog.missing | scheduled.missing | failures.missing | missing,
        has_heartbeats=not heartbeats.missing.unavailable,
    )


async def _check_readiness(context: Context) -> Readiness:
    heartbeats, backlog, refusing, reached = await asyncio.gather(
        _read_processes(context),
        read_backlog(context),
        _find_refusing(context, keys.ALL_PARTITIONS),
        _check_ceiling(context),
    )
    processes = heartbeats.by_name
    for process_type in heartbeats.missing.unreadable:
        processes[process_type] = []
    reasons = [*find_process_reasons(processes)]
    if backlog.missing.unavailable:
        reasons.append(Reason.PARTITIONS_UNAVAILABLE)
    if refusing - backlog.missing.unavailable:
        reasons.append(Reason.WRITES_REFUSED)
    unreadable = heartbeats.missing.unreadable or backlog.missing.unreadable
    if unreadable or isinstance(reached, Unreadable):
        reasons.append(Reason.DATA_UNREADABLE)
    if isinstance(reached, ReachedLimit):
        reasons.append(Reason.OTP_SENDS_LIMITED)
    if await asyncio.to_thread(context.describe_disk_shortage):
        reasons.append(Reason.DISK_ALMOST_FULL)
    return Readiness(reasons, processes, backlog)


async def _read_processes(context: Context) -> Replies[list[ProcessHealth]]:
    """The processes by type. While heartbeats cannot be recorded, nobody knows who is alive."""
    replies, refusing = await asyncio.gather(
        query_each(context.pipeline, store.read, PROCESS_TYPES, needs_reply=False),
        _find_refusing(context, [keys.HEARTBEATS_TAG]),
    )
    return Replies({}, Missing(unavailable={*PROCESS_TYPES})) if refusing else replies


async def _find_refusing(context: Context, tags: Sequence[str]) -> set[str]:
    """Those of ``tags`` whose keys cannot be written now."""
    probes = await query_each(context.pipeline, store.probe_writes, tags, needs_reply=False)
    return probes.missing.unavailable


async def _check_ceiling(context: Context) -> ReachedLimit | Unreadable | Unavailable | None:
    """The limit of codes for all e-mails together, if it is reached, or why it is not known."""
    try:
        ceiling = otps.ceiling(context.settings.otp.sends_per_minute)
        return await context.pipeline.run(check(ceiling))
    except (Unreadable, Unavailable) as error:
        return error


async def _find_failed_links(
    context: Context, failures: Sequence[Failure]
) -> tuple[list[tuple[Link, datetime]], Missing]:
    """The links of ``failures``, except those that are gone, unreadable, or were sent after all.

    Also the partitions that do not answer any more, whose links are left out.
    """
    found, missing = await query_each(
        context.pipeline,
        links.get,
        [failure.link_id for failure in failures],
        needs_reply=False,
    )
    failed = [
        (link, failure.at)
        for failure in failures
        if (link := found.get(failure.link_id)) is not None
        and link.delivery.state is DeliveryState.FAILED
    ]
    return failed, Missing(unavailable={*map(keys.partition_of_link, missing.unavailable)})
