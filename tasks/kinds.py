"""The two kinds of mail: payment links and one-time passwords."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from service.domain.email import mask
from service.domain.link import DeliveryState, Link, Status
from service.domain.otp import derive_code
from service.logs import short
from service.store import otps, outbox
from service.store.call import Call
from service.store.otps import Otp
from tasks.letter import Drop
from tasks.mime import Mail
from tasks.profiles import Profiles
from tasks.render import link_message, otp_message


class LinkMail:
    """Links, each mailed once to its recipient."""

    def __init__(self, public_url: str, sender: str, profiles: Profiles, retention: timedelta) -> None:
        self._profiles = profiles
        self._retention = retention
        self._public_url = public_url
        self._sender = sender

    def claim(self, partition: str, *, now: datetime, deadline: datetime, limit: int) -> Call[list[str]]:
        return outbox.claim_links(partition, now=now, deadline=deadline, limit=limit)

    def open(self, partition: str, members: Sequence[str]) -> Call[list[Link | ValueError | None]]:
        return outbox.open_links(partition, members)

    def renew(self, partition: str, members: Sequence[str], *, deadline: datetime, until: datetime) -> Call[list[str]]:
        return outbox.renew_links(partition, members, deadline=deadline, until=until)

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
        return {"kind": "link", "link": short(member)}

    def sent(self, member: str, *, now: datetime, deadline: datetime) -> Call[bool]:
        return outbox.mark_sent(member, now=now)

    def failed(self, member: str, *, error: str, attempts: int, now: datetime, deadline: datetime) -> Call[bool]:
        retention = self._retention
        return outbox.mark_failed(member, error=error, attempts=attempts, now=now, retention=retention, deadline=deadline)

    def retry(self, member: str, *, error: str, attempts: int, at: datetime, deadline: datetime) -> Call[bool]:
        return outbox.retry_later(member, error=error, attempts=attempts, at=at, deadline=deadline)


class OtpMail:
    """One-time passwords. The code is made here, a moment before it is sent, and kept nowhere."""

    def __init__(self, key: bytes, sender: str, profiles: Profiles) -> None:
        self._profiles = profiles
        self._key = key
        self._sender = sender

    def claim(self, partition: str, *, now: datetime, deadline: datetime, limit: int) -> Call[list[str]]:
        return outbox.claim_codes(partition, now=now, deadline=deadline, limit=limit)

    def open(self, partition: str, members: Sequence[str]) -> Call[list[Otp | ValueError | None]]:
        return otps.open_codes(partition, members)

    def renew(self, partition: str, members: Sequence[str], *, deadline: datetime, until: datetime) -> Call[list[str]]:
        return outbox.renew_codes(partition, members, deadline=deadline, until=until)

    def message(self, opened: Otp, now: datetime) -> Mail:
        if now >= opened.expires_at:
            raise Drop("the code expired before it could be sent")
        code = derive_code(self._key, opened.nonce, opened.email)
        return otp_message(opened, code, profile=self._profiles.of(opened.org_id), sender=self._sender, now=now)

    def attempts(self, opened: Otp) -> int:
        return opened.attempts

    def describe(self, member: str) -> dict[str, str]:
        return {"kind": "otp", "email": mask(member)}

    def sent(self, member: str, *, now: datetime, deadline: datetime) -> Call[bool]:
        return otps.settle(member, deadline=deadline, retry_at=None)

    def failed(self, member: str, *, error: str, attempts: int, now: datetime, deadline: datetime) -> Call[bool]:
        return otps.settle(member, deadline=deadline, retry_at=None)

    def retry(self, member: str, *, error: str, attempts: int, at: datetime, deadline: datetime) -> Call[bool]:
        return otps.settle(member, deadline=deadline, retry_at=at, attempts=attempts)
