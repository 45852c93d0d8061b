"""What e-mail is owed, what waits for workers, and what was given up: for whoever operates the service."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from litestar import get
from litestar.params import QueryParameter

from service.auth.guards import require_internal_admin
from service.context import Context
from service.health.controller import look_at_mail
from service.health.schemas import FailedDelivery, Outbox
from service.http.problems import responses
from service.http.request import AdminRequest, context_of
from service.links import store as links
from service.links.model import DeliveryState, Link
from service.outbox import store as outbox
from service.outbox.store import Failure
from service.storage.command import MILLISECOND
from service.storage.partitions import ask_partitions
from service.values.time import format_time


@get(
    "/outbox",
    before_request=require_internal_admin,
    responses=responses(400, 401, 403, 422),
    security=[{"admin": []}],
    tags=["Operations"],
    summary="Read the state of outgoing mail",
    response_description="The outgoing mail of all organizations.",
)
async def get_outbox(
    request: AdminRequest, limit: Annotated[int, QueryParameter(ge=1, le=100)] = 20
) -> Outbox:
    """What is owed, what waits in the queues, and the latest ``limit`` e-mails that were given up, of all organizations."""
    context = context_of(request)
    now = context.clock()
    mail, scheduled, waiting, failures = await asyncio.gather(
        look_at_mail(context, now),
        ask_partitions(context.pipeline, partial(outbox.count_scheduled, start=now + MILLISECOND)),
        context.doorbell.jobs_waiting(),
        ask_partitions(
            context.pipeline,
            partial(outbox.failures, now=now, retention=context.settings.retention, limit=limit),
        ),
    )
    latest = sorted(
        (failure for part in failures.by_partition.values() for failure in part.latest),
        key=lambda failure: failure.at,
        reverse=True,
    )
    return Outbox(
        unsent=mail.unsent,
        oldest_unsent_seconds=mail.oldest_unsent_seconds,
        scheduled=sum(scheduled.by_partition.values()),
        jobs_waiting={bell.value: jobs for bell, jobs in waiting.items()},
        failed=sum(part.total for part in failures.by_partition.values()),
        failures=await _described(context, latest[:limit]),
        unreadable_partitions=sorted(
            mail.unreadable.union(scheduled.unreadable, failures.unreadable)
        ),
    )


async def _described(context: Context, failures: Sequence[Failure]) -> list[FailedDelivery]:
    """``failures`` with what their links say; one whose link is gone, unreadable, or was sent after all, is left out."""
    found = await context.pipeline.run_each([links.get(failure.link_id) for failure in failures])
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
        if isinstance(link, Link) and link.delivery.state is DeliveryState.FAILED
    ]


HANDLERS: list[Any] = [get_outbox]
