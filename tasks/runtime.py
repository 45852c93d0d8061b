"""The composition root of workers: what jobs work with, made once a process."""

import multiprocessing
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import datetime
from functools import partial
from threading import Event

import msgspec
from redis import Redis

from config.settings import Settings
from service.auth.tokens import derive_key
from service.health.heartbeat import Heartbeat
from service.links.model import Link
from service.otps.store import Otp
from service.outbox.doorbell import QueueName
from service.storage.client import Client
from service.storage.clock import RedisClock
from service.storage.redis_url import connect, connect_queue
from tasks.delivery import Delivery
from tasks.kinds import LinkMails, OtpMails
from tasks.mail.mailer import FileMailer, Mailer, SmtpMailer
from tasks.profiles import Profiles


class Runtime(msgspec.Struct):
    """What jobs work with. Jobs carry no objects, so they find it in ``CURRENT``."""

    client: Client
    queue: Redis
    links: Delivery[Link]
    otps: Delivery[Otp]
    clock: Callable[[], datetime]
    heartbeats: Mapping[QueueName, Heartbeat]
    stopping: Event


CURRENT: ContextVar[Runtime] = ContextVar("runtime")


def create_runtime(settings: Settings, clock: Callable[[], datetime] | None = None) -> Runtime:
    """A runtime as ``settings`` describe it, on the store's time. It connects when it is used."""
    client, stopping, store_clock = (
        Client(partial(connect, settings.redis_url)),
        Event(),
        RedisClock(),
    )
    clock, heartbeats = clock or store_clock, create_heartbeats(store_clock)
    open_mailer = _mailer(settings)
    profiles = Profiles(client, clock)
    link_mail = LinkMails(settings.public_url, settings.mail_from, profiles, settings.retention)
    otp_mail = OtpMails(derive_key(settings.secret_key, "otp"), settings.mail_from, profiles)
    return Runtime(
        client=client,
        queue=connect_queue(settings.queue_redis_url, socket_timeout=2, socket_connect_timeout=2),
        links=Delivery(
            link_mail, client, open_mailer, clock, stopping.is_set, heartbeats[QueueName.LINKS]
        ),
        otps=Delivery(
            otp_mail, client, open_mailer, clock, stopping.is_set, heartbeats[QueueName.OTPS]
        ),
        clock=clock,
        heartbeats=heartbeats,
        stopping=stopping,
    )


def create_heartbeats(clock: RedisClock) -> dict[QueueName, Heartbeat]:
    """A heartbeat for whichever worker this is. One that is started again after it died is the same to who looks at it."""
    supervisor = multiprocessing.parent_process()
    pid = None if supervisor is None else supervisor.pid
    return {bell: Heartbeat(f"worker-{bell.value}", clock, pid=pid) for bell in QueueName}


def _mailer(settings: Settings) -> Callable[[], Mailer]:
    smtp = settings.smtp
    if smtp is None:
        return lambda: FileMailer(settings.data_dir / "outbox")
    mailer = SmtpMailer(
        **msgspec.structs.asdict(smtp)
    )  # once: reading trusted certificates takes 25 ms
    return lambda: mailer
