"""The composition root of workers: everything that jobs use, created once per process."""

import multiprocessing
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from functools import partial
from threading import Event
from typing import Any

import msgspec
from redis import Redis

from config.settings import Settings
from config.urls import SmtpSettings
from service.health.heartbeat import Heartbeat
from service.outbox.queues import MailQueue
from service.storage.clock import RedisClock
from service.storage.connect import create_queue_client
from service.storage.pipeline import AutoPipeline
from tasks.delivery.queue_runner import QueueRunner
from tasks.delivery.runner_thread import RunnerThread, start_runner
from tasks.mail.files import FileSession
from tasks.mail.mailer import MailSession
from tasks.mail.smtp import SmtpSession
from tasks.mail_kinds.registry import MailKind


class Runtime(msgspec.Struct):
    """What a worker's jobs use. RQ calls them without objects; they read ``current_runtime``."""

    queue: MailQueue
    runner: RunnerThread
    rq_connection: Redis
    clock: Callable[[], datetime]
    heartbeat: Heartbeat
    stopping: Event

    def stop(self) -> None:
        """Ends the work; returns at once."""
        self.stopping.set()
        self.runner.stop()


current_runtime: ContextVar[Runtime] = ContextVar("current_runtime")


@contextmanager
def open_runtime(
    settings: Settings, mail_kind: MailKind, clock: Callable[[], datetime] | None = None
) -> Iterator[Runtime]:
    """A runtime for e-mails of one kind. It connects to Redis on first use.

    Without a ``clock``, it uses the store's time.
    """
    queue, store_clock = mail_kind.queue, RedisClock()
    clock, heartbeat = clock or store_clock, create_heartbeat(queue, store_clock)
    create_session = session_factory(settings)

    def create_runner(pipeline: AutoPipeline) -> QueueRunner[Any]:
        handler = mail_kind.create_handler(settings)
        pool_size = mail_kind.pool_size(settings)
        return QueueRunner(queue, handler, pipeline, create_session, pool_size, clock, heartbeat)

    with (
        create_queue_client(
            settings.queue_redis_url, socket_timeout=2, socket_connect_timeout=2
        ) as rq_connection,
        start_runner(settings.redis_url, create_runner) as runner,
    ):
        yield Runtime(queue, runner, rq_connection, clock, heartbeat, Event())


def create_heartbeat(queue: MailQueue, clock: RedisClock) -> Heartbeat:
    """A worker that is started again after a crash keeps its name: the supervisor's process id."""
    supervisor = multiprocessing.parent_process()
    return Heartbeat(queue.worker_name, clock, pid=None if supervisor is None else supervisor.pid)


def session_factory(settings: Settings) -> Callable[[], MailSession]:
    """Creates sessions with the mail server, or with files where none is configured."""
    if settings.smtp is None:
        return partial(FileSession, settings.data_dir / "outbox")
    return smtp_session_factory(settings, settings.smtp)


def smtp_session_factory(settings: Settings, smtp: SmtpSettings) -> Callable[[], SmtpSession]:
    """Creates sessions with the mail server. They share the certificates, which take 25 ms."""
    tls = ssl.create_default_context()
    if settings.smtp_ca_file is not None:
        tls.load_verify_locations(settings.smtp_ca_file)
    return partial(
        SmtpSession,
        **msgspec.structs.asdict(smtp),
        require_tls=smtp.require_tls,
        tls=tls,
        helo=settings.smtp_helo,
        timeout=settings.smtp_timeout.total_seconds(),
    )
