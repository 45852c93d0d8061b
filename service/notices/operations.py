"""Stopping the reminders of a link, and asking for a sample mail."""

import msgspec

from service.context import Context
from service.errors import Invalid, LimitReached, LinkNotFound
from service.links import change_store
from service.links.change_store import ChangeOutcome
from service.notices import store
from service.notices.store import MAX_SAMPLES_PER_DAY
from service.orgs import store as orgs
from service.outbox.queues import NOTICE_QUEUE
from service.storage.event_log import Actor, Event, EventType
from service.storage.idempotency import IdempotentRequest
from service.storage.rate_limits import ReachedLimit
from service.values.ids import is_link_id, partition_of
from service.values.time import to_utc_ms

SAMPLES_MESSAGE = f"an organization can have {MAX_SAMPLES_PER_DAY} sample mails a day"
NO_RECIPIENT = Invalid("reply_to", "must be set in the profile: sample mails go to it")


async def stop_reminders(context: Context, link_id: str, actor: Actor) -> None:
    """Stops all further reminders of the link. Nothing changes if they were stopped before.

    Raises:
        LinkNotFound: there is no such link.
    """
    outcome = None
    while outcome is not ChangeOutcome.UPDATED:
        stored = (
            await context.pipeline.run(change_store.read(link_id)) if is_link_id(link_id) else None
        )
        if stored is None:
            raise LinkNotFound
        if stored.link.reminders_stopped_at is not None:
            return
        now = to_utc_ms(context.clock())
        outcome = await context.pipeline.run(
            change_store.update(
                stored,
                msgspec.structs.replace(stored.link, reminders_stopped_at=now),
                now=now,
                retention=context.settings.retention,
                events=[Event(EventType.REMINDERS_STOPPED, actor)],
            )
        )


async def request_sample(
    context: Context, org_id: str, repeatable: IdempotentRequest | None
) -> tuple[str, bool]:
    """Queues a sample of a link's mail to the ``reply_to`` of the organization's profile.

    Returns:
        That address, and whether the request is new.

    Raises:
        Invalid: the profile has no ``reply_to``.
        IdempotencyConflict: the earlier request with the key of ``repeatable`` was another one.
        LimitReached: the organization had enough of them in the last 24 hours.
    """
    profile = await context.pipeline.run(orgs.get_profile(org_id))
    if profile.reply_to is None:
        raise NO_RECIPIENT
    outcome = await context.pipeline.run(
        store.request_sample(org_id, now=context.clock(), request=repeatable)
    )
    if isinstance(outcome, ReachedLimit):
        raise LimitReached(SAMPLES_MESSAGE, outcome.retry_after)
    if outcome is None:
        context.doorbell.ring(NOTICE_QUEUE, [partition_of(org_id)])
    elif repeatable is not None:
        repeatable.require_same(outcome)
    return profile.reply_to, outcome is None
