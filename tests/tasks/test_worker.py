"""RQ's worker behind a bell: it sends, says that it lives, and stops when asked to."""

import multiprocessing
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
from service.outbox.doorbell import QueueName, probe_commands, queue_of, ring
from service.storage.client import Client
from service.storage.clock import RedisClock
from service.storage.redis_url import connect
from service.values.ids import partition_of
from tasks import worker
from tasks.runtime import Runtime
from tasks.scheduler import PeriodicScheduler
from tasks.worker import DoorbellWorker, record_heartbeat
from tests.support.harness import PARTITION, Harness
from tests.support.mailers import ScriptedMailer
from tests.support.servers import Store


@pytest.fixture(autouse=True)
def _own_signal_handlers() -> Iterator[None]:
    """A worker takes over signals; pytest has them back afterwards."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("bell", "subject"),
    [(QueueName.LINKS, "Payment link from acme"), (QueueName.OTPS, "CODE is your payment code")],
    ids=["links", "codes"],
)
def test_a_worker_finds_its_job_by_name_and_sends(
    harness: Harness, runtime: Runtime, mailer: ScriptedMailer, bell: QueueName, subject: str
) -> None:
    harness.add_link()
    harness.add_code()
    for each in QueueName:
        ring(each, [PARTITION, partition_of("jane@example.com")], runtime.queue)
    DoorbellWorker(bell, runtime).work(burst=True, logging_level="ERROR")
    assert [re.sub("^[0-9]{6}", "CODE", str(message["Subject"])) for message in mailer.sent] == [
        subject
    ]


@pytest.mark.parametrize("bell", list(QueueName), ids=str)
def test_a_worker_says_that_it_lives(harness: Harness, runtime: Runtime, bell: QueueName) -> None:
    DoorbellWorker(bell, runtime).work(burst=True, logging_level="ERROR")
    alive = [each for each in QueueName if harness.client.run(heartbeats.read(f"worker-{each}"))]
    assert alive == [bell]


def test_a_store_that_is_away_does_not_end_a_worker(runtime: Runtime, tmp_path: Path) -> None:
    away = Client(connect(f"unix://{tmp_path}/nobody"))
    record_heartbeat(QueueName.LINKS, msgspec.structs.replace(runtime, client=away))
    away.close()


def test_a_job_that_fails_does_not_end_a_worker(
    harness: Harness, runtime: Runtime, mailer: ScriptedMailer
) -> None:
    def fall_over(_: object) -> None:
        raise RuntimeError("nobody thought of this")

    harness.add_link()
    ring(QueueName.LINKS, [PARTITION], runtime.queue)
    mailer.answer = fall_over
    DoorbellWorker(QueueName.LINKS, runtime).work(burst=True, logging_level="CRITICAL")
    mailer.answer = lambda _: None
    harness.clock.advance(seconds=20)
    ring(QueueName.LINKS, [PARTITION], runtime.queue)
    DoorbellWorker(QueueName.LINKS, runtime).work(burst=True, logging_level="CRITICAL")
    assert mailer.recipients == ["jane@example.com"]


def test_a_worker_that_is_asked_to_stop_gives_back_what_it_has_not_begun(
    harness: Harness, runtime: Runtime, mailer: ScriptedMailer
) -> None:
    made = harness.add_links(3)
    ring(QueueName.LINKS, [PARTITION], runtime.queue)
    mailer.answer = lambda _: signal.raise_signal(signal.SIGTERM)
    DoorbellWorker(QueueName.LINKS, runtime).work(logging_level="ERROR")
    assert len(mailer.sent) == 1
    assert [harness.lease_of(link) for link in made] == [None, harness.clock(), harness.clock()]


def test_where_a_process_cannot_be_started_the_others_are_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Python would wait for them, and so never end."""
    started: list[SpawnProcess] = []

    def start(bell: QueueName) -> SpawnProcess:
        if bell is QueueName.OTPS:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        started.append(multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,)))
        started[0].start()
        return started[0]

    monkeypatch.setattr(worker, "_start", start)
    with pytest.raises(BlockingIOError):
        worker.supervise([QueueName.LINKS, QueueName.OTPS])
    assert not started[0].is_alive()


def test_a_user_who_may_do_what_check_tries_may_do_all_that_queues_need(
    harness: Harness, runtime: Runtime, valkey: Store
) -> None:
    """A command that RQ or rq-scheduler comes to use has to be tried too."""
    tried = {str(command) for command, *_ in probe_commands("rq:probe")}
    others = [
        "client",
        "info",
        "lmove",
    ]  # RQ does without the first two, and uses the third where it stops when nothing waits
    rules = [
        "~rq:*",
        "~payment-links:*",
        "-@all",
        *(f"+{command}" for command in [*tried, *others]),
    ]
    runtime.queue.execute_command("ACL", "SETUSER", "queue", "reset", "on", "nopass", *rules)
    runtime.queue.execute_command("ACL", "LOG", "RESET")
    with Redis.from_url(valkey.url, username="queue", password="any") as queue:
        runtime.queue, log = queue, runtime.queue
        scheduler = PeriodicScheduler(
            harness.client,
            Heartbeat("scheduler", RedisClock()),
            threading.Event(),
            connection=queue,
        )
        scheduler.register_birth()
        assert scheduler.acquire_lock()
        scheduler.enqueue_jobs()
        scheduler.heartbeat()
        link = harness.add_link()
        ring(QueueName.LINKS, [PARTITION], queue)
        for bell in QueueName:
            DoorbellWorker(bell, runtime).work(burst=True, logging_level="CRITICAL")
            assert queue_of(bell, queue).count == 0
        scheduler.remove_lock()
        scheduler.register_death()
    assert harness.state(link) is DeliveryState.SENT
    assert [refused["object"] for refused in log.acl_log()] == []
    log.execute_command("ACL", "DELUSER", "queue")
