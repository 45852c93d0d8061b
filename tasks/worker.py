"""``payment-links worker``: an RQ worker for each bell, in a process of its own, started again whenever it ends."""

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.context import SpawnProcess
from typing import Any

import structlog
from redis.exceptions import RedisError
from rq import SimpleWorker
from rq.exceptions import StopRequested

from config.settings import load
from service.errors import Unavailable
from service.outbox.doorbell import JsonJob, JsonQueue, QueueName, queue_of
from service.process import logs
from service.process.data_dir import OWNER_ONLY_UMASK
from service.process.shutdown import exit_with_parent, on_stop_signals
from service.storage.failure import describe_failure
from tasks.runtime import CURRENT, Runtime, create_runtime

log = structlog.get_logger(__name__)

POLL = 16
"""RQ's worker_ttl: it waits 1 s (15 less) for a job before it says again that it is alive."""
GRACE = 15.0
"""Seconds in which a process that was asked to stop has to."""


class DoorbellWorker(SimpleWorker):
    """Works in its own process, one job at a time: jobs hold no state worth a fork, and a session is kept for all mails of one."""

    connection_timeout = (
        2  # more than a poll, and as little as lets a worker be back in 5 s when a reply was lost
    )
    max_connection_wait_time = 1.0
    log_result_lifespan = False

    def __init__(self, bell: QueueName, runtime: Runtime) -> None:
        self._bell = bell
        self._runtime = runtime
        super().__init__(
            [queue_of(bell, runtime.queue)],
            connection=runtime.queue,
            job_class=JsonJob,
            queue_class=JsonQueue,
            worker_ttl=POLL,
            log_job_description=False,
        )

    def heartbeat(self, *args: Any, **kwargs: Any) -> None:
        super().heartbeat(*args, **kwargs)
        record_heartbeat(self._bell, self._runtime)

    def handle_warm_shutdown_request(self) -> None:
        self._runtime.stopping.set()
        super().handle_warm_shutdown_request()  # type: ignore[no-untyped-call]

    def _install_signal_handlers(self) -> None:
        super()._install_signal_handlers()  # type: ignore[no-untyped-call]
        if self._runtime.stopping.is_set():  # asked a moment before, when nobody here was listening
            raise StopRequested

    def subscribe(self) -> None:
        """Takes no commands over Pub/Sub: its thread would outlive an outage that this worker does not."""

    def unsubscribe(self) -> None:
        pass


def record_heartbeat(bell: QueueName, runtime: Runtime) -> None:
    """Says that the worker is alive; a store that is away will see it later."""
    try:
        runtime.client.run(runtime.heartbeats[bell].record())
    except Unavailable as error:
        log.warning("heartbeat_failed", worker=bell.value, error=describe_failure(error))


def work(bell: QueueName, environ: Mapping[str, str]) -> None:
    """Works for ``bell`` until it is asked to stop, through every outage of Redis."""
    os.umask(OWNER_ONLY_UMASK)
    settings = load(environ, listens=False)
    logs.configure(settings.log_format)
    runtime = create_runtime(settings)
    CURRENT.set(runtime)
    record_heartbeat(bell, runtime)
    _work_until_stopped(bell, runtime)
    with suppress(Unavailable):
        runtime.client.run(runtime.heartbeats[bell].remove())


def _work_until_stopped(bell: QueueName, runtime: Runtime) -> None:
    while not runtime.stopping.is_set():
        _stop_between_workers(runtime)
        try:
            DoorbellWorker(bell, runtime).work(logging_level="WARNING")
        except StopRequested:
            return
        except (RedisError, OSError) as error:
            log.warning("queue_away", worker=bell.value, error=describe_failure(error))
        runtime.stopping.wait(1.0)


def supervise(bells: list[QueueName]) -> None:
    """Keeps a worker process for each of ``bells`` until asked to stop, then lets each finish the mail it is sending."""
    stopping = threading.Event()
    on_stop_signals(lambda *_: stopping.set())
    processes: dict[QueueName, SpawnProcess] = {}
    try:
        while not stopping.wait(0.5 if processes else 0):
            for bell in bells:
                if bell not in processes or not processes[bell].is_alive():
                    if bell in processes:
                        log.error(
                            "worker_died", worker=bell.value, exitcode=processes[bell].exitcode
                        )
                    processes[bell] = _start(bell)
    finally:  # where none can be started, too: Python would wait for the others for ever
        _stop_all(list(processes.values()))


def _start(bell: QueueName) -> SpawnProcess:
    process = multiprocessing.get_context("spawn").Process(
        target=_child, args=(bell,), name=f"worker-{bell.value}"
    )
    process.start()
    return process


def _child(bell: QueueName) -> None:
    exit_with_parent()
    try:
        work(bell, os.environ)
    except Exception as error:  # noqa: BLE001 - which multiprocessing would print, and not log
        sys.excepthook(type(error), error, error.__traceback__)
        sys.exit(1)


def _stop_all(processes: list[SpawnProcess]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + GRACE
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            log.error("worker_killed", worker=process.name)
            process.kill()
            process.join()


def _stop_between_workers(runtime: Runtime) -> None:
    """While no RQ worker minds them, signals ask to stop too."""
    on_stop_signals(lambda *_: runtime.stopping.set())
