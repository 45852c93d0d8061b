"""``payment-links worker``: one process with an RQ worker for each queue, restarted if it ends."""

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from multiprocessing.context import SpawnProcess
from typing import Any

import structlog
from redis.exceptions import RedisError
from rq import SimpleWorker
from rq.exceptions import StopRequested

from config.settings import load
from service.outbox.doorbell import JsonJob, JsonQueue, open_rq_queue
from service.outbox.queues import MailQueue
from service.process import logs
from service.process.data_dir import OWNER_ONLY_UMASK
from service.process.shutdown import exit_with_parent, install_stop_handler
from service.storage.error_descriptions import describe_failure
from tasks.mail_kinds.registry import find_kind
from tasks.runtime import Runtime, current_runtime, open_runtime

log = structlog.get_logger(__name__)

WORKER_TTL_SECONDS = 16
"""The expiry of RQ's record of a worker. RQ waits 15 s less for a job, then renews the record."""
STOP_TIMEOUT_SECONDS = 15.0


class DoorbellWorker(SimpleWorker):
    """Runs jobs one at a time, without a fork: they wake a runner that outlives them."""

    connection_timeout = 2  # longer than a poll; 5 s after a lost reply, the worker is back
    max_connection_wait_time = 1.0
    log_result_lifespan = False

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        super().__init__(
            [open_rq_queue(runtime.queue, runtime.rq_connection)],
            connection=runtime.rq_connection,
            job_class=JsonJob,
            queue_class=JsonQueue,
            worker_ttl=WORKER_TTL_SECONDS,
            log_job_description=False,
        )

    def heartbeat(self, *args: Any, **kwargs: Any) -> None:
        super().heartbeat(*args, **kwargs)
        self._runtime.runner.record(self._runtime.heartbeat)

    def handle_warm_shutdown_request(self) -> None:
        self._runtime.stop()
        super().handle_warm_shutdown_request()  # type: ignore[no-untyped-call]

    def _install_signal_handlers(self) -> None:
        super()._install_signal_handlers()  # type: ignore[no-untyped-call]
        if self._runtime.stopping.is_set():  # a signal came before this worker handled any
            raise StopRequested

    def subscribe(self) -> None:
        """Takes no commands over Pub/Sub: its thread would outlive an outage of Redis."""

    def unsubscribe(self) -> None:
        pass


def work(queue_name: str, environ: Mapping[str, str]) -> None:
    """Works for one queue until a signal stops it. An outage of Redis does not."""
    os.umask(OWNER_ONLY_UMASK)
    settings = load(environ, listens=False)
    logs.configure(settings.log_format)
    with open_runtime(settings, find_kind(queue_name)) as runtime:
        current_runtime.set(runtime)
        runtime.runner.record(runtime.heartbeat).result()  # it sets the clock
        work_until_stopped(runtime)


def work_until_stopped(runtime: Runtime) -> None:
    """Runs jobs until the runtime is stopped. Raises what ends its runner before."""
    while not runtime.stopping.is_set():
        runtime.runner.raise_if_ended()  # RQ's worker swallows errors
        install_stop_handler(lambda *_: runtime.stop())  # while no RQ worker handles them
        try:
            DoorbellWorker(runtime).work(logging_level="WARNING")
        except StopRequested:
            return
        except (RedisError, OSError) as error:
            log.warning(
                "queue_unavailable", worker=runtime.queue.name, error=describe_failure(error)
            )
        runtime.stopping.wait(1.0)


def supervise(queues: Sequence[MailQueue]) -> None:
    """Keeps a worker process for each queue until a signal stops it.

    Each worker then finishes the e-mails that it is sending.
    """
    stopping = threading.Event()
    install_stop_handler(lambda *_: stopping.set())
    processes: dict[MailQueue, SpawnProcess] = {}
    try:
        while not stopping.wait(0.5 if processes else 0):
            for queue in queues:
                _keep_running(queue, processes)
    finally:  # also if a process cannot start: Python would wait for the others forever
        _stop_all(list(processes.values()))


def _keep_running(queue: MailQueue, processes: dict[MailQueue, SpawnProcess]) -> None:
    process = processes.get(queue)
    if process is not None and process.is_alive():
        return
    if process is not None:
        log.error("worker_died", worker=queue.name, exitcode=process.exitcode)
    processes[queue] = _start(queue)


def _start(queue: MailQueue) -> SpawnProcess:
    process = multiprocessing.get_context("spawn").Process(
        target=_run_process, args=(queue.name,), name=queue.worker_name
    )
    process.start()
    return process


def _run_process(queue_name: str) -> None:
    exit_with_parent()
    try:
        work(queue_name, os.environ)
    except Exception as error:  # noqa: BLE001 - multiprocessing would print it; this logs it
        sys.excepthook(type(error), error, error.__traceback__)
        sys.exit(1)


def _stop_all(processes: list[SpawnProcess]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            log.error("worker_killed", worker=process.name)
            process.kill()
            process.join()
