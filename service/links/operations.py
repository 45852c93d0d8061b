"""Creating, finding, revoking and listing links, and queuing the mails of scheduled ones."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import structlog

from service.auth.tokens import Admin, Role
from service.context import Context
from service.errors import IdempotencyConflict, LinkNotFound, Unavailable, Unreadable
from service.links import mail_store, model, store
from service.links.model import DeliveryState, Link, LinkRequest, Status
from service.otps.operations import require_verified
from service.outbox.queues import LINK_QUEUE
from service.storage import idempotency, keys
from service.storage.idempotency import IdempotencyRecord, IdempotentRequest
from service.storage.partitions import query_partitions
from service.values.ids import is_link_id, partition_of

log = structlog.get_logger(__name__)

MAX_CREATE_ATTEMPTS = 3
"""How often a create is tried when the link of an earlier, identical request expires meanwhile."""
STREAM_PAGE_SIZE = 100
REVOKE_BATCH = 100
"""Links revoked in one trip to the store, so that other requests' commands get their turn."""
DISPATCH_BATCH = 50
"""Links queued in one trip to the store. With 150, the p99 of a ``GET`` meanwhile is 1.4 times that
of an idle process beside 32 connections, with 50 it is 1.1 times."""


async def create(
    context: Context, link_request: LinkRequest, repeatable: IdempotentRequest | None
) -> tuple[Link, bool]:
    """Creates a link, queues its mail, and returns the link and whether it is new.

    It is not new if an earlier request with the key of ``repeatable`` created it.

    Raises:
        IdempotencyConflict: the earlier request had other content.
        OtpNotVerified, LimitReached: the recipient has not verified ``link_request.otp``.
    """
    record = (
        None if repeatable is None else await context.pipeline.run(idempotency.find(repeatable))
    )
    for _ in range(MAX_CREATE_ATTEMPTS):
        existing = await _find_earlier_link(context, repeatable, record)
        if existing is not None:
            return existing, False
        link = model.create(
            link_request,
            entropy=secrets.token_bytes(32),
            now=context.clock(),
            ttl=context.settings.link_ttl,
        )
        if link_request.otp is not None:
            await require_verified(context, link.recipient, link_request.otp, link.org_id)
        stored = await context.pipeline.run(
            store.create(
                link,
                now=link.created_at,
                retention=context.settings.retention,
                request=repeatable,
                gone=record.local_id if record else "",
            )
        )
        if stored is True:
            if link.delivery.state is DeliveryState.QUEUED:
                context.doorbell.ring(LINK_QUEUE, [keys.partition_of_link(link.id)])
            return link, True
        record = stored or None
    raise Unavailable("the link could not be stored")


async def _find_earlier_link(
    context: Context, repeatable: IdempotentRequest | None, record: IdempotencyRecord | None
) -> Link | None:
    """The link that an earlier request with the same key created; None if there is none.

    Raises:
        IdempotencyConflict: that request was another one.
    """
    if repeatable is None or record is None:
        return None
    if record.fingerprint != repeatable.fingerprint:
        raise IdempotencyConflict
    link_id = keys.full_id(partition_of(repeatable.org_id), record.local_id)
    return await context.pipeline.run(store.get(link_id))


async def find(context: Context, link_id: str) -> Link:
    """The link ``link_id``.

    Raises:
        LinkNotFound: there is none.
    """
    link = await context.pipeline.run(store.get(link_id)) if is_link_id(link_id) else None
    if link is None:
        raise LinkNotFound
    return link


async def revoke_recipient(context: Context, admin: Admin, recipient: str) -> list[str]:
    """Revokes the active links of the canonical e-mail ``recipient`` that ``admin`` may revoke.

    Returns:
        Ids of the links that were active until now.

    Raises:
        Unreadable: some could not be read. The others are revoked.
    """
    partitions = (
        keys.ALL_PARTITIONS
        if admin.role is Role.INTERNAL_ADMIN
        else [partition_of(admin.org_id or "")]
    )
    first = partial(store.active_ids, recipient=recipient, now=context.clock(), offset=0, limit=1)
    answers = await query_partitions(context.pipeline, first, partitions)
    is_complete, revoked = not answers.unreadable, list[str]()
    for partition in (partition for partition, ids in answers.by_partition.items() if ids):
        is_complete &= await _revoke_in(context, partition, admin, recipient, revoked)
    if not is_complete:
        raise Unreadable(
            f"{len(revoked)} links are revoked; others cannot be read:"
            " an operator finds their keys in the log"
        )
    return revoked


async def _revoke_in(
    context: Context, partition: str, admin: Admin, recipient: str, revoked: list[str]
) -> bool:
    """Adds the ids of links revoked in ``partition`` to ``revoked``.

    Returns:
        Whether all could be read.
    """
    skipped, is_complete = 0, True
    while True:
        now = context.clock()
        ids = await context.pipeline.run(
            store.active_ids(partition, recipient, now=now, offset=skipped, limit=REVOKE_BATCH)
        )
        if not ids:
            return is_complete
        found = await context.pipeline.run_each([store.get(link_id) for link_id in ids])
        allowed = [
            link for link in found if isinstance(link, Link) and admin.may_act_for(link.org_id)
        ]
        outcomes = await context.pipeline.run_each(
            [store.revoke(link, now=now, retention=context.settings.retention) for link in allowed]
        )
        revoked += [
            link.id for link, outcome in zip(allowed, outcomes, strict=True) if outcome is True
        ]
        failed = [outcome for outcome in outcomes if isinstance(outcome, Unreadable)]
        is_complete &= not failed and not any(isinstance(link, Unreadable) for link in found)
        skipped += len(ids) - (len(outcomes) - len(failed))


async def read_page(
    context: Context,
    org_id: str,
    *,
    now: datetime,
    limit: int,
    status: Status | None = None,
    cursor: str | None = None,
) -> store.Page:
    """A page of an organization's links, newest first. A record that cannot be read is left out.

    Raises:
        Invalid: the cursor is not the ``next_cursor`` of a page.
    """
    found = await context.pipeline.run(
        store.read_page(
            org_id,
            now=now,
            retention=context.settings.retention,
            limit=limit,
            status=status,
            cursor=cursor,
        )
    )
    if found.unreadable:
        log.error("data_unreadable", keys=keys.for_log(found.unreadable))
    if status is not None:  # the index of a status is sorted by the end of links
        found.links.sort(key=lambda link: link.created_at, reverse=True)
    return found


async def pages(
    context: Context, org_id: str, *, status: Status | None = None, cursor: str | None = None
) -> AsyncIterator[tuple[datetime, list[Link]]]:
    """All links after ``cursor``, page by page, each with the time at which it was read."""
    while True:
        now = context.clock()
        found = await read_page(
            context, org_id, now=now, limit=STREAM_PAGE_SIZE, status=status, cursor=cursor
        )
        yield now, found.links
        if found.next_cursor is None:
            return
        cursor = found.next_cursor


@dataclass
class DispatchResult:
    """How many links were due and how many queued, and the partitions that are unreadable."""

    due: int = 0
    queued: int = 0
    unreadable: set[str] = field(default_factory=set)


async def dispatch_window(context: Context, start: datetime, end: datetime) -> DispatchResult:
    """Queues the mails of all links scheduled in [``start``, ``end``), each once."""
    counts = await query_partitions(
        context.pipeline, partial(mail_store.count_scheduled, start=start, end=end)
    )
    result = DispatchResult(unreadable=set(counts.unreadable))
    for partition in (partition for partition, count in counts.by_partition.items() if count):
        try:
            await _dispatch_partition(context, partition, start, end, result)
        except Unreadable:
            result.unreadable.add(partition)
    return result


async def _dispatch_partition(
    context: Context, partition: str, start: datetime, end: datetime, result: DispatchResult
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
