"""Recording and voiding payments, each with one compare-and-set of the link."""

from datetime import datetime
from functools import partial
from typing import NamedTuple

import structlog

from service.context import Context
from service.errors import LinkNotFound, PaymentNotFound, Unreadable
from service.links import change_store
from service.links.change_store import ChangeOutcome, StoredLink
from service.links.model import Link, Payment
from service.orgs import store as orgs
from service.outbox.queues import NOTICE_QUEUE
from service.payments import model
from service.payments.model import Change, PaymentRequest
from service.storage import idempotency, keys
from service.storage.event_log import Actor
from service.storage.idempotency import IdempotencyRecord, IdempotentRequest

log = structlog.get_logger(__name__)


class Recording(NamedTuple):
    """A payment and its link; whether it is new, and whether an earlier request had its key."""

    link: Link
    payment: Payment
    is_new: bool = False
    is_replayed: bool = False


async def record(
    context: Context,
    link: Link,
    request: PaymentRequest,
    actor: Actor,
    repeatable: IdempotentRequest | None,
) -> Recording:
    """Records a payment of ``link``, once.

    Raises:
        IdempotencyConflict: the earlier request with the key of ``repeatable`` was another one.
        LinkNotFound: the link no longer exists.
        Others: as ``model.find_recorded`` and ``model.record``.
    """
    if repeatable and (earlier := await context.pipeline.run(idempotency.find(repeatable))):
        return await _replay(context, link.id, request.payment_id, repeatable, earlier)
    while True:
        stored = await _read(context, link.id)
        if payment := model.find_recorded(stored.link, request):
            if repeatable and (earlier := await _save_key(context, repeatable)):
                return await _replay(context, link.id, request.payment_id, repeatable, earlier)
            return Recording(stored.link, payment)
        now = context.clock()
        change = model.record(stored.link, request, actor=actor, now=now)
        outcome = await _update(context, stored, change, now, repeatable)
        if outcome is ChangeOutcome.UPDATED:
            return Recording(change.link, change.link.payments[-1], is_new=True)
        if repeatable and isinstance(outcome, IdempotencyRecord):
            return await _replay(context, link.id, request.payment_id, repeatable, outcome)


async def void(context: Context, link: Link, payment_id: str, actor: Actor) -> Link:
    """Voids a payment of ``link``, once, and returns the link as it then is.

    Raises:
        LinkNotFound: the link no longer exists.
        PaymentNotFound: it has no such payment.
    """
    while True:
        stored, now = await _read(context, link.id), context.clock()
        change = model.void(stored.link, payment_id, actor=actor, now=now)
        if change is None:
            return stored.link
        if await _update(context, stored, change, now) is ChangeOutcome.UPDATED:
            return change.link


async def _save_key(context: Context, request: IdempotentRequest) -> IdempotencyRecord | None:
    """Saves the key of a request that changes nothing; the record of an earlier one with it."""
    _, earlier = await context.pipeline.run(idempotency.begin(request, now=context.clock()))
    return earlier


async def _replay(
    context: Context,
    link_id: str,
    payment_id: str,
    repeatable: IdempotentRequest,
    earlier: IdempotencyRecord,
) -> Recording:
    """The payment that an earlier request with the same key recorded, as it is now."""
    repeatable.require_same(earlier)
    link = (await _read(context, link_id)).link
    payment = model.find(link, payment_id)
    if payment is None:
        raise PaymentNotFound
    return Recording(link, payment, is_replayed=True)


async def _read(context: Context, link_id: str) -> StoredLink:
    stored = await context.pipeline.run(change_store.read(link_id))
    if stored is None:
        raise LinkNotFound
    return stored


async def _update(
    context: Context,
    stored: StoredLink,
    change: Change,
    now: datetime,
    repeatable: IdempotentRequest | None = None,
) -> ChangeOutcome | IdempotencyRecord:
    """Writes ``change``; a link that it pays owes a receipt if its organization sends them."""
    becomes_paid = stored.link.paid_at is None and change.link.paid_at is not None
    owes_receipt = becomes_paid and await _sends_receipts(context, change.link.org_id)
    write = partial(
        change_store.update,
        stored,
        change.link,
        now=now,
        retention=context.settings.retention,
        events=change.events,
        request=repeatable,
    )
    try:
        outcome = await context.pipeline.run(write(receipt_at=now if owes_receipt else None))
    except Unreadable:  # and logged: money that has moved is recorded without a receipt, too
        if not owes_receipt:
            raise
        owes_receipt = False
        outcome = await context.pipeline.run(write())
    if owes_receipt and outcome is ChangeOutcome.UPDATED:
        context.doorbell.ring(NOTICE_QUEUE, [keys.partition_of_link(change.link.id)])
    return outcome


async def _sends_receipts(context: Context, org_id: str) -> bool:
    """Whether the organization sends receipts; no if its profile cannot be read.

    Money that has moved is recorded all the same.
    """
    try:
        profile = await context.pipeline.run(orgs.get_profile(org_id))
    except Unreadable:
        return False
    return profile.receipts
