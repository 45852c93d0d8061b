"""E-mails beside a link's own: reminders, receipts, and samples for an organization."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from service.links.model import page_path, reminders_path
from service.mails.link_mail import render_reminder, render_sample
from service.mails.receipt_mail import render_receipt
from service.notices import store as notices
from service.notices.model import Notice, NoticeKind, ReceiptNotice, ReminderNotice, SampleNotice
from service.orgs.model import Profile
from service.storage.command import Command
from service.storage.keys import full_id
from service.values.ids import truncate_id
from tasks.mail.compose import compose_mail
from tasks.mail.mime import Mail, Sender
from tasks.message import Failed, Outcome, Retry, Sent, SkipMessage


class NoticeMailHandler:
    """Each notice is one mail; the next reminder of a link is another notice."""

    def __init__(self, public_url: str, sender: Sender, retention: timedelta) -> None:
        self._public_url = public_url
        self._sender = sender
        self._retention = retention

    def load_claimed(
        self, partition: str, members: Sequence[str]
    ) -> Command[list[Notice | ValueError | None]]:
        return notices.load_claimed(partition, members)

    def compose(self, payload: Notice, profile: Profile, now: datetime) -> Mail:
        if obstacle := payload.find_obstacle(now):
            raise SkipMessage(obstacle)
        if now >= payload.expires_at:
            raise SkipMessage("it is too late to send it")
        match payload:
            case ReminderNotice():
                return self._compose_reminder(payload, profile, now)
            case ReceiptNotice():
                return self._compose_receipt(payload, profile, now)
            case SampleNotice():
                return self._compose_sample(payload, now)

    def attempts(self, payload: Notice) -> tuple[int, int]:
        return payload.tries.attempts, payload.tries.unconfirmed

    def log_fields(self, partition: str, member: str) -> dict[str, str]:
        kind, _, subject = member.partition(":")
        if kind == NoticeKind.SAMPLE:
            return {"kind": kind, "org": subject}
        return {"kind": kind, "link": truncate_id(full_id(partition, subject))}

    def settle(
        self,
        payload: Notice,
        outcome: Outcome,
        *,
        profile: Profile,
        now: datetime,
        lease_deadline: datetime,
    ) -> Command[bool]:
        match outcome:
            case Sent():
                return notices.mark_sent(
                    payload, now=now, retention=self._retention, lease_deadline=lease_deadline
                )
            case Failed() if payload.find_obstacle(now):
                return notices.put_back(payload, now=now, lease_deadline=lease_deadline)
            case Failed(error):
                return notices.give_up(
                    payload,
                    error=error,
                    now=now,
                    retention=self._retention,
                    lease_deadline=lease_deadline,
                )
            case Retry(_, at, counts_as_attempt, unconfirmed):
                return notices.retry_later(
                    payload,
                    now=now,
                    at=at,
                    counts_as_attempt=counts_as_attempt,
                    unconfirmed=unconfirmed,
                    lease_deadline=lease_deadline,
                )

    def requeue(self, payload: Notice, at: datetime) -> Command[bool]:
        return notices.requeue(payload, at=at)

    def _compose_reminder(self, notice: ReminderNotice, profile: Profile, now: datetime) -> Mail:
        link, stop_url = notice.link, self._public_url + reminders_path(notice.link.id)
        url = self._public_url + page_path(link.id)
        return compose_mail(
            render_reminder(link, profile=profile, url=url, stop_url=stop_url),
            recipient=link.email,
            profile=profile,
            sender=self._sender,
            now=now,
            identity=notice.identity,
            unsubscribe_url=stop_url,
        )

    def _compose_receipt(self, notice: ReceiptNotice, profile: Profile, now: datetime) -> Mail:
        if notice.payment is None:
            raise ValueError("a receipt is for a payment")
        return compose_mail(
            render_receipt(notice.link, notice.payment, profile=profile),
            recipient=notice.link.email,
            profile=profile,
            sender=self._sender,
            now=now,
            identity=notice.identity,
        )

    def _compose_sample(self, notice: SampleNotice, now: datetime) -> Mail:
        content = render_sample(
            notice.sampled_org_id, profile=notice.profile, url=self._public_url, now=now
        )
        return compose_mail(
            content,
            recipient=notice.profile.reply_to or "",
            profile=notice.profile,
            sender=self._sender,
            now=now,
            identity=notice.identity,
        )
