"""The composition root of workers: everything that jobs use, created once per process."""

import multiprocessing
from collections.abc import Callable
from contextvars import ContextVar
from datetime import datetime
from functools import partial
from threading import Event
from typing import Any

import msgspec
from redis import Redis

from config.settings import Settings
from service.health.heartbeat import Heartbeat
from service.outbox.queues import MailQueue
from service.storage.client import RedisClient
from service.storage.clock import RedisClock
from service.storage.connect import create_client, create_queue_client
from tasks.delivery_worker import DeliveryWorker
from tasks.mail.files import FileMailer
from tasks.mail.mailer import Mailer
from tasks.mail.profiles import ProfileCache
from tasks.mail.smtp import SmtpMailer
from tasks.mail_kinds.registry import MailKind


class Runtime(msgspec.Struct):
    """What a worker's jobs use. RQ calls them without objects; they read ``current_runtime``."""

    queue: MailQueue
    client: RedisClient
    rq_connection: Redis
    delivery: DeliveryWorker[Any]
    clock: Callable[[], datetime]
    heartbeat: Heartbeat
    stopping: Event


current_runtime: ContextVar[Runtime] = ContextVar("current_runtime")


def create_runtime(
    settings: Settings, mail_kind: MailKind, clock: Callable[[], datetime] | None = None
) -> Runtime:
    """A runtime for e-mails of one kind. It connects to Redis on first use.

    Without a ``clock``, it uses the store's time.
    """
    store_clock, stopping = RedisClock(), Event()
    client = RedisClient(partial(create_client, settings.redis_url))
    clock, heartbeat = clock or store_clock, create_heartbeat(mail_kind.queue, store_clock)
    return Runtime(
        queue=mail_kind.queue,
        client=client,
        rq_connection=create_queue_client(
            settings.queue_redis_url, socket_timeout=2, socket_connect_timeout=2
        ),
        delivery=DeliveryWorker(
            mail_kind.queue,
            mail_kind.create_handler(settings, ProfileCache(client, clock)),
            client,
            _mailer_factory(settings),
            clock,
            stopping.is_set,
            heartbeat,
        ),
        clock=clock,
        heartbeat=heartbeat,
        stopping=stopping,
    )


def create_heartbeat(queue: MailQueue, clock: RedisClock) -> Heartbeat:
    """A worker that is started again after a crash keeps its name: the supervisor's process id."""
    supervisor = multiprocessing.parent_process()
    return Heartbeat(queue.worker_name, clock, pid=None if supervisor is None else supervisor.pid)


def _mailer_factory(settings: Settings) -> Callable[[], Mailer]:
    if settings.smtp is None:
        return partial(FileMailer, settings.data_dir / "outbox")
    mailer = SmtpMailer(**msgspec.structs.asdict(settings.smtp))  # once: certificates take 25 ms
    return lambda: mailer
