"""RQ's worker: it sends, records that it is alive, and stops on a signal."""

import multiprocessing
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing.context import SpawnProcess
from pathlib import Path

import msgspec
import pytest
from redis import Redis

from service.health import store as heartbeats
from service.health.heartbeat import Heartbeat
from service.links.model import DeliveryState
from service.outbox.acl_check import probe_commands
from service.outbox.doorbell import open_rq_queue, ring
from service.outbox.queues import LINK_QUEUE, OTP_QUEUE, QUEUES, MailQueue
from service.storage.client import open_client
from service.storage.clock import RedisClock
from service.values.ids import partition_of
from tasks import worker
from tasks.delivery.queue_runner import QueueRunner
from tasks.runtime import Runtime, current_runtime
from tasks.scheduler import PeriodicScheduler
from tasks.worker import DoorbellWorker
from tests.support.delivery_harness import PARTITION, DeliveryHarness
from tests.support.scripted_smtp import ScriptedMailer
from tests.support.servers import RedisServer, wait_until

Runtimes = dict[MailQueue, Runtime]


@pytest.fixture(autouse=True)
def _own_signal_handlers() -> Iterator[None]:
    """A worker sets signal handlers; this restores pytest's."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def work_burst(runtime: Runtime) -> None:
    """Runs the jobs that wait, as a worker process does."""
    current_runtime.set(runtime)
    DoorbellWorker(runtime).work(burst=True, logging_level="CRITICAL")


@pytest.mark.parametrize(
    ("queue", "subject"),
    [(LINK_QUEUE, "Payment link from acme"), (OTP_QUEUE, "CODE is your payment code")],
    ids=["links", "codes"],
)
def test_a_worker_finds_its_job_by_name_and_sends(
    harness: DeliveryHarness,
    runtimes: Runtimes,
    mailer: ScriptedMailer,
    queue: MailQueue,
    subject: str,
) -> None:
    harness.add_link()
    harness.add_code()
    for each, runtime in runtimes.items():
        ring(each, [PARTITION, partition_of("jane@example.com")], runtime.rq_connection)
    work_burst(runtimes[queue])
    assert [re.sub("^[0-9]{6}", "CODE", str(message["Subject"])) for message in mailer.sent] == [
        subject
    ]


@pytest.mark.parametrize("queue", QUEUES, ids=lambda queue: queue.name)
def test_a_worker_records_that_it_is_alive(
    harness: DeliveryHarness, runtimes: Runtimes, queue: MailQueue
) -> None:
    work_burst(runtimes[queue])

    def alive() -> list[MailQueue]:
        return [each for each in QUEUES if harness.client.run(heartbeats.read(each.worker_name))]

    wait_until(lambda: alive() == [queue], "its heartbeat")


def test_an_outage_of_the_store_does_not_end_a_worker(
    harness: DeliveryHarness, runtimes: Runtimes, mailer: ScriptedMailer, tmp_path: Path
) -> None:
    away = DeliveryHarness(
        f"unix://{tmp_path}/nobody", harness.client, harness.redis, harness.clock
    )
    with away.link_worker(mailer).started() as runner:
        runner.record(runtimes[LINK_QUEUE].heartbeat).result()


def test_a_runner_that_ends_ends_its_worker(
    runtimes: Runtimes, harness: DeliveryHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The supervisor starts another."""

    async def fall_over(_: object) -> None:
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr(QueueRunner, "run", fall_over)
    with (
        pytest.raises(RuntimeError, match="nobody thought"),
        harness.link_worker(ScriptedMailer()).started() as runner,
    ):
        worker.work_until_stopped(msgspec.structs.replace(runtimes[LINK_QUEUE], runner=runner))


def test_a_mail_that_falls_over_does_not_end_a_worker(
    harness: DeliveryHarness, runtimes: Runtimes, mailer: ScriptedMailer
) -> None:
    def fall_over(_: object) -> None:
        raise RuntimeError("nobody thought of this")

    harness.add_link()
    ring(LINK_QUEUE, [PARTITION], runtimes[LINK_QUEUE].rq_connection)
    mailer.answer = fall_over
    work_burst(runtimes[LINK_QUEUE])
    mailer.answer = lambda _: None
    harness.clock.advance(seconds=20)
    ring(LINK_QUEUE, [PARTITION], runtimes[LINK_QUEUE].rq_connection)
    work_burst(runtimes[LINK_QUEUE])
    assert mailer.recipients == ["jane@example.com"]


def test_a_worker_that_is_asked_to_stop_ends_its_job(
    runtimes: Runtimes, harness: DeliveryHarness, mailer: ScriptedMailer
) -> None:
    """Its runner then sends what it has begun, and releases the rest."""
    harness.add_links(3)
    ring(LINK_QUEUE, [PARTITION], runtimes[LINK_QUEUE].rq_connection)
    mailer.answer = lambda _: os.kill(os.getpid(), signal.SIGTERM)
    current_runtime.set(runtimes[LINK_QUEUE])
    DoorbellWorker(runtimes[LINK_QUEUE]).work(logging_level="ERROR")
    assert runtimes[LINK_QUEUE].stopping.is_set()


def test_if_a_process_cannot_start_the_others_are_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Python would wait for them forever."""
    started: list[SpawnProcess] = []

    def start(queue: MailQueue) -> SpawnProcess:
        if queue is OTP_QUEUE:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        started.append(multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,)))
        started[0].start()
        return started[0]

    monkeypatch.setattr(worker, "_start", start)
    with pytest.raises(BlockingIOError):
        worker.supervise([LINK_QUEUE, OTP_QUEUE])
    assert not started[0].is_alive()


def test_check_tries_every_command_that_queues_need(
    harness: DeliveryHarness, runtimes: Runtimes, rq_connection: Redis, valkey: RedisServer
) -> None:
    """If RQ or rq-scheduler starts to use another command, ``check`` must try it too."""
    tried = {str(command) for command, *_ in probe_commands("rq:probe")}
    # RQ does without the first two, and uses the third where it stops when nothing waits
    others = ["client", "info", "lmove"]
    rules = [
        "~rq:*",
        "~payment-links:*",
        "-@all",
        *(f"+{command}" for command in [*tried, *others]),
    ]
    rq_connection.execute_command("ACL", "SETUSER", "queue", "reset", "on", "nopass", *rules)
    rq_connection.execute_command("ACL", "LOG", "RESET")
    with (
        Redis.from_url(valkey.url, username="queue", password="any") as queue,
        open_client(valkey.url) as client,
    ):
        scheduler = PeriodicScheduler(
            client, Heartbeat("scheduler", RedisClock()), threading.Event(), connection=queue
        )
        scheduler.register_birth()
        assert scheduler.acquire_lock()
        scheduler.enqueue_jobs()
        scheduler.heartbeat()
        link = harness.add_link()
        ring(LINK_QUEUE, [PARTITION], queue)
        for runtime in runtimes.values():
            work_burst(msgspec.structs.replace(runtime, rq_connection=queue))
            assert open_rq_queue(runtime.queue, queue).count == 0
        scheduler.remove_lock()
        scheduler.register_death()
    assert harness.state(link) is DeliveryState.SENT
    assert [refused["object"] for refused in rq_connection.acl_log()] == []
    rq_connection.execute_command("ACL", "DELUSER", "queue")
