"""``payment-links scheduler``: rq-scheduler's daemon, which enqueues the scan periodically."""

import threading
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import structlog
from redis.exceptions import RedisError
from rq_scheduler import Scheduler
from rq_scheduler.utils import to_unix

from config.settings import load
from service.errors import Unavailable
from service.health.heartbeat import Heartbeat, record
from service.outbox.doorbell import (
    NAMESPACE,
    SCAN_INTERVAL_SECONDS,
    SCAN_JOB,
    SCAN_JOB_ID,
    JsonJob,
    JsonQueue,
    open_rq_queue,
)
from service.outbox.queues import SCAN_QUEUE
from service.process import logs
from service.process.shutdown import install_stop_handler
from service.storage import data_version
from service.storage.client import RedisClient, open_client
from service.storage.clock import RedisClock
from service.storage.connect import create_queue_client
from service.storage.error_descriptions import describe_failure
from service.storage.pipeline import REDIS_TIMEOUT_SECONDS, AutoPipeline

log = structlog.get_logger(__name__)

LOCK_TTL_SECONDS = 2
"""The time after which a killed scheduler's lock expires. Two schedulers enqueue one job."""


class PeriodicScheduler(Scheduler):  # type: ignore[misc]
    """Registers its periodic job again on each pass, as a crash between two writes loses it."""

    redis_scheduler_namespace_prefix = f"{NAMESPACE}:scheduler_instance:"
    scheduler_key = f"{NAMESPACE}:scheduler"
    scheduler_lock_key = f"{NAMESPACE}:scheduler_lock"
    scheduled_jobs_key = f"{NAMESPACE}:scheduled_jobs"

    def __init__(
        self, client: RedisClient, heartbeat: Heartbeat, stopping: threading.Event, **kwargs: Any
    ) -> None:
        super().__init__(interval=1, job_class=JsonJob, queue_class=JsonQueue, **kwargs)
        self._client = client
        self._heartbeat = heartbeat
        self._stopping = stopping
        self._recording: Future[None] | None = None

    def acquire_lock(self) -> bool:
        if self._stopping.is_set():  # Python ignores an exception of a signal handler in __del__
            raise SystemExit
        self._lock_acquired = bool(
            self.connection.set(self.scheduler_lock_key, self.name, ex=LOCK_TTL_SECONDS, nx=True)
        )
        return self._lock_acquired

    def enqueue_jobs(self) -> Any:
        now = self._heartbeat.clock()
        next_run = self.connection.zscore(self.scheduled_jobs_key, SCAN_JOB_ID)
        # rq-scheduler writes a time too far ahead if its machine's clock is ahead
        latest = now.timestamp() + 2 * SCAN_INTERVAL_SECONDS
        if next_run is None or next_run > latest:
            self.schedule(
                now,
                SCAN_JOB,
                interval=SCAN_INTERVAL_SECONDS,
                id=SCAN_JOB_ID,
                queue_name=open_rq_queue(SCAN_QUEUE, self.connection).name,
                result_ttl=3600,
                timeout=60,
            )
        return super().enqueue_jobs()

    def get_jobs_to_queue(self, *args: Any, **kwargs: Any) -> Any:
        return self.get_jobs(to_unix(self._heartbeat.clock()), *args, **kwargs)

    def heartbeat(self) -> None:
        """Records that the scheduler is alive. Jobs wait for that only until its clock is set."""
        super().heartbeat()
        if self._recording is None or self._recording.done():
            self.finish_recording()
            self._recording = self._client.start(self._record)
        if not self._heartbeat.clock.is_set:
            self.finish_recording()

    def finish_recording(self) -> None:
        """Waits for the heartbeat that is on its way."""
        if self._recording is not None:
            self._recording.result()

    async def _record(self, pipeline: AutoPipeline) -> None:
        """Records the heartbeat, and the data's version, in case the store was emptied."""
        await record(self._heartbeat, pipeline)
        with suppress(Unavailable):
            await pipeline.run(data_version.set_version_if_absent())

    def _install_signal_handlers(self) -> None:
        """Keeps Redis out of the signal handler: ``run`` releases the lock when it ends."""

        def stop(*_: object) -> None:
            self._stopping.set()
            raise SystemExit

        install_stop_handler(stop)


def run(environ: Mapping[str, str]) -> None:
    """Schedules until a signal stops it. An outage of Redis does not."""
    settings = load(environ, listens=False)
    logs.configure(settings.log_format)
    stopping, heartbeat = threading.Event(), Heartbeat("scheduler", RedisClock())
    connection = create_queue_client(
        settings.queue_redis_url,
        socket_timeout=REDIS_TIMEOUT_SECONDS,
        socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
    )
    log.info("scheduler_started", interval=SCAN_INTERVAL_SECONDS)
    with open_client(settings.redis_url) as client:
        while not stopping.is_set():
            try:
                scheduler = PeriodicScheduler(client, heartbeat, stopping, connection=connection)
                scheduler.run()
            except (RedisError, OSError) as error:
                if not stopping.is_set():
                    log.warning("queue_unavailable", error=describe_failure(error))
            except SystemExit:
                break
            stopping.wait(1.0)
        scheduler.finish_recording()
        with suppress(Unavailable):
            client.run(heartbeat.remove())
