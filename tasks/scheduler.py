"""``payment-links scheduler``: rq-scheduler's daemon, which has the scan run every other second and outlives an outage of Redis."""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import structlog
from redis.exceptions import RedisError
from rq_scheduler import Scheduler
from rq_scheduler.utils import to_unix

from config.settings import load
from service.errors import Unavailable
from service.health.heartbeat import Heartbeat
from service.outbox.doorbell import (
    NAMESPACE,
    SCAN_BELL,
    SCAN_INTERVAL,
    SCAN_JOB,
    SCAN_JOB_ID,
    JsonJob,
    JsonQueue,
    queue_name,
)
from service.process import logs
from service.process.shutdown import on_stop_signals
from service.storage import data_version
from service.storage.client import Client
from service.storage.clock import RedisClock
from service.storage.failure import describe_failure
from service.storage.redis_url import REDIS_TIMEOUT_SECONDS, connect, connect_queue

log = structlog.get_logger(__name__)

POLL = 1
"""Seconds between two looks at what is to be enqueued."""
LOCK_LIFE = 2
"""Seconds after which the lock ends of a scheduler that was killed, or that never learned that it has it.

Two that look at once do no harm: the job is one.
"""


class PeriodicScheduler(Scheduler):  # type: ignore[misc]
    """Registers its periodic job again on every pass: no crash between two writes loses it for longer."""

    redis_scheduler_namespace_prefix = f"{NAMESPACE}:scheduler_instance:"
    scheduler_key = f"{NAMESPACE}:scheduler"
    scheduler_lock_key = f"{NAMESPACE}:scheduler_lock"
    scheduled_jobs_key = f"{NAMESPACE}:scheduled_jobs"

    def __init__(
        self, client: Client, heartbeat: Heartbeat, stopping: threading.Event, **kwargs: Any
    ) -> None:
        super().__init__(interval=POLL, job_class=JsonJob, queue_class=JsonQueue, **kwargs)
        self._client = client
        self._heartbeat = heartbeat
        self._stopping = stopping

    def acquire_lock(self) -> bool:
        if (
            self._stopping.is_set()
        ):  # Python drops what a signal handler raises while an object is finalized
            raise SystemExit
        self._lock_acquired = bool(
            self.connection.set(self.scheduler_lock_key, self.name, ex=LOCK_LIFE, nx=True)
        )
        return self._lock_acquired

    def enqueue_jobs(self) -> Any:
        now = self._heartbeat.clock()
        next_run = self.connection.zscore(self.scheduled_jobs_key, SCAN_JOB_ID)
        if (
            next_run is None or next_run > now.timestamp() + 2 * SCAN_INTERVAL
        ):  # as rq-scheduler writes it where a clock is ahead
            self.schedule(
                now,
                SCAN_JOB,
                interval=SCAN_INTERVAL,
                id=SCAN_JOB_ID,
                queue_name=queue_name(SCAN_BELL),
                result_ttl=3600,
                timeout=60,
            )
        return super().enqueue_jobs()

    def get_jobs_to_queue(self, *args: Any, **kwargs: Any) -> Any:
        return self.get_jobs(to_unix(self._heartbeat.clock()), *args, **kwargs)

    def heartbeat(self) -> None:
        super().heartbeat()
        try:
            self._client.run(self._heartbeat.record())
            self._client.run(data_version.write())  # again where the store was emptied meanwhile
        except Unavailable as error:
            log.warning("heartbeat_failed", error=describe_failure(error))

    def _install_signal_handlers(self) -> None:
        """Leaves Redis alone inside a signal handler: ``run`` gives the lock back on its way out."""

        def stop(*_: object) -> None:
            self._stopping.set()
            raise SystemExit

        on_stop_signals(stop)


def run(environ: Mapping[str, str]) -> None:
    """Schedules until asked to stop."""
    settings = load(environ, listens=False)
    logs.configure(settings.log_format)
    stopping, client = threading.Event(), Client(partial(connect, settings.redis_url))
    heartbeat = Heartbeat("scheduler", RedisClock())
    connection = connect_queue(
        settings.queue_redis_url,
        socket_timeout=REDIS_TIMEOUT_SECONDS,
        socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
    )
    log.info("scheduling", every=SCAN_INTERVAL)
    _run_until_stopped(
        partial(PeriodicScheduler, client, heartbeat, stopping, connection=connection), stopping
    )
    with suppress(Unavailable):
        client.run(heartbeat.remove())


def _run_until_stopped(
    create_scheduler: Callable[[], PeriodicScheduler], stopping: threading.Event
) -> None:
    while not stopping.is_set():
        try:
            create_scheduler().run()
        except (RedisError, OSError) as error:
            if not stopping.is_set():
                log.warning("queue_away", error=describe_failure(error))
        except SystemExit:
            return
        stopping.wait(1.0)
