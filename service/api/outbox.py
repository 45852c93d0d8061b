"""What e-mail is owed, what waits for workers, and what was given up: for whoever operates the service."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from litestar import get
from litestar.params import QueryParameter

from service.api.context import AdminRequest, Context, context_of
from service.api.guards import require_internal_admin
from service.api.health import look_at_mail
from service.api.problems import responses
from service.api.schemas import FailedDelivery, Outbox
from service.domain.link import DeliveryState
from service.domain.time import format_time
from service.store import keys, links, outbox
from service.store.call import MILLISECOND
from service.store.outbox import Failure


@get(
    "/outbox",
    guards=[require_internal_admin],
    responses=responses(400, 401, 403, 422),
    security=[{"admin": []}],
    tags=["Operations"],
    summary="Read the state of outgoing mail",
    response_description="The outgoing mail of all organizations.",
)
async def get_outbox(request: AdminRequest, limit: Annotated[int, QueryParameter(ge=1, le=100)] = 20) -> Outbox:
    """What is owed, what waits in the queues, and the latest ``limit`` e-mails that were given up, of all organizations."""
    context = context_of(request)
    now = context.clock()
    mail, scheduled, waiting, (failed, failures) = await asyncio.gather(
        look_at_mail(context, now),
        context.lane.run_all([outbox.count_scheduled(partition, start=now + MILLISECOND) for partition in keys.PARTITIONS]),
        context.doorbell.jobs_waiting(),
        _failures(context, now, limit),
    )
    return Outbox(
        unsent=mail.unsent,
        oldest_unsent_seconds=mail.oldest_unsent_seconds,
        scheduled=sum(scheduled),
        jobs_waiting={bell.value: jobs for bell, jobs in waiting.items()},
        failed=failed,
        failures=failures,
    )


async def _failures(context: Context, now: datetime, limit: int) -> tuple[int, list[FailedDelivery]]:
    """How many there are, and the latest."""
    found = await context.lane.run_all(
        [outbox.failures(partition, now=now, retention=context.retention, limit=limit) for partition in keys.PARTITIONS]
    )
    latest = sorted((failure for part in found for failure in part.latest), key=lambda failure: failure.at, reverse=True)
    return sum(part.total for part in found), await _described(context, latest[:limit])


async def _described(context: Context, failures: Sequence[Failure]) -> list[FailedDelivery]:
    """``failures`` with what their links say; one whose link is gone, or was sent after all, is left out."""
    found = await context.lane.run_all([links.get(failure.link_id) for failure in failures])
    return [
        FailedDelivery(
            id=link.id,
            org_id=link.org_id,
            email=link.email,
            transaction_id=link.transaction_id,
            error=link.delivery.error or "",
            failed_at=format_time(failure.at),
        )
        for failure, link in zip(failures, found, strict=True)
        if link is not None and link.delivery.state is DeliveryState.FAILED
    ]


HANDLERS: list[Any] = [get_outbox]
