"""A worker while a part of the store is away: it sends what others owe, and waits for nothing."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from typing import Any

import pytest
import structlog.testing
from redis import Redis

from service.health import store as heartbeats
from service.links.model import DeliveryState, Link
from service.outbox.doorbell import take_pending
from service.outbox.queues import LINK_QUEUE, OTP_QUEUE
from service.storage import keys
from service.values.ids import partition_of
from tasks import jobs
from tasks.delivery import circuit_breaker, queue_runner
from tasks.delivery.runner_thread import RunnerThread
from tasks.runtime import current_runtime
from tests.support.delivery_harness import PARTITION as ACME
from tests.support.delivery_harness import DeliveryHarness, HarnessWorker
from tests.support.partial_store import PartialTransport, intercept
from tests.support.scripted_smtp import ScriptedMailer
from tests.support.servers import wait_until

GLOBEX = partition_of("globex")
ALL = {*keys.ALL_PARTITIONS}


@contextmanager
def started(worker: HarnessWorker) -> Iterator[tuple[RunnerThread, PartialTransport]]:
    """The worker, whose store can lose parts."""
    with worker.started() as thread:
        yield thread, intercept(worker.pipeline)


def intercept_current() -> PartialTransport:
    """Lets a test choose what reaches the current runtime's store."""
    return intercept(vars(current_runtime.get().runner)["_pipeline"])


def wait_for(mailer: ScriptedMailer, count: int) -> None:
    wait_until(lambda: len(mailer.sent) == count, f"{count} mails", within=5)


@pytest.fixture(autouse=True)
def links(harness: DeliveryHarness) -> list[Link]:
    """A link of acme's, and one of globex'."""
    return [
        harness.add_link("jane@example.com"),
        harness.add_link("john@example.com", org_id="globex"),
    ]


def test_what_others_owe_is_sent_and_the_rest_once_its_part_is_back(
    harness: DeliveryHarness, links: list[Link]
) -> None:
    mailer = ScriptedMailer()
    with started(harness.link_worker(mailer)) as (thread, store):
        store.away = {ACME}
        thread.wake([ACME, GLOBEX])
        wait_for(mailer, 1)
        assert mailer.recipients == ["john@example.com"]
        store.away = set()
        wait_for(mailer, 2)
    assert [harness.state(link) for link in links] == [DeliveryState.SENT] * 2


def test_nobody_waits_for_a_part_that_is_known_to_hang(harness: DeliveryHarness) -> None:
    mailer = ScriptedMailer()
    with started(harness.link_worker(mailer)) as (thread, store):
        store.away, store.is_silent = {ACME}, True
        thread.wake([ACME])
        wait_until(lambda: thread.query(read_nothing, [ACME]) == {}, "it to be known")
        began = time.monotonic()
        thread.wake([ACME, GLOBEX])
        wait_for(mailer, 1)
        assert time.monotonic() - began < 1
        store.away = set()
        wait_for(mailer, 2)


def read_nothing(partition: str) -> Any:
    return heartbeats.read(f"of {{{partition}}}")


def test_mails_that_cannot_be_settled_hold_no_session_and_are_sent_once(
    harness: DeliveryHarness,
) -> None:
    mailer = ScriptedMailer()
    with started(harness.link_worker(mailer, sessions=2)) as (thread, store):
        for number in range(8):
            harness.add_link(f"jane+{number}@example.com")

        def answer(message: EmailMessage) -> None:
            if message["To"] != "john@example.com":
                store.away = {ACME}

        mailer.answer = answer
        thread.wake([ACME])
        wait_until(lambda: mailer.sent, "the first mail")
        thread.wake([GLOBEX])
        wait_until(lambda: "john@example.com" in mailer.recipients, "the other's mail", within=5)
        sent_before = len(mailer.sent)
        store.away, mailer.answer = set(), lambda _: None
        harness.clock.advance(seconds=25)
        thread.wake([ACME])
        wait_until(lambda: harness.unsent() == 0, "acme's mails to be settled", within=10)
    assert sent_before < 10
    assert len(mailer.recipients) == len({*mailer.recipients}) == 10


def test_a_worker_stops_although_a_mail_cannot_be_settled(
    harness: DeliveryHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_runner, "STOP_SECONDS", 0.3)
    mailer = ScriptedMailer()
    with started(harness.link_worker(mailer)) as (thread, store):
        mailer.answer = lambda _: store.away.add(ACME)
        thread.wake([ACME])
        wait_for(mailer, 1)
        time.sleep(0.2)
        began = time.monotonic()
    assert time.monotonic() - began < 2


def test_parts_that_go_away_and_come_back_are_logged_once_each(
    harness: DeliveryHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(circuit_breaker, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(circuit_breaker, "BACK_AFTER_SECONDS", 0.2)
    mailer = ScriptedMailer()
    with (
        structlog.testing.capture_logs() as logs,
        started(harness.link_worker(mailer)) as (thread, store),
    ):
        store.away = {ACME, GLOBEX}
        thread.wake([ACME, GLOBEX])
        time.sleep(0.5)
        assert mailer.sent == []
        store.away = set()
        wait_for(mailer, 2)
        wait_until(lambda: "partitions_available" in str(logs), "the end to be logged")
    events = [(line["event"], line.get("partitions")) for line in logs if "part" in line["event"]]
    assert events == [("partitions_unavailable", 2), ("partitions_available", None)]


def test_a_part_that_refuses_writes_is_logged_once(
    harness: DeliveryHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where min-replicas-to-write is not met: it answers whether mail waits."""
    monkeypatch.setattr(circuit_breaker, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(circuit_breaker, "BACK_AFTER_SECONDS", 0.5)
    mailer = ScriptedMailer()
    harness.redis.config_set("min-replicas-to-write", 1)
    try:
        with (
            structlog.testing.capture_logs() as logs,
            started(harness.link_worker(mailer)) as (thread, _),
        ):
            thread.wake([ACME, GLOBEX])
            time.sleep(1)
            harness.redis.config_set("min-replicas-to-write", 0)
            wait_for(mailer, 2)
    finally:
        harness.redis.config_set("min-replicas-to-write", 0)
    assert [line["event"] for line in logs if "part" in line["event"]] == ["partitions_unavailable"]


@pytest.mark.usefixtures("runtimes")
class TestScan:
    @pytest.fixture
    def store(self, harness: DeliveryHarness) -> PartialTransport:
        return intercept_current()

    def test_it_rings_for_what_other_parts_owe_without_waiting_each_time(
        self, store: PartialTransport, rq_connection: Redis
    ) -> None:
        store.away, store.is_silent = ALL - {GLOBEX}, True
        durations = []
        for _ in range(3):
            began = time.monotonic()
            jobs.scan()
            durations.append(time.monotonic() - began)
            assert take_pending(LINK_QUEUE, rq_connection) == [GLOBEX]
        assert max(durations[1:]) < 1 < durations[0]

    def test_it_rings_for_the_rest_once_its_part_is_back(
        self, store: PartialTransport, rq_connection: Redis
    ) -> None:
        store.away = ALL
        jobs.scan()
        assert take_pending(LINK_QUEUE, rq_connection) == []
        store.away = set()

        def rung() -> bool:
            jobs.scan()
            return take_pending(LINK_QUEUE, rq_connection) == sorted([ACME, GLOBEX])

        wait_until(rung, "the partitions to be tried again")


@pytest.mark.usefixtures("runtimes")
class TestHeartbeat:
    def test_no_job_waits_for_it(self, harness: DeliveryHarness) -> None:
        runtime = current_runtime.get()
        store = intercept_current()
        store.away, store.is_silent = {"heartbeats"}, True
        began = time.monotonic()
        for _ in range(5):
            recorded = runtime.runner.record(runtime.heartbeat)
        assert time.monotonic() - began < 0.5
        recorded.result()

    def test_the_clock_is_set_without_it(self, harness: DeliveryHarness) -> None:
        runtime = current_runtime.get()
        intercept_current().away = {"heartbeats"}
        assert not runtime.heartbeat.clock.is_set
        runtime.runner.record(runtime.heartbeat).result()
        assert runtime.heartbeat.clock.is_set

    def test_its_failure_and_its_return_are_logged_once_each(
        self, harness: DeliveryHarness
    ) -> None:
        runtime = current_runtime.get()
        store = intercept_current()
        with structlog.testing.capture_logs() as logs:
            for store.away in ({"heartbeats"}, {"heartbeats"}, set[str](), set[str]()):
                runtime.runner.record(runtime.heartbeat).result()
        events = [line["event"] for line in logs if "heartbeat" in line["event"]]
        assert events == ["heartbeat_failed", "heartbeat_recorded"]
        [alive] = harness.client.run(heartbeats.read(OTP_QUEUE.worker_name))
        assert not alive.is_stalled
