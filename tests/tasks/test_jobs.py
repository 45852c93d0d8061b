"""The delivery job takes the pending partitions, and wakes the runner that sends their e-mails."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path

import pytest
from redis import Redis

from config.settings import load
from service.auth.tokens import derive_key
from service.links.model import DeliveryState
from service.otps.model import derive_code
from service.outbox import store as outbox
from service.outbox.doorbell import DELIVERY_JOB, SCAN_JOB, open_rq_queue, ring, take_pending
from service.outbox.queues import LINK_QUEUE, OTP_QUEUE, QUEUES, MailQueue
from service.values.ids import partition_of
from tasks import jobs
from tasks.mail_kinds.registry import find_kind
from tasks.runtime import Runtime, open_runtime
from tests.support.delivery_harness import PARTITION, DeliveryHarness, text_of
from tests.support.scripted_smtp import ScriptedMailer
from tests.support.servers import MailServer, RedisServer, free_port, wait_until

JANE = "jane@example.com"
SECRET = "correct horse battery staple, 32 bytes"


Deliver = Callable[[MailQueue], None]


class TestJobs:
    def test_links_that_were_rung_for_are_sent(
        self,
        harness: DeliveryHarness,
        rq_connection: Redis,
        deliver: Deliver,
        mailer: ScriptedMailer,
    ) -> None:
        link = harness.add_link()
        ring(LINK_QUEUE, [PARTITION], rq_connection)
        deliver(LINK_QUEUE)
        assert mailer.recipients == [JANE]
        assert harness.state(link) is DeliveryState.SENT

    def test_codes_that_were_rung_for_are_sent(
        self,
        harness: DeliveryHarness,
        rq_connection: Redis,
        deliver: Deliver,
        mailer: ScriptedMailer,
    ) -> None:
        harness.add_code()
        ring(OTP_QUEUE, [partition_of(JANE)], rq_connection)
        deliver(OTP_QUEUE)
        assert mailer.recipients == [JANE]

    def test_a_job_takes_all_partitions_that_wait(
        self,
        harness: DeliveryHarness,
        rq_connection: Redis,
        deliver: Deliver,
        mailer: ScriptedMailer,
    ) -> None:
        harness.add_link(org_id="acme")
        harness.add_link(org_id="globex")
        for org_id in ("acme", "globex"):
            ring(LINK_QUEUE, [partition_of(org_id)], rq_connection)
        deliver(LINK_QUEUE)
        assert len(mailer.sent) == 2
        assert take_pending(LINK_QUEUE, rq_connection) == []

    def test_a_job_for_which_nothing_waits_does_nothing(
        self,
        harness: DeliveryHarness,
        rq_connection: Redis,
        deliver: Deliver,
        mailer: ScriptedMailer,
    ) -> None:
        harness.add_link()
        deliver(LINK_QUEUE)
        deliver(OTP_QUEUE)
        assert mailer.sent == []
        assert open_rq_queue(LINK_QUEUE, rq_connection).get_job_ids() == []

    def test_a_job_for_links_leaves_codes_to_theirs(
        self,
        harness: DeliveryHarness,
        rq_connection: Redis,
        deliver: Deliver,
        mailer: ScriptedMailer,
    ) -> None:
        harness.add_code()
        ring(OTP_QUEUE, [partition_of(JANE)], rq_connection)
        deliver(LINK_QUEUE)
        assert mailer.sent == []
        assert take_pending(OTP_QUEUE, rq_connection) == [partition_of(JANE)]

    def test_a_job_ends_before_a_scan_is_late_and_the_runner_sends_on(
        self,
        harness: DeliveryHarness,
        rq_connection: Redis,
        deliver: Deliver,
        mailer: ScriptedMailer,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(jobs, "JOB_SECONDS", 0.1)
        slow = threading.Event()

        async def wait(_: EmailMessage) -> None:
            await asyncio.to_thread(slow.wait)

        mailer.answer = wait
        link = harness.add_link()
        ring(LINK_QUEUE, [PARTITION], rq_connection)
        deliver(LINK_QUEUE)
        assert harness.state(link) is DeliveryState.QUEUED
        slow.set()
        wait_until(lambda: harness.state(link) is DeliveryState.SENT, "the mail was sent")

    def test_a_job_does_not_wait_for_a_slow_server_while_another_job_waits(
        self,
        harness: DeliveryHarness,
        rq_connection: Redis,
        deliver: Deliver,
        mailer: ScriptedMailer,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(jobs, "JOB_SECONDS", 60)
        slow = threading.Event()

        async def wait(_: EmailMessage) -> None:
            await asyncio.to_thread(slow.wait)

        mailer.answer = wait
        link = harness.add_link()
        open_rq_queue(LINK_QUEUE, rq_connection).enqueue(SCAN_JOB)
        ring(LINK_QUEUE, [PARTITION], rq_connection)
        began = time.monotonic()
        deliver(LINK_QUEUE)
        assert time.monotonic() - began < 10
        assert harness.state(link) is DeliveryState.QUEUED
        slow.set()

    def test_what_is_rung_for_meanwhile_is_sent_by_the_same_job(
        self,
        harness: DeliveryHarness,
        rq_connection: Redis,
        deliver: Deliver,
        mailer: ScriptedMailer,
    ) -> None:
        harness.add_link("john@example.com", org_id="globex")

        async def ring_and_wait(message: EmailMessage) -> None:
            if message["To"] == JANE:
                ring(LINK_QUEUE, [partition_of("globex")], rq_connection)
                await asyncio.sleep(0.1)

        mailer.answer = ring_and_wait
        harness.add_link()
        ring(LINK_QUEUE, [PARTITION], rq_connection)
        deliver(LINK_QUEUE)
        assert take_pending(LINK_QUEUE, rq_connection) == []
        wait_until(lambda: mailer.recipients == [JANE, "john@example.com"], "both mails")

    @pytest.mark.parametrize("queue", QUEUES, ids=lambda queue: queue.name)
    def test_a_job_takes_nothing_when_asked_to_stop(
        self,
        runtimes: dict[MailQueue, Runtime],
        rq_connection: Redis,
        deliver: Deliver,
        queue: MailQueue,
    ) -> None:
        ring(queue, ["01", "02"], rq_connection)
        runtimes[queue].stopping.set()
        deliver(queue)
        assert take_pending(queue, rq_connection) == ["01", "02"]

    def test_jobs_are_named_as_rq_finds_them(self) -> None:
        assert (DELIVERY_JOB, SCAN_JOB) == ("tasks.jobs.deliver", "tasks.jobs.scan")
        assert callable(jobs.deliver)
        assert callable(jobs.scan)


@pytest.fixture
def environ(valkey: RedisServer, tmp_path: Path) -> dict[str, str]:
    return {
        "SECRET_KEY": SECRET,
        "REDIS_URL": valkey.url,
        "PUBLIC_URL": "https://pay.example",
        "DATA_DIR": str(tmp_path),
    }


@contextmanager
def runtime_of(
    harness: DeliveryHarness,
    environ: dict[str, str],
    server: MailServer,
    queue: MailQueue = LINK_QUEUE,
) -> Iterator[Runtime]:
    """A worker's runtime with an SMTP server and the harness's clock."""
    smtp = {"SMTP_URL": server.url, "MAIL_FROM": "Shop <pay@shop.example>"}
    with open_runtime(load(environ | smtp), find_kind(queue.name), harness.clock) as runtime:
        yield runtime


def send(runtime: Runtime, partition: str) -> None:
    runtime.runner.wake([partition])
    assert runtime.runner.wait_until_dry(10.0)


class TestRuntime:
    """The composition root of workers."""

    def test_links_go_through_smtp(
        self, harness: DeliveryHarness, environ: dict[str, str], mail_server: MailServer
    ) -> None:
        link = harness.add_link()
        with runtime_of(harness, environ, mail_server) as runtime:
            send(runtime, PARTITION)
        [message] = mail_server.mailbox.to(JANE)
        assert f"https://pay.example/pay/{link.id}" in text_of(message)
        assert str(message["From"]) == "Shop <pay@shop.example>"

    def test_codes_are_those_that_the_api_derives(
        self, harness: DeliveryHarness, environ: dict[str, str], mail_server: MailServer
    ) -> None:
        nonce = harness.add_code()
        with runtime_of(harness, environ, mail_server, OTP_QUEUE) as runtime:
            send(runtime, partition_of(JANE))
        [message] = mail_server.mailbox.to(JANE)
        assert derive_code(derive_key(SECRET.encode(), "otp"), nonce, JANE) in text_of(message)

    def test_without_smtp_mails_become_files(
        self, harness: DeliveryHarness, environ: dict[str, str], tmp_path: Path
    ) -> None:
        harness.add_link()
        links = find_kind(LINK_QUEUE.name)
        with open_runtime(load(environ), links, harness.clock) as runtime:
            send(runtime, PARTITION)
        assert len(list((tmp_path / "outbox").glob("*.eml"))) == 1

    def test_a_cluster_that_is_away_does_not_keep_a_worker_from_starting(
        self, environ: dict[str, str]
    ) -> None:
        """A runtime connects on first use; only then does the outage matter."""
        cluster = {
            "REDIS_URL": f"redis+cluster://127.0.0.1:{free_port()}",
            "QUEUE_REDIS_URL": environ["REDIS_URL"],
        }
        with open_runtime(load(environ | cluster), find_kind(LINK_QUEUE.name)) as runtime:
            runtime.runner.wake([PARTITION])
            runtime.runner.record(runtime.heartbeat).result()
            assert not runtime.heartbeat.clock.is_set
            assert runtime.runner.query(outbox.has_pending, [PARTITION]) == {}

    def test_an_hour_without_a_mail_server_loses_nothing(
        self, harness: DeliveryHarness, environ: dict[str, str]
    ) -> None:
        link, server = harness.add_link(), MailServer()
        with runtime_of(harness, environ, server) as runtime:
            for _ in range(12):
                send(runtime, PARTITION)
                harness.clock.advance(minutes=5)
            assert harness.state(link) is DeliveryState.QUEUED
            assert runtime.heartbeat.pause is not None
            with server:
                send(runtime, PARTITION)
            assert runtime.heartbeat.pause is None
        assert harness.state(link) is DeliveryState.SENT
        assert len(server.mailbox.to(JANE)) == 1
