"""When a link's reminders are due, and the queue members of its notices."""

from collections.abc import Iterator
from datetime import datetime

from service.links.model import DeliveryState, Link
from service.storage import keys
from service.values.reminders import MIN_APART


def next_reminder(link: Link, after: datetime | None = None) -> datetime | None:
    """When the next reminder of ``link`` is due, or was; None if there is none.

    It lies later than ``after`` and the first mail of the link, and before the link expires. Where
    the last reminder went out late, it is put off until 24 hours after that, or left out if it was
    due within 12. Neither a paid nor a revoked link has one.
    """
    if link.reminders_stopped_at or link.revoked_at or link.paid_at:
        return None
    return next((at for at in _moments(link) if after is None or at > after), None)


def counts_from(link: Link) -> datetime | None:
    """The time that ``after_send`` counts from; None while the first mail is not out."""
    delivery = link.delivery
    if delivery.state is DeliveryState.NONE and delivery.sends == 0:
        return link.created_at
    return delivery.first_sent_at or delivery.sent_at


def reminder_member(link_id: str) -> str:
    """The link's reminder in the queue of notices."""
    return f"reminder:{keys.local_id(link_id)}"


def receipt_member(link_id: str) -> str:
    """The link's receipt in the queue of notices."""
    return f"receipt:{keys.local_id(link_id)}"


def _moments(link: Link) -> Iterator[datetime]:
    start = counts_from(link)
    if start is None or not link.reminders:
        return
    moments = sorted(
        start + reminder.delay
        if reminder.after_send is not None
        else link.expires_at - reminder.delay
        for reminder in link.reminders
    )
    earlier = None
    for moment in moments:
        if not start < moment < link.expires_at:
            continue
        if earlier is not None and moment - earlier < MIN_APART:
            continue
        earlier = moment
        due_at = _put_off(moment, link.reminded_at)
        if due_at is not None and due_at < link.expires_at:
            yield due_at


def _put_off(moment: datetime, reminded_at: datetime | None) -> datetime | None:
    """When the reminder of ``moment`` is due after the last one; None if that one replaces it."""
    if reminded_at is None:
        return moment
    if moment - reminded_at < MIN_APART / 2:
        return None
    return max(moment, reminded_at + MIN_APART)
