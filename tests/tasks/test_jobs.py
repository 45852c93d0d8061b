"""The delivery job takes the pending partitions, sends their e-mails, and rings for the rest."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis

from config.settings import load
from service.auth.tokens import derive_key
from service.errors import Unavailable
from service.links.model import DeliveryState
from service.otps.model import derive_code
from service.outbox.doorbell import DELIVERY_JOB, SCAN_JOB, open_rq_queue, ring, take_pending
from service.outbox.queues import LINK_QUEUE, OTP_QUEUE, QUEUES, MailQueue
from service.storage.client import RedisClient
from service.storage.connect import create_client
from service.values.ids import partition_of
from tasks import delivery_worker, jobs
from tasks.mail_kinds.registry import find_kind
from tasks.runtime import Runtime, create_runtime
from tests.support.clock import Clock
from tests.support.delivery_harness import PARTITION, DeliveryHarness, text_of
from tests.support.scripted_smtp import ScriptedMailer
from tests.support.servers import MailServer, RedisServer, free_port

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

    def test_what_is_left_when_a_job_ends_is_rung_for(
        self,
        harness: DeliveryHarness,
        rq_connection: Redis,
        deliver: Deliver,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(delivery_worker, "JOB_BUDGET_SECONDS", 0.0)
        harness.add_link()
        ring(LINK_QUEUE, [PARTITION], rq_connection)
        rq_connection.delete(open_rq_queue(LINK_QUEUE, rq_connection).key)
        deliver(LINK_QUEUE)
        assert len(open_rq_queue(LINK_QUEUE, rq_connection)) == 1
        assert take_pending(LINK_QUEUE, rq_connection) == [PARTITION]

    @pytest.mark.parametrize("queue", QUEUES, ids=lambda queue: queue.name)
    def test_what_is_left_when_asked_to_stop_is_rung_for(
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

    def test_a_job_that_is_done_rings_for_nothing(
        self, harness: DeliveryHarness, rq_connection: Redis, deliver: Deliver
    ) -> None:
        harness.add_link()
        ring(LINK_QUEUE, [PARTITION], rq_connection)
        rq_connection.delete(open_rq_queue(LINK_QUEUE, rq_connection).key)
        deliver(LINK_QUEUE)
        assert open_rq_queue(LINK_QUEUE, rq_connection).get_job_ids() == []

    def test_a_job_fails_where_the_store_is_away(
        self,
        runtimes: dict[MailQueue, Runtime],
        rq_connection: Redis,
        deliver: Deliver,
        mailer: ScriptedMailer,
        tmp_path: Path,
    ) -> None:
        away = DeliveryHarness(
            RedisClient(create_client(f"unix://{tmp_path}/nobody")), rq_connection, Clock()
        )
        runtimes[LINK_QUEUE].delivery = away.link_worker(mailer)
        ring(LINK_QUEUE, [PARTITION], rq_connection)
        with pytest.raises(Unavailable):
            deliver(LINK_QUEUE)

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
    settings = load({**environ, "SMTP_URL": server.url, "MAIL_FROM": "Shop <pay@shop.example>"})
    runtime = create_runtime(settings, find_kind(queue.name), harness.clock)
    yield runtime
    runtime.client.close()
    runtime.rq_connection.close()


class TestRuntime:
    """The composition root of workers."""

    @pytest.fixture
    def made(
        self, harness: DeliveryHarness, environ: dict[str, str], mail_server: MailServer
    ) -> Iterator[Runtime]:
        with runtime_of(harness, environ, mail_server) as runtime:
            yield runtime

    def test_links_go_through_smtp(
        self, harness: DeliveryHarness, made: Runtime, mail_server: MailServer
    ) -> None:
        link = harness.add_link()
        assert made.delivery.run([PARTITION]) == []
        [message] = mail_server.mailbox.to(JANE)
        assert f"https://pay.example/pay/{link.id}" in text_of(message)
        assert str(message["From"]) == "Shop <pay@shop.example>"

    def test_codes_are_those_that_the_api_derives(
        self, harness: DeliveryHarness, environ: dict[str, str], mail_server: MailServer
    ) -> None:
        nonce = harness.add_code()
        with runtime_of(harness, environ, mail_server, OTP_QUEUE) as runtime:
            runtime.delivery.run([partition_of(JANE)])
        [message] = mail_server.mailbox.to(JANE)
        assert derive_code(derive_key(SECRET.encode(), "otp"), nonce, JANE) in text_of(message)

    def test_it_stops_when_asked_to(
        self, harness: DeliveryHarness, made: Runtime, mail_server: MailServer
    ) -> None:
        harness.add_link()
        made.stopping.set()
        assert made.delivery.run([PARTITION]) == [PARTITION]
        assert mail_server.mailbox.messages == []

    def test_without_smtp_mails_become_files(
        self, harness: DeliveryHarness, environ: dict[str, str], tmp_path: Path
    ) -> None:
        harness.add_link()
        runtime = create_runtime(load(environ), find_kind(LINK_QUEUE.name), harness.clock)
        runtime.delivery.run([PARTITION])
        runtime.client.close()
        runtime.rq_connection.close()
        assert len(list((tmp_path / "outbox").glob("*.eml"))) == 1

    def test_a_cluster_that_is_away_does_not_keep_a_worker_from_starting(
        self, environ: dict[str, str]
    ) -> None:
        """A runtime connects on first use; only then does the outage matter."""
        cluster = {
            "REDIS_URL": f"redis+cluster://127.0.0.1:{free_port()}",
            "QUEUE_REDIS_URL": environ["REDIS_URL"],
        }
        runtime = create_runtime(load({**environ, **cluster}), find_kind(LINK_QUEUE.name))
        with pytest.raises(Unavailable):
            runtime.delivery.run([PARTITION])

    def test_an_hour_without_a_mail_server_loses_nothing(
        self, harness: DeliveryHarness, environ: dict[str, str]
    ) -> None:
        link, server = harness.add_link(), MailServer()
        with runtime_of(harness, environ, server) as runtime:
            for _ in range(12):
                runtime.delivery.run([PARTITION])
                harness.clock.advance(minutes=5)
            assert harness.state(link) is DeliveryState.QUEUED
            with server:
                runtime.delivery.run([PARTITION])
        assert harness.state(link) is DeliveryState.SENT
        assert len(server.mailbox.to(JANE)) == 1
