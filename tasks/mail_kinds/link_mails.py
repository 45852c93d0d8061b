"""E-mails with a payment link."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from service.i18n.formats import get_formats
from service.links import mail_store
from service.links.model import DeliveryState, Link, Status, page_path
from service.orgs.model import Profile
from service.storage.command import Command
from service.storage.keys import full_id, full_ids
from service.values.ids import truncate_id
from service.values.languages import choose_locale
from tasks.mail.mime import Mail
from tasks.mail.profiles import ProfileCache
from tasks.mail.render import avoid_no_break_spaces, render_mail
from tasks.message import Failed, Outcome, Retry, Sent, SkipMessage


class LinkMailHandler:
    """Each link is mailed once, to its recipient."""

    def __init__(
        self, public_url: str, sender: str, profiles: ProfileCache, retention: timedelta
    ) -> None:
        self._public_url = public_url
        self._sender = sender
        self._profiles = profiles
        self._retention = retention

    def load_claimed(
        self, partition: str, members: Sequence[str]
    ) -> Command[list[Link | ValueError | None]]:
        return mail_store.load_claimed(partition, full_ids(partition, members))

    def compose(self, payload: Link, now: datetime) -> Mail:
        status = payload.status(now)
        if status is not Status.ACTIVE:
            ended = "was revoked" if status is Status.REVOKED else "expired"
            raise SkipMessage(f"the link {ended} before it could be sent")
        if payload.delivery.state not in {DeliveryState.QUEUED, DeliveryState.SCHEDULED}:
            raise SkipMessage(f"the mail was {payload.delivery.state} already")
        return compose_link_mail(
            payload,
            profile=self._profiles.get(payload.org_id),
            url=self._public_url + page_path(payload.id),
            sender=self._sender,
            now=now,
        )

    def attempts(self, payload: Link) -> int:
        return payload.delivery.attempts

    def log_fields(self, partition: str, member: str) -> dict[str, str]:
        return {"kind": "link", "link": truncate_id(full_id(partition, member))}

    def settle(
        self,
        partition: str,
        member: str,
        outcome: Outcome,
        *,
        now: datetime,
        lease_deadline: datetime,
    ) -> Command[bool]:
        link_id = full_id(partition, member)
        match outcome:
            case Sent():
                return mail_store.mark_sent(link_id, now=now)
            case Failed(error, counts_as_attempt):
                return mail_store.mark_failed(
                    link_id,
                    error=error,
                    counts_as_attempt=counts_as_attempt,
                    now=now,
                    retention=self._retention,
                    lease_deadline=lease_deadline,
                )
            case Retry(error, counts_as_attempt, at):
                return mail_store.retry_later(
                    link_id,
                    error=error,
                    counts_as_attempt=counts_as_attempt,
                    at=at,
                    lease_deadline=lease_deadline,
                )


def compose_link_mail(
    link: Link, *, profile: Profile, url: str, sender: str, now: datetime
) -> Mail:
    """The e-mail that brings ``link`` to its recipient, with the same Message-ID each time."""
    formats = get_formats(choose_locale(link.locale, profile.locale))
    gettext, isolate = formats.messages.gettext, formats.isolate
    amount = avoid_no_break_spaces(formats.format_amount(link.payment_amount, link.currency))
    values: dict[str, object] = {
        "org": isolate(profile.display_name or link.org_id),
        "amount": amount and isolate(amount),
        "reference": link.transaction_id and isolate(link.transaction_id),
        "url": url,
        "expires_at": avoid_no_break_spaces(formats.format_datetime(link.expires_at, profile.zone)),
        "otp_required": link.otp_required,
        # The font size at which the amount fits into a line of ``width``; both in pixels.
        "amount_size": lambda width: min(32, int(width / (0.68 * len(amount)))),
    }
    request = gettext("%(org)s asks you for a payment")
    if amount:
        subject = gettext("%(org)s asks you for %(amount)s")
        sentence = gettext("%(org)s asks you for a payment of %(amount)s.")
    else:
        subject = gettext("Payment link from %(org)s")
        sentence = f"{request}."
    values |= {"request": request % values, "request_sentence": sentence % values}
    return render_mail(
        "link",
        recipient=link.email,
        subject=subject % values,
        values=values,
        formats=formats,
        profile=profile,
        sender=sender,
        now=now,
        identity=f"{link.id} {link.due_at.isoformat()}",
    )
