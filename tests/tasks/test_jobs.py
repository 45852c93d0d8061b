"""The jobs behind the doorbells: they take what waits, send it, and ring again for what is left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from config.settings import load
from service.auth.tokens import derive_key
from service.errors import Unavailable
from service.links.model import DeliveryState
from service.otps.model import derive_code
from service.outbox.doorbell import JOBS, QueueName, answer, queue_of, ring
from service.storage.client import Client
from service.storage.redis_url import connect
from service.values.ids import partition_of
from tasks import delivery
from tasks.jobs import deliver_links, deliver_otps
from tasks.runtime import Runtime, create_runtime
from tests.support.clock import Clock
from tests.support.harness import PARTITION, Harness, text_of
from tests.support.mailers import ScriptedMailer
from tests.support.servers import MailServer, Store, free_port

JANE = "jane@example.com"
SECRET = "correct horse battery staple, 32 bytes"


class TestJobs:
    def test_links_that_were_rung_for_are_sent(
        self, harness: Harness, runtime: Runtime, mailer: ScriptedMailer
    ) -> None:
        link = harness.add_link()
        ring(QueueName.LINKS, [PARTITION], runtime.queue)
        deliver_links()
        assert mailer.recipients == [JANE]
        assert harness.state(link) is DeliveryState.SENT

    def test_codes_that_were_rung_for_are_sent(
        self, harness: Harness, runtime: Runtime, mailer: ScriptedMailer
    ) -> None:
        harness.add_code()
        ring(QueueName.OTPS, [partition_of(JANE)], runtime.queue)
        deliver_otps()
        assert mailer.recipients == [JANE]

    def test_a_job_takes_all_partitions_that_wait(
        self, harness: Harness, runtime: Runtime, mailer: ScriptedMailer
    ) -> None:
        harness.add_link(org_id="acme")
        harness.add_link(org_id="globex")
        for org_id in ("acme", "globex"):
            ring(QueueName.LINKS, [partition_of(org_id)], runtime.queue)
        deliver_links()
        assert len(mailer.sent) == 2
        assert answer(QueueName.LINKS, runtime.queue) == []

    def test_a_job_for_which_nothing_waits_does_nothing(
        self, harness: Harness, runtime: Runtime, mailer: ScriptedMailer
    ) -> None:
        harness.add_link()
        deliver_links()
        deliver_otps()
        assert mailer.sent == []
        assert queue_of(QueueName.LINKS, runtime.queue).get_job_ids() == []

    def test_a_job_for_links_leaves_codes_to_theirs(
        self, harness: Harness, runtime: Runtime, mailer: ScriptedMailer
    ) -> None:
        harness.add_code()
        ring(QueueName.OTPS, [partition_of(JANE)], runtime.queue)
        deliver_links()
        assert mailer.sent == []
        assert answer(QueueName.OTPS, runtime.queue) == [partition_of(JANE)]

    def test_what_is_left_at_the_end_of_a_shift_is_rung_for(
        self, harness: Harness, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(delivery, "SHIFT", 0.0)
        harness.add_link()
        ring(QueueName.LINKS, [PARTITION], runtime.queue)
        runtime.queue.delete(queue_of(QueueName.LINKS, runtime.queue).key)
        deliver_links()
        assert len(queue_of(QueueName.LINKS, runtime.queue)) == 1
        assert answer(QueueName.LINKS, runtime.queue) == [PARTITION]

    @pytest.mark.parametrize(
        ("bell", "job"),
        [(QueueName.LINKS, deliver_links), (QueueName.OTPS, deliver_otps)],
        ids=["links", "codes"],
    )
    def test_what_is_left_when_asked_to_stop_is_rung_for(
        self, runtime: Runtime, bell: QueueName, job: Callable[[], None]
    ) -> None:
        ring(bell, ["01", "02"], runtime.queue)
        runtime.stopping.set()
        job()
        assert answer(bell, runtime.queue) == ["01", "02"]

    def test_a_job_that_is_done_rings_for_nothing(self, harness: Harness, runtime: Runtime) -> None:
        harness.add_link()
        ring(QueueName.LINKS, [PARTITION], runtime.queue)
        runtime.queue.delete(queue_of(QueueName.LINKS, runtime.queue).key)
        deliver_links()
        assert queue_of(QueueName.LINKS, runtime.queue).get_job_ids() == []

    def test_a_job_fails_where_the_store_is_away(
        self, runtime: Runtime, mailer: ScriptedMailer, tmp_path: Path
    ) -> None:
        away = Harness(Client(connect(f"unix://{tmp_path}/nobody")), runtime.queue, Clock())
        runtime.links = away.link_worker(mailer)
        ring(QueueName.LINKS, [PARTITION], runtime.queue)
        with pytest.raises(Unavailable):
            deliver_links()

    def test_the_names_of_all_jobs_are_those_of_this_module(self) -> None:
        assert {JOBS[QueueName.LINKS], JOBS[QueueName.OTPS]} == {
            f"{job.__module__}.{job.__qualname__}" for job in (deliver_links, deliver_otps)
        }


@pytest.fixture
def environ(valkey: Store, tmp_path: Path) -> dict[str, str]:
    return {
        "SECRET_KEY": SECRET,
        "REDIS_URL": valkey.url,
        "PUBLIC_URL": "https://pay.example",
        "DATA_DIR": str(tmp_path),
    }


@contextmanager
def runtime_of(harness: Harness, environ: dict[str, str], server: MailServer) -> Iterator[Runtime]:
    """A worker's runtime that hands mails to ``server``, on the harness's clock."""
    settings = load({**environ, "SMTP_URL": server.url, "MAIL_FROM": "Shop <pay@shop.example>"})
    runtime = create_runtime(settings, harness.clock)
    yield runtime
    runtime.client.close()
    runtime.queue.close()


class TestRuntime:
    """The composition root of workers: from settings to mails."""

    @pytest.fixture
    def made(
        self, harness: Harness, environ: dict[str, str], mail_server: MailServer
    ) -> Iterator[Runtime]:
        with runtime_of(harness, environ, mail_server) as runtime:
            yield runtime

    def test_links_go_through_smtp(
        self, harness: Harness, made: Runtime, mail_server: MailServer
    ) -> None:
        link = harness.add_link()
        assert made.links.drain([PARTITION]) == []
        [message] = mail_server.mailbox.to(JANE)
        assert f"https://pay.example/pay/{link.id}" in text_of(message)
        assert str(message["From"]) == "Shop <pay@shop.example>"

    def test_codes_are_those_that_the_api_derives(
        self, harness: Harness, made: Runtime, mail_server: MailServer
    ) -> None:
        nonce = harness.add_code()
        made.otps.drain([partition_of(JANE)])
        [message] = mail_server.mailbox.to(JANE)
        assert derive_code(derive_key(SECRET.encode(), "otp"), nonce, JANE) in text_of(message)

    def test_it_stops_when_asked_to(
        self, harness: Harness, made: Runtime, mail_server: MailServer
    ) -> None:
        harness.add_link()
        made.stopping.set()
        assert made.links.drain([PARTITION]) == [PARTITION]
        assert mail_server.mailbox.messages == []

    def test_without_smtp_mails_become_files(
        self, harness: Harness, environ: dict[str, str], tmp_path: Path
    ) -> None:
        harness.add_link()
        runtime = create_runtime(load(environ), harness.clock)
        runtime.links.drain([PARTITION])
        runtime.client.close()
        runtime.queue.close()
        assert len(list((tmp_path / "outbox").glob("*.eml"))) == 1

    def test_a_cluster_that_is_away_does_not_keep_a_worker_from_starting(
        self, environ: dict[str, str]
    ) -> None:
        """A runtime connects when it is used; what is away then is the store, not the worker."""
        cluster = {
            "REDIS_URL": f"redis+cluster://127.0.0.1:{free_port()}",
            "QUEUE_REDIS_URL": environ["REDIS_URL"],
        }
        runtime = create_runtime(load({**environ, **cluster}))
        with pytest.raises(Unavailable):
            runtime.links.drain([PARTITION])

    def test_an_hour_without_a_mail_server_loses_nothing(
        self, harness: Harness, environ: dict[str, str]
    ) -> None:
        link, server = harness.add_link(), MailServer()
        with runtime_of(harness, environ, server) as runtime:
            for _ in range(12):
                runtime.links.drain([PARTITION])
                harness.clock.advance(minutes=5)
            assert harness.state(link) is DeliveryState.QUEUED
            with server:
                runtime.links.drain([PARTITION])
        assert harness.state(link) is DeliveryState.SENT
        assert len(server.mailbox.to(JANE)) == 1
