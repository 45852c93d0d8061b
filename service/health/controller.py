"""Whether the process lives, and whether the service can do its work."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import compress
from typing import Any, NamedTuple

import structlog
from litestar import get
from litestar.datastructures import State

from service.context import Context
from service.errors import Unreadable
from service.health import store as heartbeats
from service.health.schemas import Health, Readiness, Reason
from service.health.store import Seen
from service.http.problems import Stopping, responses
from service.http.request import PublicRequest, context_of
from service.otps import store as otps
from service.outbox import store as outbox
from service.storage import keys
from service.storage import rate_limits as limits
from service.storage.partitions import ask_partitions

log = structlog.get_logger(__name__)

AWAY = {
    "worker-links": Reason.WORKER_LINKS_AWAY,
    "worker-otps": Reason.WORKER_OTPS_AWAY,
    "scheduler": Reason.SCHEDULER_AWAY,
}
"""What has to run beside ``web``, and the reason that is given where none does."""
KINDS = ("web", *AWAY)
FRESH_FOR = 1.0
"""Seconds for which one look at the store answers all who ask."""


class Mail(NamedTuple):
    """How many e-mails are due and not out, and for how long the oldest link's has been."""

    unsent: int
    oldest_unsent_seconds: float | None
    unreadable: set[str]
    """Partitions of which something is not known."""


@get(
    "/healthz",
    responses={422: responses(422)[422]},
    tags=["Operations"],
    summary="Check that the process is alive",
    response_description="The process is alive.",
)
async def healthz() -> Health:
    """The process lives."""
    return Health("ok")


@get(
    "/readyz",
    responses=responses(422),
    tags=["Operations"],
    summary="Check that the service is ready",
    response_description="The service can take requests.",
)
async def readyz(request: PublicRequest) -> Readiness:
    """Redis answers and the process is not stopping (503 if not); whether workers and scheduler are alive; what mail waits."""
    state = request.app.state
    if state.drain.is_draining():
        raise Stopping
    look = state.get("look")
    if look is None or time.monotonic() - state["looked_at"] > FRESH_FOR:
        look = state["look"] = asyncio.create_task(_look(context_of(request), state))
        state["looked_at"] = time.monotonic()
    return await asyncio.shield(look)


async def _look(context: Context, state: State) -> Readiness:
    now = context.clock()
    seen, mail, [ceiling] = await asyncio.gather(
        ask_partitions(context.pipeline, heartbeats.read, KINDS),
        look_at_mail(context, now),
        context.pipeline.run_each(
            [limits.check(otps.ceiling(context.settings.otp.sends_per_minute))]
        ),
    )
    processes = {kind: seen.by_partition.get(kind, []) for kind in KINDS}
    reasons = [*_reasons_of(processes)]
    if seen.unreadable or mail.unreadable or isinstance(ceiling, Unreadable):
        reasons.append(Reason.DATA_UNREADABLE)
    if isinstance(ceiling, limits.RateLimited):
        reasons.append(Reason.OTP_SENDS_LIMITED)
    if await asyncio.to_thread(context.describe_disk_shortage):
        reasons.append(Reason.DISK_ALMOST_FULL)
    if reasons != state.get("reasons", []):
        state["reasons"] = reasons
        log.warning(
            "readiness_changed",
            reasons=[reason.value for reason in reasons],
            processes=[*_in_trouble(processes)],
        )
    return Readiness(
        status="degraded" if reasons else "ok",
        redis="ok",
        reasons=reasons,
        heartbeats={
            kind: [round(one.age.total_seconds(), 1) for one in found]
            for kind, found in processes.items()
        },
        unsent=mail.unsent,
        oldest_unsent_seconds=mail.oldest_unsent_seconds,
    )


def _reasons_of(processes: Mapping[str, Sequence[Seen]]) -> Iterator[Reason]:
    """What is wrong with those that run, and which do not."""
    for kind, reason in AWAY.items():
        if all(process.is_stalled for process in processes[kind]):
            yield reason
    alive = {
        kind: [process for process in found if not process.is_stalled]
        for kind, found in processes.items()
    }
    if any(alive[kind] and len(alive[kind]) < len(found) for kind, found in processes.items()):
        yield Reason.PROCESS_STALLED
    if any(process.is_skewed for found in alive.values() for process in found):
        yield Reason.CLOCK_SKEW


def _in_trouble(processes: Mapping[str, Sequence[Seen]]) -> Iterator[str]:
    """Those that are stalled, or whose clock is wrong, by kind, machine and process id."""
    for kind, found in processes.items():
        yield from (
            f"{kind} {process.process}"
            for process in found
            if process.is_stalled or process.is_skewed
        )


async def look_at_mail(context: Context, now: datetime) -> Mail:
    """What all partitions owe."""
    owes = await context.pipeline.run_all(
        [outbox.has_pending(partition) for partition in keys.PARTITIONS]
    )
    owing = [*compress(keys.PARTITIONS, owes)]
    answers = await ask_partitions(context.pipeline, partial(outbox.due, now=now), owing)
    due = answers.by_partition.values()
    oldest = min((partition.oldest for partition in due if partition.oldest), default=None)
    unreadable = {partition for partition, owed in answers.by_partition.items() if owed.unreadable}
    if unreadable:
        log.error(
            "data_unreadable",
            keys=keys.for_log([key for partition in due for key in partition.unreadable]),
        )
    return Mail(
        sum(partition.unsent for partition in due),
        None if oldest is None else (now - oldest).total_seconds(),
        unreadable.union(answers.unreadable),
    )


HANDLERS: list[Any] = [healthz, readyz]
