"""Changing links."""

from collections.abc import Collection

from service.context import Context
from service.errors import LinkNotFound, MailPending, PreconditionFailed
from service.links import change_store
from service.links.change_store import OWED_STATES, ChangeOutcome
from service.links.model import Link
from service.links.patch import LinkPatch, apply
from service.outbox.queues import LINK_QUEUE
from service.storage import keys
from service.storage.event_log import Actor, Event, EventType


async def update(
    context: Context,
    link_id: str,
    patch: LinkPatch,
    actor: Actor,
    *,
    if_match: Collection[str] | None,
) -> Link:
    """Changes the link as ``patch`` says, and returns it as it then is.

    Args:
        context: Of the process.
        link_id: The link's id.
        patch: The change. Concurrent changes are applied one after the other.
        actor: Who makes it.
        if_match: Entity tags, of which one must be the link's; None for any.

    Raises:
        LinkNotFound: there is none.
        PreconditionFailed: the link's entity tag is not in ``if_match``.
        MailPending: a worker is sending its e-mail, and the e-mail would contradict the change.
        LinkEnded, LinkSent, LinkPaid, Invalid: as ``service.links.patch.apply``.
    """
    while True:
        stored, now = await context.pipeline.run(change_store.read(link_id)), context.clock()
        if stored is None:
            raise LinkNotFound
        if if_match is not None and stored.link.entity_tag(now) not in if_match:
            raise PreconditionFailed
        change = apply(patch, stored.link, now=now)
        if change is None:
            return stored.link
        outcome = await context.pipeline.run(
            change_store.update(
                stored,
                change.link,
                now=now,
                retention=context.settings.retention,
                events=[Event(EventType.UPDATED, actor, {"changed": change.fields})],
                changes_mail=change.is_in_mail,
            )
        )
        if outcome is ChangeOutcome.HELD:
            raise MailPending("the link's mail is being sent; try again once it is sent or failed")
        if outcome is ChangeOutcome.UPDATED:
            if change.link.delivery.state in OWED_STATES and change.link.due_at <= now:
                context.doorbell.ring(LINK_QUEUE, [keys.partition_of_link(link_id)])
            return change.link
