"""E-mails with a one-time password."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from service.i18n.formats import get_formats
from service.orgs.model import Profile
from service.otps import store as otps
from service.otps.model import derive_code
from service.otps.store import Otp
from service.storage.command import Command
from service.values.email import mask
from service.values.languages import choose_locale
from tasks.mail.mime import Mail
from tasks.mail.profiles import ProfileCache
from tasks.mail.render import avoid_no_break_spaces, render_mail
from tasks.message import Outcome, Retry, SkipMessage


class OtpMailHandler:
    """Each password is derived just before it is sent, and stored nowhere."""

    def __init__(self, key: bytes, sender: str, profiles: ProfileCache) -> None:
        self._key = key
        self._sender = sender
        self._profiles = profiles

    def load_claimed(
        self, partition: str, members: Sequence[str]
    ) -> Command[list[Otp | ValueError | None]]:
        return otps.load_claimed(partition, members)

    def compose(self, payload: Otp, now: datetime) -> Mail:
        if now >= payload.expires_at:
            raise SkipMessage("the code expired before it could be sent")
        return compose_otp_mail(
            payload,
            derive_code(self._key, payload.nonce, payload.email),
            profile=self._profiles.get(payload.org_id),
            sender=self._sender,
            now=now,
        )

    def attempts(self, payload: Otp) -> int:
        return payload.attempts

    def log_fields(self, partition: str, member: str) -> dict[str, str]:
        return {"kind": "otp", "email": mask(member)}

    def settle(
        self,
        partition: str,
        member: str,
        outcome: Outcome,
        *,
        now: datetime,
        lease_deadline: datetime,
    ) -> Command[bool]:
        if isinstance(outcome, Retry):
            return otps.settle(
                member,
                lease_deadline=lease_deadline,
                retry_at=outcome.at,
                counts_as_attempt=outcome.counts_as_attempt,
            )
        return otps.settle(member, lease_deadline=lease_deadline, retry_at=None)


def compose_otp_mail(otp: Otp, code: str, *, profile: Profile, sender: str, now: datetime) -> Mail:
    """The e-mail that brings ``code`` to the owner of the mailbox."""
    formats = get_formats(choose_locale(otp.locale, profile.locale))
    minutes = max(1, round((otp.expires_at - now).total_seconds() / 60))
    org = profile.display_name or otp.org_id
    values: dict[str, object] = {
        "org": org and formats.isolate(org),
        "code": code,
        "span": avoid_no_break_spaces(formats.format_duration(timedelta(minutes=minutes))),
    }
    return render_mail(
        "otp",
        recipient=otp.email,
        subject=formats.messages.gettext("%(code)s is your payment code") % values,
        values=values,
        formats=formats,
        profile=profile,
        sender=sender,
        now=now,
        identity=f"{otp.email} {otp.nonce.hex()}",
    )
