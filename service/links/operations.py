"""Creating, finding, revoking and listing links."""

import secrets
from collections.abc import AsyncIterator
from datetime import datetime
from functools import partial
from typing import NamedTuple

import msgspec
import structlog

from service.auth.tokens import Admin, Role
from service.context import Context
from service.errors import (
    LinkNotFound,
    LinkPaid,
    PaymentLinkError,
    TransactionExists,
    Unavailable,
    Unreadable,
)
from service.links import store
from service.links.link_request import LinkRequest, build_link
from service.links.model import DeliveryState, Link, Status
from service.links.store import ConflictReason, RevokeOutcome, Superseding, TransactionConflict
from service.orgs import store as orgs
from service.otps.operations import require_verified
from service.outbox.queues import LINK_QUEUE
from service.storage import idempotency, keys
from service.storage.event_log import Actor
from service.storage.idempotency import IdempotencyRecord, IdempotentRequest
from service.storage.partitions import visit_partitions
from service.values.ids import is_link_id, partition_of

log = structlog.get_logger(__name__)

MAX_CREATE_ATTEMPTS = 3
"""How often a create is tried when the link of an earlier, identical request expires meanwhile."""
STREAM_PAGE_SIZE = 100
REVOKE_BATCH = 100
"""Links revoked in one trip to the store, so that other requests' commands get their turn."""


class RevokedLinks(NamedTuple):
    """The links that were active until now, and the partitions in which others may still be."""

    ids: list[str]
    unavailable: list[str]


async def create(
    context: Context,
    link_request: LinkRequest,
    actor: Actor,
    repeatable: IdempotentRequest | None,
) -> tuple[Link, bool]:
    """Creates a link, queues its mail, and returns the link and whether it is new.

    It is not new if an earlier request with the key of ``repeatable`` created it.

    Raises:
        IdempotencyConflict: the earlier request had other content.
        OtpNotVerified, LimitReached: the recipient has not verified ``link_request.otp``.
        TransactionExists, LinkPaid: another link of its transaction does not allow it.
    """
    record = (
        None if repeatable is None else await context.pipeline.run(idempotency.find(repeatable))
    )
    for _ in range(MAX_CREATE_ATTEMPTS):
        existing = await _find_earlier_link(context, repeatable, record)
        if existing is not None:
            return existing, False
        link = build_link(
            link_request,
            created_by=actor.name,
            entropy=secrets.token_bytes(32),
            now=context.clock(),
            ttl=context.settings.link_ttl,
        )
        if link_request.otp is not None:
            await require_verified(context, link.recipient, link_request.otp, link.org_id)
        link = await _set_default_reminders(context, link)
        stored = await context.pipeline.run(
            store.create(
                link,
                now=link.created_at,
                retention=context.settings.retention,
                request=repeatable,
                gone=record.local_id if record else "",
                on_conflict=link_request.on_conflict,
                actor=actor,
            )
        )
        if isinstance(stored, TransactionConflict):
            raise _conflict_error(stored)
        if isinstance(stored, Superseding):
            link, stored = msgspec.structs.replace(link, supersedes=stored.link_id), True
        if stored is True:
            if link.delivery.state is DeliveryState.QUEUED:
                context.doorbell.ring(LINK_QUEUE, [keys.partition_of_link(link.id)])
            return link, True
        record = stored or None
    raise Unavailable("the link could not be stored")


async def _set_default_reminders(context: Context, link: Link) -> Link:
    """``link``, with its organization's reminders if they count from now: it has no e-mail."""
    if link.delivery.state is not DeliveryState.NONE or link.reminders is not None:
        return link
    try:
        profile = await context.pipeline.run(orgs.get_profile(link.org_id))
    except Unreadable:  # and logged: it delays no link
        return link
    return msgspec.structs.replace(link, reminders=profile.default_reminders or None)


async def _find_earlier_link(
    context: Context, repeatable: IdempotentRequest | None, record: IdempotencyRecord | None
) -> Link | None:
    """The link that an earlier request with the same key created; None if there is none.

    Raises:
        IdempotencyConflict: that request was another one.
    """
    if repeatable is None or record is None:
        return None
    repeatable.require_same(record)
    link_id = keys.full_id(partition_of(repeatable.org_id), record.local_id)
    return await context.pipeline.run(store.get(link_id))


def _conflict_error(conflict: TransactionConflict) -> PaymentLinkError:
    if conflict.reason is ConflictReason.EXISTS:
        return TransactionExists(conflict.link_id)
    return LinkPaid(f"{conflict.link_id} of this transaction is paid, in whole or in part")


async def find(context: Context, link_id: str) -> Link:
    """The link ``link_id``.

    Raises:
        LinkNotFound: there is none.
    """
    link = await context.pipeline.run(store.get(link_id)) if is_link_id(link_id) else None
    if link is None:
        raise LinkNotFound
    return link


async def revoke(context: Context, link: Link, actor: Actor) -> bool:
    """Revokes ``link``, and takes back what it still owes. False: it had ended before.

    Raises:
        LinkPaid: it was paid in whole.
    """
    outcome = await context.pipeline.run(
        store.revoke(link, now=context.clock(), retention=context.settings.retention, actor=actor)
    )
    if outcome is RevokeOutcome.PAID:
        raise LinkPaid("the link was paid: it cannot be revoked")
    return outcome is RevokeOutcome.REVOKED


async def revoke_recipient(
    context: Context, admin: Admin, recipient: str, actor: Actor
) -> RevokedLinks:
    """Revokes the active links of the canonical e-mail ``recipient`` that ``admin`` may revoke.

    Raises:
        Unreadable: some could not be read. The others are revoked.
        Unavailable: no partition answers.
    """
    partitions = (
        keys.ALL_PARTITIONS
        if admin.role is Role.INTERNAL_ADMIN
        else [partition_of(admin.org_id or "")]
    )
    revoked = list[str]()
    missing = await visit_partitions(
        context.pipeline,
        partial(store.count_active, recipient=recipient, now=context.clock()),
        partial(
            _revoke_in, context, admin=admin, recipient=recipient, actor=actor, revoked=revoked
        ),
        partitions,
    )
    if missing.unreadable:
        detail = (
            f"{len(revoked)} links are revoked; others cannot be read:"
            " an operator finds their keys in the log"
        )
        if missing.unavailable:
            detail += f"; {len(missing.unavailable)} partitions do not answer: ask again"
        raise Unreadable(detail)
    return RevokedLinks(revoked, sorted(missing.unavailable))


async def _revoke_in(
    context: Context,
    partition: str,
    *,
    admin: Admin,
    recipient: str,
    actor: Actor,
    revoked: list[str],
) -> None:
    """Adds the ids of links revoked in ``partition`` to ``revoked``.

    Raises:
        Unreadable: some could not be read. The others are revoked.
        Unavailable: the partition does not answer any more.
    """
    skipped, unreadable = 0, list[Unreadable]()
    while True:
        now = context.clock()
        ids = await context.pipeline.run(
            store.active_ids(partition, recipient, now=now, offset=skipped, limit=REVOKE_BATCH)
        )
        if not ids:
            break
        found = await context.pipeline.run_each([store.get(link_id) for link_id in ids])
        allowed = [
            link for link in found if isinstance(link, Link) and admin.may_act_for(link.org_id)
        ]
        outcomes = await context.pipeline.run_each(
            [
                store.revoke(link, now=now, retention=context.settings.retention, actor=actor)
                for link in allowed
            ]
        )
        revoked += [
            link.id
            for link, outcome in zip(allowed, outcomes, strict=True)
            if outcome is RevokeOutcome.REVOKED
        ]
        for reply in (*found, *outcomes):
            if isinstance(reply, Unavailable):
                raise reply
        failed = [outcome for outcome in outcomes if isinstance(outcome, Unreadable)]
        unreadable += failed + [link for link in found if isinstance(link, Unreadable)]
        skipped += len(ids) - (len(outcomes) - len(failed))
    if unreadable:
        raise unreadable[0]


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
