"""E-mails with a payment link."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from service.links import mail_store
from service.links.model import DeliveryState, Link, Status, page_path
from service.mails.link_mail import render_link_mail
from service.orgs.model import Profile
from service.storage.command import Command
from service.storage.keys import full_id, full_ids
from service.values.ids import truncate_id
from tasks.mail.compose import compose_mail
from tasks.mail.mime import Mail, Sender
from tasks.message import Failed, Outcome, Retry, Sent, SkipMessage


class LinkMailHandler:
    """Each link is mailed once, to its recipient."""

    def __init__(self, public_url: str, sender: Sender, retention: timedelta) -> None:
        self._public_url = public_url
        self._sender = sender
        self._retention = retention

    def load_claimed(
        self, partition: str, members: Sequence[str]
    ) -> Command[list[Link | ValueError | None]]:
        return mail_store.load_claimed(partition, full_ids(partition, members))

    def compose(self, payload: Link, profile: Profile, now: datetime) -> Mail:
        status = payload.status(now)
        if status is not Status.ACTIVE:
            ended = "expired" if status is Status.EXPIRED else f"was {status.value}"
            raise SkipMessage(f"the link {ended} before it could be sent")
        if payload.delivery.state not in {DeliveryState.QUEUED, DeliveryState.SCHEDULED}:
            raise SkipMessage(f"the mail was {payload.delivery.state} already")
        return compose_link_mail(
            payload,
            profile=profile,
            url=self._public_url + page_path(payload.id),
            sender=self._sender,
            now=now,
        )

    def attempts(self, payload: Link) -> tuple[int, int]:
        return payload.delivery.attempts, payload.delivery.unconfirmed

    def log_fields(self, partition: str, member: str) -> dict[str, str]:
        return {"kind": "link", "link": truncate_id(full_id(partition, member))}

    def settle(
        self,
        payload: Link,
        outcome: Outcome,
        *,
        profile: Profile,
        now: datetime,
        lease_deadline: datetime,
    ) -> Command[bool]:
        match outcome:
            case Sent():
                return mail_store.mark_sent(
                    payload,
                    now=now,
                    retention=self._retention,
                    default_reminders=profile.default_reminders,
                )
            case Failed(error, counts_as_attempt):
                return mail_store.mark_failed(
                    payload,
                    error=error,
                    counts_as_attempt=counts_as_attempt,
                    now=now,
                    retention=self._retention,
                    lease_deadline=lease_deadline,
                )
            case Retry(error, at, counts_as_attempt, unconfirmed):
                return mail_store.retry_later(
                    payload,
                    error=error,
                    counts_as_attempt=counts_as_attempt,
                    unconfirmed=unconfirmed,
                    at=at,
                    lease_deadline=lease_deadline,
                )

    def requeue(self, payload: Link, at: datetime) -> Command[bool]:
        return mail_store.requeue(payload.id, at=at)


def compose_link_mail(
    link: Link, *, profile: Profile, url: str, sender: Sender, now: datetime
) -> Mail:
    """The e-mail that brings ``link`` to its recipient, with the same Message-ID each time.

    Where it is to be sent again, it is another e-mail.
    """
    identity, sends = f"{link.id} {link.due_at.isoformat()}", link.delivery.sends
    return compose_mail(
        render_link_mail(link, profile=profile, url=url),
        recipient=link.email,
        profile=profile,
        sender=sender,
        now=now,
        identity=identity if sends == 1 else f"{identity} {sends}",
    )
