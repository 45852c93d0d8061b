"""Creates links and codes whose e-mails are due, and workers that send them."""

import email
import email.policy
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Any

from redis import Redis

from service.health.heartbeat import Heartbeat
from service.links import store as links
from service.links.model import DeliveryState, Link
from service.otps import store as otps
from service.otps.store import Otp
from service.outbox import store as outbox
from service.outbox.queues import LINK_QUEUE, OTP_QUEUE
from service.storage import keys
from service.storage.client import RedisClient
from service.storage.clock import RedisClock
from service.values.ids import partition_of
from service.values.time import datetime_from_ms
from tasks.delivery_worker import LEASE_DURATION, DeliveryWorker
from tasks.mail.mailer import Mailer
from tasks.mail.mime import Mail
from tasks.mail.profiles import ProfileCache
from tasks.mail_kinds.link_mails import LinkMailHandler
from tasks.mail_kinds.otp_mails import OtpMailHandler
from tests.support.clock import Clock
from tests.support.factories import create_link

ORG = "acme"
PARTITION = partition_of(ORG)
RETENTION = timedelta(days=90)
OTP_KEY = b"o" * 32
SENDER = "Shop <pay@shop.example>"


class DeliveryHarness:
    """Writes to the store, and reads from it, as the API does."""

    def __init__(self, client: RedisClient, redis: Redis, clock: Clock) -> None:
        self.client = client
        self.profiles = ProfileCache(client, clock)
        self.redis = redis
        self.clock = clock

    def add_link(
        self, email: str = "jane@example.com", *, org_id: str = ORG, **fields: Any
    ) -> Link:
        link = create_link(
            entropy=secrets.token_bytes(24),
            now=self.clock(),
            org_id=org_id,
            email=email,
            **{"ttl": timedelta(hours=72), **fields},
        )
        assert self.client.run(links.create(link, now=self.clock(), retention=RETENTION))
        return link

    def add_links(self, count: int, *, org_id: str = ORG) -> list[Link]:
        """Links to jane+0, jane+1, …, due one after the other."""
        made = []
        for number in range(count):
            made.append(self.add_link(f"jane+{number}@example.com", org_id=org_id))
            self.clock.advance(milliseconds=1)
        return made

    def link(self, link: Link) -> Link:
        """``link`` as it is stored now."""
        found = self.client.run(links.get(link.id))
        assert found is not None
        return found

    def state(self, link: Link) -> DeliveryState:
        return self.link(link).delivery.state

    def revoke(self, link: Link) -> None:
        assert self.client.run(links.revoke(link, now=self.clock(), retention=RETENTION))

    def add_code(
        self, email: str = "jane@example.com", *, ttl: timedelta = timedelta(minutes=10)
    ) -> bytes:
        """The nonce of a new code."""
        nonce = secrets.token_bytes(16)
        self.client.run(otps.create(email, nonce, now=self.clock(), ttl=ttl))
        return nonce

    def claim(self, partition: str = PARTITION) -> datetime:
        """Claims what is due, as a worker that dies then; returns the deadline of its lease."""
        deadline = self.clock() + LEASE_DURATION
        self.client.run(
            outbox.claim(
                LINK_QUEUE, partition, now=self.clock(), lease_deadline=deadline, limit=1000
            )
        )
        return deadline

    def lease_of(self, link: Link) -> datetime | None:
        """The score of the link's e-mail in the outbox; None if it is not there."""
        score = self.redis.zscore(
            keys.outbox(keys.partition_of_link(link.id)), keys.local_id(link.id)
        )
        return None if score is None else datetime_from_ms(score)

    def code_lease_of(self, email: str) -> datetime | None:
        score = self.redis.zscore(keys.otp_outbox(partition_of(email)), email)
        return None if score is None else datetime_from_ms(score)

    def unsent(self) -> int:
        """The number of e-mails that are due or claimed."""
        return self.client.run(outbox.read_due(PARTITION, now=self.clock())).unsent

    def link_worker(
        self, mailer: Callable[[], Mailer], should_stop: Callable[[], bool] = lambda: False
    ) -> DeliveryWorker[Link]:
        return DeliveryWorker(
            LINK_QUEUE,
            LinkMailHandler("https://pay.example", SENDER, self.profiles, RETENTION),
            self.client,
            mailer,
            self.clock,
            should_stop,
            Heartbeat("worker-links", RedisClock()),
        )

    def code_worker(
        self, mailer: Callable[[], Mailer], should_stop: Callable[[], bool] = lambda: False
    ) -> DeliveryWorker[Otp]:
        heartbeat = Heartbeat("worker-otps", RedisClock())
        return DeliveryWorker(
            OTP_QUEUE,
            OtpMailHandler(OTP_KEY, SENDER, self.profiles),
            self.client,
            mailer,
            self.clock,
            should_stop,
            heartbeat,
        )


def received(mail: Mail) -> EmailMessage:
    """``mail`` as its recipient reads it."""
    message = email.message_from_bytes(mail.content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def text_of(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")
