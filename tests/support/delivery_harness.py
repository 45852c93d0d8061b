"""Creates links and codes whose e-mails are due, and workers that send them."""

import email
import email.policy
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from email.message import EmailMessage
from typing import Any

import msgspec
from redis import Redis

from service.health.heartbeat import Heartbeat
from service.links import change_store, mail_store
from service.links import store as links
from service.links.change_store import ChangeOutcome
from service.links.mail_store import Resent
from service.links.model import DeliveryState, Link, Payment
from service.orgs import store as orgs
from service.orgs.model import Profile
from service.otps import store as otps
from service.outbox import store as outbox
from service.outbox.queues import LINK_QUEUE, NOTICE_QUEUE, OTP_QUEUE, MailQueue
from service.storage import keys
from service.storage.clock import RedisClock
from service.storage.event_log import Actor
from service.storage.pipeline import AutoPipeline
from service.values.ids import partition_of
from service.values.time import datetime_from_ms
from tasks.delivery.queue_runner import QueueRunner
from tasks.delivery.runner_thread import RunnerThread, start_runner
from tasks.delivery.sessions import PoolSize
from tasks.mail.mailer import MailSession
from tasks.mail.mime import Mail, Sender
from tasks.mail_kinds.link_mails import LinkMailHandler
from tasks.mail_kinds.notice_mails import NoticeMailHandler
from tasks.mail_kinds.otp_mails import OtpMailHandler
from tasks.message import LEASE_DURATION, MailHandler
from tests.support.clock import Clock
from tests.support.factories import create_link, revoke
from tests.support.redis_client import RedisClient

ORG = "acme"
PARTITION = partition_of(ORG)
RETENTION = timedelta(days=90)
OTP_KEY = b"o" * 32
SENDER = Sender("Shop", "pay@shop.example", "bounces@shop.example")


class DeliveryHarness:
    """Writes to the store, and reads from it, as the API does."""

    def __init__(self, url: str, client: RedisClient, redis: Redis, clock: Clock) -> None:
        self.url = url
        self.client = client
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

    def put_profile(self, org_id: str = ORG, **fields: Any) -> None:
        self.client.run(orgs.put_profile(org_id, Profile(**fields)))

    def change(self, link: Link, *, receipt_at: datetime | None = None, **fields: Any) -> None:
        """Changes fields of ``link`` as it is stored now."""
        stored = self.client.run(change_store.read(link.id))
        assert stored is not None
        outcome = self.client.run(
            change_store.update(
                stored,
                msgspec.structs.replace(stored.link, **fields),
                now=self.clock(),
                retention=RETENTION,
                events=[],
                receipt_at=receipt_at,
            )
        )
        assert outcome is ChangeOutcome.UPDATED

    def pay(self, link: Link, amount: str = "10.50", payment_id: str = "ch_1") -> None:
        """The whole amount of ``link`` is paid, and a receipt is owed."""
        payment = Payment(
            id=payment_id, amount=Decimal(amount), paid_at=self.clock(), recorded_at=self.clock()
        )
        self.change(
            link,
            receipt_at=self.clock(),
            payments=(*self.link(link).payments, payment),
            paid_at=self.clock(),
        )

    def pay_part(self, link: Link, amount: str) -> None:
        """A part of the amount of ``link`` is paid."""
        payment = Payment(
            id="ch_part", amount=Decimal(amount), paid_at=self.clock(), recorded_at=self.clock()
        )
        self.change(link, payments=(*self.link(link).payments, payment))

    def resend(self, link: Link) -> None:
        outcome = self.client.run(
            mail_store.resend(
                self.link(link), now=self.clock(), retention=RETENTION, actor=Actor("clerk")
            )
        )
        assert isinstance(outcome, Resent)

    def delete(self, link: Link) -> None:
        """As if its retention were over."""
        assert self.redis.delete(keys.link(link.id))

    def notice_due_at(self, link: Link, kind: str = "reminder") -> datetime | None:
        """When the link's notice is due; None if none is."""
        member = f"{kind}:{keys.local_id(link.id)}"
        score = self.redis.zscore(keys.notices(keys.partition_of_link(link.id)), member)
        return None if score is None else datetime_from_ms(score)

    def held_notices(self) -> list[str]:
        """The members under a lease, or that are tried again."""
        return [str(member) for member in self.redis.zrange(keys.notice_outbox(PARTITION), 0, -1)]

    def events(self, org_id: str = ORG) -> list[tuple[str, str]]:
        """The types and data of the events logged so far."""
        entries: Any = self.redis.xrange(keys.events(org_id))
        return [(entry["type"], entry["data"]) for _, entry in entries]

    def revoke(self, link: Link) -> None:
        assert revoke(self.client, link, self.clock())

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
        self, create_session: Callable[[], MailSession], *, sessions: int = 1
    ) -> "HarnessWorker":
        handler = LinkMailHandler("https://pay.example", SENDER, RETENTION)
        return self.worker(LINK_QUEUE, handler, create_session, PoolSize(0, sessions))

    def code_worker(
        self, create_session: Callable[[], MailSession], *, kept_open: int = 0, sessions: int = 1
    ) -> "HarnessWorker":
        handler, size = OtpMailHandler(OTP_KEY, SENDER), PoolSize(kept_open, sessions)
        return self.worker(OTP_QUEUE, handler, create_session, size)

    def notice_worker(
        self, create_session: Callable[[], MailSession], *, sessions: int = 1
    ) -> "HarnessWorker":
        handler = NoticeMailHandler("https://pay.example", SENDER, RETENTION)
        return self.worker(NOTICE_QUEUE, handler, create_session, PoolSize(0, sessions))

    def worker(
        self,
        queue: MailQueue,
        handler: MailHandler[Any],
        create_session: Callable[[], MailSession],
        size: PoolSize,
    ) -> "HarnessWorker":
        heartbeat = Heartbeat(queue.worker_name, RedisClock())

        def create(pipeline: AutoPipeline) -> QueueRunner[Any]:
            return QueueRunner(
                queue, handler, pipeline, create_session, size, self.clock, heartbeat
            )

        return HarnessWorker(self.url, create, heartbeat)


class HarnessWorker:
    """Starts a queue runner, and knows the one it started last."""

    def __init__(
        self,
        url: str,
        create: Callable[[AutoPipeline], QueueRunner[Any]],
        heartbeat: Heartbeat,
    ) -> None:
        self._url = url
        self._create = create
        self.heartbeat = heartbeat
        self._stopped = False

    @contextmanager
    def started(self) -> Iterator[RunnerThread]:
        def create(pipeline: AutoPipeline) -> QueueRunner[Any]:
            self.pipeline = pipeline
            self.runner = self._create(pipeline)
            return self.runner

        with start_runner(self._url, create) as thread:
            yield thread

    def run(self, partitions: Sequence[str]) -> None:
        """Sends what waits in the partitions, until it has run dry or is stopped."""
        with self.started() as thread:
            thread.wake(partitions)
            ends_at = time.monotonic() + 30
            while not self._stopped and not thread.wait_until_dry(0.05):
                assert time.monotonic() < ends_at

    def stop(self) -> None:
        """Stops the runner, from its own thread."""
        self._stopped = True
        self.runner.stop()


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
