"""The way from a link's page to the organization's checkout."""

from datetime import datetime, timedelta
from urllib.parse import quote

import msgspec

from service.context import Context
from service.errors import Unavailable
from service.links import change_store
from service.links.change_store import ChangeOutcome
from service.links.model import Link, Status
from service.storage.event_log import Actor, Event, EventType
from service.values.time import to_utc_ms

EVENT_INTERVAL = timedelta(minutes=10)
"""Going to the checkout again within this time of the last visit is not another event."""
NOTE_INTERVAL = timedelta(seconds=1)
"""Within this time of the last visit, another is not even recorded: a crowd of them would keep each
other, and a payment, from being written."""


def fill_checkout_url(template: str, link: Link) -> str:
    """``template`` with values of ``link`` in place of ``{link_id}`` and other placeholders.

    The values are percent-encoded (RFC 3986); one that the link does not have is empty.
    ``{amount}`` is what is due, with the digits that the API shows.
    """
    due = link.amount_due
    values = {
        "{link_id}": link.id,
        "{amount}": "" if due is None else f"{due:f}",
        "{currency}": link.currency or "",
        "{transaction_id}": link.transaction_id or "",
    }
    for placeholder, value in values.items():
        template = template.replace(placeholder, quote(value, safe=""))
    return template


def unpaid_start(link: Link) -> datetime | None:
    """When the customer last went to the checkout, unless a payment was recorded since."""
    started_at = link.checkout_started_at
    if started_at is None or any(each.recorded_at >= started_at for each in link.payments):
        return None
    return started_at


async def start(context: Context, link: Link, actor: Actor) -> Link | None:
    """Records that the customer who was shown ``link`` goes to the checkout now, if it can be.

    Returns:
        The link as it is now. None if it is no longer active, or if it now has another recipient
        or is gated, so that the customer may no longer see it.
    """
    while True:
        stored = await context.pipeline.run(change_store.read(link.id))
        now = to_utc_ms(context.clock())
        if stored is None or stored.link.status(now) is not Status.ACTIVE:
            return None
        current = stored.link
        if (current.otp_required, current.recipient) != (link.otp_required, link.recipient):
            return None
        before = current.checkout_started_at
        if unpaid_start(current) and before and abs(now - before) < NOTE_INTERVAL:
            return current
        is_new = before is None or now - before >= EVENT_INTERVAL
        started = msgspec.structs.replace(current, checkout_started_at=now)
        try:
            outcome = await context.pipeline.run(
                change_store.update(
                    stored,
                    started,
                    now=now,
                    retention=context.settings.retention,
                    events=[Event(EventType.CHECKOUT_STARTED, actor)] if is_new else [],
                )
            )
        except Unavailable:  # writes may be refused where reads are answered: who pays goes on
            return current
        if outcome is ChangeOutcome.UPDATED:
            return started
