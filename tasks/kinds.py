"""The two kinds of mail: payment links and one-time passwords."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from service.links import deliveries
from service.links.model import DeliveryState, Link, Status
from service.otps import store as otps
from service.otps.model import derive_code
from service.otps.store import Otp
from service.storage.command import Command
from service.values.email import mask
from service.values.ids import truncate_id
from tasks.mail.mime import Mail
from tasks.mail.render import link_message, otp_message
from tasks.message import Drop
from tasks.profiles import Profiles


class LinkMails:
    """Links, each mailed once to its recipient."""

    def __init__(
        self, public_url: str, sender: str, profiles: Profiles, retention: timedelta
    ) -> None:
        self._profiles = profiles
        self._retention = retention
        self._public_url = public_url
        self._sender = sender

    def claim(
        self, partition: str, *, now: datetime, deadline: datetime, limit: int
    ) -> Command[list[str]]:
        return deliveries.claim(partition, now=now, deadline=deadline, limit=limit)

    def open(
        self, partition: str, members: Sequence[str]
    ) -> Command[list[Link | ValueError | None]]:
        return deliveries.load_claimed(partition, members)

    def renew(
        self, partition: str, members: Sequence[str], *, deadline: datetime, until: datetime
    ) -> Command[list[str]]:
        return deliveries.renew(partition, members, deadline=deadline, until=until)

    def message(self, opened: Link, now: datetime) -> Mail:
        if opened.status(now) is not Status.ACTIVE:
            raise Drop(f"the link was {opened.status(now)} before it could be sent")
        if opened.delivery.state not in {DeliveryState.SCHEDULED, DeliveryState.QUEUED}:
            raise Drop(f"the mail was {opened.delivery.state} already")
        profile, url = self._profiles.of(opened.org_id), f"{self._public_url}/pay/{opened.id}"
        return link_message(opened, profile=profile, url=url, sender=self._sender, now=now)

    def attempts(self, opened: Link) -> int:
        return opened.delivery.attempts

    def describe(self, member: str) -> dict[str, str]:
        return {"kind": "link", "link": truncate_id(member)}

    def sent(self, member: str, *, now: datetime, deadline: datetime) -> Command[bool]:
        return deliveries.mark_sent(member, now=now)

    def failed(
        self, member: str, *, error: str, attempts: int, now: datetime, deadline: datetime
    ) -> Command[bool]:
        retention = self._retention
        return deliveries.mark_failed(
            member, error=error, attempts=attempts, now=now, retention=retention, deadline=deadline
        )

    def retry(
        self, member: str, *, error: str, attempts: int, at: datetime, deadline: datetime
    ) -> Command[bool]:
        return deliveries.retry_later(
            member, error=error, attempts=attempts, at=at, deadline=deadline
        )


class OtpMails:
    """One-time passwords. The code is made here, a moment before it is sent, and kept nowhere."""

    def __init__(self, key: bytes, sender: str, profiles: Profiles) -> None:
        self._profiles = profiles
        self._key = key
        self._sender = sender

    def claim(
        self, partition: str, *, now: datetime, deadline: datetime, limit: int
    ) -> Command[list[str]]:
        return otps.claim(partition, now=now, deadline=deadline, limit=limit)

    def open(
        self, partition: str, members: Sequence[str]
    ) -> Command[list[Otp | ValueError | None]]:
        return otps.load_claimed(partition, members)

    def renew(
        self, partition: str, members: Sequence[str], *, deadline: datetime, until: datetime
    ) -> Command[list[str]]:
        return otps.renew(partition, members, deadline=deadline, until=until)

    def message(self, opened: Otp, now: datetime) -> Mail:
        if now >= opened.expires_at:
            raise Drop("the code expired before it could be sent")
        code = derive_code(self._key, opened.nonce, opened.email)
        return otp_message(
            opened, code, profile=self._profiles.of(opened.org_id), sender=self._sender, now=now
        )

    def attempts(self, opened: Otp) -> int:
        return opened.attempts

    def describe(self, member: str) -> dict[str, str]:
        return {"kind": "otp", "email": mask(member)}

    def sent(self, member: str, *, now: datetime, deadline: datetime) -> Command[bool]:
        return otps.settle(member, deadline=deadline, retry_at=None)

    def failed(
        self, member: str, *, error: str, attempts: int, now: datetime, deadline: datetime
    ) -> Command[bool]:
        return otps.settle(member, deadline=deadline, retry_at=None)

    def retry(
        self, member: str, *, error: str, attempts: int, at: datetime, deadline: datetime
    ) -> Command[bool]:
        return otps.settle(member, deadline=deadline, retry_at=at, attempts=attempts)
