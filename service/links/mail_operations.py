"""Sending the mails of links again, and those of scheduled links now."""

from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from service.context import Context
from service.errors import LimitReached, LinkEnded, MailPending
from service.links import mail_store
from service.links.mail_store import MAX_RESENDS_PER_DAY, ResendRefusal, Resent
from service.links.model import Link, Status
from service.outbox.queues import LINK_QUEUE
from service.storage import idempotency, keys
from service.storage.event_log import Actor
from service.storage.idempotency import IdempotentRequest
from service.storage.partitions import Missing, visit_partitions
from service.values.ids import partition_of

DISPATCH_BATCH = 50
"""Links queued in one trip to the store. With 150, the p99 of a ``GET`` meanwhile is 1.4 times that
of an idle process beside 32 connections, with 50 it is 1.1 times."""
RESEND_BATCH = 50
"""Failures looked at in one trip to the store. 100,000 take 2 to 5 s and 3 MB; the median of a
``GET`` meanwhile is 2 ms, of an idle process 0.6 ms, with 100 at a time 5 ms."""
RESEND_MESSAGES = {
    "resend": "the link's mail was sent again a moment ago",
    "resends_day": f"the mail of a link can be sent again {MAX_RESENDS_PER_DAY} times a day",
}
"""The ``detail`` of the problem when a rate limit is reached, by the limit's name."""
RESEND_REFUSALS = {
    ResendRefusal.ENDED: LinkEnded,
    ResendRefusal.PENDING: MailPending,
}


async def resend(
    context: Context, link: Link, actor: Actor, repeatable: IdempotentRequest | None
) -> Resent:
    """Queues the mail of ``link`` again, as another mail, unless an earlier request did.

    Raises:
        IdempotencyConflict: the earlier request with the key of ``repeatable`` was another one.
        LinkEnded: the link is not active.
        MailPending: its mail is not out yet.
        LimitReached: it was sent again too often, or just now.
    """
    outcome = await context.pipeline.run(
        mail_store.resend(
            link,
            now=context.clock(),
            retention=context.settings.retention,
            actor=actor,
            request=repeatable,
        )
    )
    if isinstance(outcome, ResendRefusal):
        raise RESEND_REFUSALS[outcome]
    if not isinstance(outcome, Resent):
        raise LimitReached(RESEND_MESSAGES[outcome.limit.name], outcome.retry_after)
    if outcome.earlier is None:
        context.doorbell.ring(LINK_QUEUE, [keys.partition_of_link(link.id)])
    elif repeatable is not None:
        repeatable.require_same(outcome.earlier)
    return outcome


async def begin_request(
    context: Context, repeatable: IdempotentRequest | None
) -> tuple[datetime, bool]:
    """When a request that takes several commands first came, and whether it is new.

    It is not if an earlier one had the key of ``repeatable``: then it goes on with that.

    Raises:
        IdempotencyConflict: the earlier request was another one.
    """
    now = context.clock()
    if repeatable is None:
        return now, True
    first_at, earlier = await context.pipeline.run(idempotency.begin(repeatable, now=now))
    if earlier is not None:
        repeatable.require_same(earlier)
    return first_at, earlier is None


async def resend_failed(
    context: Context,
    org_id: str,
    *,
    since: datetime | None,
    actor: Actor,
    repeatable: IdempotentRequest | None,
) -> tuple[int, bool]:
    """Queues the failed mails of an organization's active links again, each once, as another mail.

    Failures before ``since`` are left out.

    Returns:
        How many are queued, and whether the request is new. One that is not goes on where the
        earlier one with the key of ``repeatable`` ended, and counts what both queued.

    Raises:
        IdempotencyConflict: the earlier request was another one.
    """
    first_at, is_new = await begin_request(context, repeatable)
    cursor: tuple[str, str] | None = ("", "")
    queued = 0
    while cursor is not None:
        batch = await context.pipeline.run(
            mail_store.resend_failed(
                org_id,
                now=context.clock(),
                retention=context.settings.retention,
                since=since,
                until=first_at,
                limit=RESEND_BATCH,
                actor=actor,
                cursor=cursor,
                request=repeatable,
            )
        )
        if batch.queued:
            context.doorbell.ring(LINK_QUEUE, [partition_of(org_id)])
        queued = queued + batch.queued if repeatable is None else batch.queued_by_request
        cursor = batch.next_cursor
    return queued, is_new


@dataclass
class DispatchResult:
    """How many links were due, how many of them are queued, and what was left out."""

    due: int = 0
    queued: int = 0
    missing: Missing = field(default_factory=Missing)


async def dispatch_window(context: Context, start: datetime, end: datetime) -> DispatchResult:
    """Queues the mails of all links scheduled in [``start``, ``end``), each once.

    Raises:
        Unavailable: no partition answers.
    """
    result = DispatchResult()
    result.missing = await visit_partitions(
        context.pipeline,
        partial(mail_store.count_scheduled, start=start, end=end),
        partial(_dispatch_partition, context, start=start, end=end, result=result),
    )
    return result


async def _dispatch_partition(
    context: Context, partition: str, *, start: datetime, end: datetime, result: DispatchResult
) -> None:
    claimed = None
    while claimed is None or len(claimed) == DISPATCH_BATCH:
        now = context.clock()
        claimed = await context.pipeline.run(
            mail_store.claim_window(partition, now=now, start=start, end=end, limit=DISPATCH_BATCH)
        )
        if claimed:
            links = await context.pipeline.run(mail_store.load_claimed(partition, claimed))
            context.doorbell.ring(LINK_QUEUE, [partition])
            result.due += sum(link is not None for link in links)
            result.queued += sum(
                isinstance(link, Link) and link.status(now) is Status.ACTIVE for link in links
            )
