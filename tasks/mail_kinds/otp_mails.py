"""E-mails with a one-time password."""

from collections.abc import Sequence
from datetime import datetime

from service.mails.otp_mail import render_otp_mail
from service.orgs.model import Profile
from service.otps import store as otps
from service.otps.model import derive_code
from service.otps.store import Otp
from service.storage.command import Command
from service.values.email import mask
from tasks.mail.compose import compose_mail
from tasks.mail.mime import Mail, Sender
from tasks.message import Outcome, Retry, Sent, SkipMessage


class OtpMailHandler:
    """Each password is derived just before it is sent, and stored nowhere."""

    def __init__(self, key: bytes, sender: Sender) -> None:
        self._key = key
        self._sender = sender

    def load_claimed(
        self, partition: str, members: Sequence[str]
    ) -> Command[list[Otp | ValueError | None]]:
        return otps.load_claimed(partition, members)

    def compose(self, payload: Otp, profile: Profile, now: datetime) -> Mail:
        if now >= payload.expires_at:
            raise SkipMessage("the code expired before it could be sent")
        return compose_otp_mail(
            payload,
            derive_code(self._key, payload.nonce, payload.email),
            profile=profile,
            sender=self._sender,
            now=now,
        )

    def attempts(self, payload: Otp) -> tuple[int, int]:
        return payload.attempts, payload.unconfirmed

    def log_fields(self, partition: str, member: str) -> dict[str, str]:
        return {"kind": "otp", "email": mask(member)}

    def settle(
        self,
        payload: Otp,
        outcome: Outcome,
        *,
        profile: Profile,
        now: datetime,
        lease_deadline: datetime,
    ) -> Command[bool]:
        if isinstance(outcome, Retry):
            return otps.settle(
                payload.email,
                payload.nonce,
                lease_deadline=lease_deadline,
                retry_at=outcome.at,
                counts_as_attempt=outcome.counts_as_attempt,
                unconfirmed=outcome.unconfirmed,
            )
        held_until = None if isinstance(outcome, Sent) else lease_deadline
        return otps.settle(payload.email, payload.nonce, lease_deadline=held_until, retry_at=None)

    def requeue(self, payload: Otp, at: datetime) -> Command[bool]:
        return otps.requeue(payload.email, payload.nonce, at=at)


def compose_otp_mail(
    otp: Otp, code: str, *, profile: Profile, sender: Sender, now: datetime
) -> Mail:
    """The e-mail that brings ``code`` to the owner of the mailbox."""
    return compose_mail(
        render_otp_mail(otp, code, profile=profile, now=now),
        recipient=otp.email,
        profile=profile,
        sender=sender,
        now=now,
        identity=f"{otp.email} {otp.nonce.hex()}",
    )
