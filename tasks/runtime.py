"""The composition root of workers: what jobs work with, made once a process."""

from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import partial
from threading import Event

import msgspec
from redis import Redis

from config.settings import Settings
from service.domain.link import Link
from service.domain.tokens import derive_key
from service.store.client import Client, connect, connect_queue
from service.store.otps import Otp
from tasks.delivery import Delivery
from tasks.kinds import LinkMail, OtpMail
from tasks.mailer import FileMailer, Mailer, SmtpMailer
from tasks.profiles import Profiles


class Runtime(msgspec.Struct):
    """What jobs work with. Jobs carry no objects, so they find it in ``CURRENT``."""

    client: Client
    queue: Redis
    links: Delivery[Link]
    otps: Delivery[Otp]
    clock: Callable[[], datetime]
    stopping: Event


CURRENT: ContextVar[Runtime] = ContextVar("runtime")


def create_runtime(settings: Settings, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Runtime:
    """A runtime as ``settings`` describe it. It connects when it is used."""
    client, stopping = Client(partial(connect, settings.redis_url)), Event()
    open_mailer = _mailer(settings)
    profiles = Profiles(client, clock)
    link_mail = LinkMail(settings.public_url, settings.mail_from, profiles, settings.retention)
    otp_mail = OtpMail(derive_key(settings.secret_key, "otp"), settings.mail_from, profiles)
    return Runtime(
        client=client,
        queue=connect_queue(settings.queue_redis_url, socket_timeout=2, socket_connect_timeout=2),
        links=Delivery(link_mail, client, open_mailer, clock, stopping.is_set),
        otps=Delivery(otp_mail, client, open_mailer, clock, stopping.is_set),
        clock=clock,
        stopping=stopping,
    )


def _mailer(settings: Settings) -> Callable[[], Mailer]:
    smtp = settings.smtp
    if smtp is None:
        return lambda: FileMailer(settings.data_dir / "outbox")
    mailer = SmtpMailer(**msgspec.structs.asdict(smtp))  # once: reading trusted certificates takes 25 ms
    return lambda: mailer
