"""Sessions: as many as are needed and as the server takes, each with one mail at a time."""

import asyncio
import time
from email.message import EmailMessage
from threading import Event
from typing import Any

import pytest
from anyio import to_thread
from structlog.testing import CapturingLogger

from service.links.model import DeliveryState
from tasks.delivery import claims, pause, sessions
from tasks.delivery.sessions import PoolSize, SessionPool
from tasks.mail.mailer import Deferred, MailerUnavailable, MailSession, SessionEnded
from tasks.message import LEASE_DURATION
from tests.support.delivery_harness import PARTITION, DeliveryHarness
from tests.support.scripted_smtp import ScriptedMailer, ScriptedServer
from tests.support.servers import wait_until
from tests.support.smtp_setup import session_with

TOO_MANY = MailerUnavailable("421 4.7.0 too many connections")


class Server(ScriptedMailer):
    """Holds mails back until ``gate`` is set, all or those to ``slow``, and counts them."""

    def __init__(self, *slow: str, connections: int = 1000) -> None:
        super().__init__(self._take, self._greet)
        self.slow = slow
        self.connections = connections
        self.gate = Event()
        self.under_way = self.most = self.refused = 0

    def _greet(self) -> None:
        if len(self.open_sessions) >= self.connections:
            self.refused += 1
            raise TOO_MANY

    async def _take(self, message: EmailMessage) -> None:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        if not self.slow or message["To"] in self.slow:
            await to_thread.run_sync(self.gate.wait)
        self.under_way -= 1


@pytest.mark.parametrize("count", [1, 4, 16])
def test_as_many_mails_are_under_way_as_there_are_sessions(
    harness: DeliveryHarness, count: int
) -> None:
    links, server = harness.add_links(40), Server()
    with harness.link_worker(server, sessions=count).started() as thread:
        thread.wake([PARTITION])
        wait_until(lambda: server.under_way == count, "all sessions are busy")
        lease = harness.clock() + LEASE_DURATION
        assert [harness.lease_of(link) for link in links].count(lease) == 2 * count
        server.gate.set()
        assert thread.wait_until_dry(10)
    assert (len(server.sent), server.most, server.opened) == (40, count, count)
    assert server.open_sessions == set()


def test_no_more_sessions_are_opened_than_mails_wait(harness: DeliveryHarness) -> None:
    harness.add_links(3)
    server = Server()
    with harness.link_worker(server, sessions=16).started() as thread:
        thread.wake([PARTITION])
        wait_until(lambda: server.under_way == 3, "the mails are under way")
        server.gate.set()
        assert thread.wait_until_dry(10)
    assert server.opened == 3


def test_a_slow_recipient_holds_one_session_and_nobody_else(harness: DeliveryHarness) -> None:
    harness.add_links(30)
    server = Server("jane+0@example.com")
    with harness.link_worker(server, sessions=2).started() as thread:
        thread.wake([PARTITION])
        wait_until(lambda: len(server.sent) == 29, "the others went out")
        assert server.under_way == 1
        server.gate.set()
        assert thread.wait_until_dry(10)
    assert len(server.sent) == 30


def test_a_lease_is_kept_while_the_server_thinks(
    harness: DeliveryHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "RENEWAL_SECONDS", 0.02)
    [link], server = harness.add_links(1), Server()
    with harness.link_worker(server).started() as thread:
        thread.wake([PARTITION])
        wait_until(lambda: server.under_way == 1, "the mail is under way")
        for _ in range(5):
            harness.clock.advance(seconds=15)
            wait_until(
                lambda: harness.lease_of(link) == harness.clock() + LEASE_DURATION,
                "the lease to be renewed",
            )
        server.gate.set()
        assert thread.wait_until_dry(10)
    assert len(server.sent) == 1


def test_a_mail_that_comes_as_the_last_session_ends_gets_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions, "IDLE_SECONDS", 0.1)
    messages: list[Any] = [object(), object()]
    delivered = list[Any]()

    async def deliver(message: Any, _session: MailSession) -> None:
        delivered.append(message)

    async def check(_session: MailSession) -> None:
        pass

    async def put_both() -> None:
        loop = asyncio.get_running_loop()
        pool: SessionPool[Any] = SessionPool(PoolSize(0, 16), MailSession, deliver, check)
        async with asyncio.TaskGroup() as tasks:
            pool.start(tasks)
            pool.put(messages[:1])
            loop.call_later(0.15, pool.put, messages[1:])
            loop.call_later(0.05, time.sleep, 0.2)  # so that the time-out is due at the same time
            await asyncio.sleep(0.5)
            await pool.close(1)

    asyncio.run(put_both())
    assert delivered == messages


def test_a_wrong_password_is_tried_once(harness: DeliveryHarness) -> None:
    """Many at a time could lock the account."""
    harness.add_links(40)
    tries = []

    def refuse() -> None:
        tries.append("login")
        raise MailerUnavailable("535 5.7.8 wrong")

    mailer = ScriptedMailer(on_open=refuse)
    with harness.link_worker(mailer, sessions=16).started() as thread:
        thread.wake([PARTITION])
        assert thread.wait_until_dry(10)
    assert tries == ["login"]


class TestFewerSessions:
    def test_a_server_that_takes_few_gets_few_and_all_mails(self, harness: DeliveryHarness) -> None:
        harness.add_links(60)
        server = Server(connections=3)
        worker = harness.link_worker(server, sessions=16)
        with worker.started() as thread:
            thread.wake([PARTITION])
            wait_until(lambda: server.under_way == 3, "as many as it takes are under way")
            server.gate.set()
            assert thread.wait_until_dry(10)
            assert worker.heartbeat.pause is None
        assert len(server.sent) == 60
        assert server.most == 3
        assert server.refused <= 3

    @pytest.mark.parametrize("greeting", ["554 5.3.2 no service", None, "421 4.3.2 shutting down"])
    def test_half_of_a_name_s_servers_that_are_out_of_order_hold_nothing_back(
        self, harness: DeliveryHarness, greeting: str | None
    ) -> None:
        harness.add_links(30)
        with ScriptedServer() as server:
            server.replies["greeting"] = lambda: "220 ready" if server.connections % 2 else greeting
            server.replies["."] = server.after(0.02)
            worker = harness.link_worker(lambda: session_with(server), sessions=8)
            with worker.started() as thread:
                thread.wake([PARTITION])
                assert thread.wait_until_dry(10)
                assert worker.heartbeat.pause is None
            assert server.verbs().count(".") == 30
            assert server.connections > 1

    @pytest.mark.parametrize("takes", [0, 3])
    def test_a_server_that_ends_sessions_in_the_middle_gets_fewer(
        self, harness: DeliveryHarness, takes: int
    ) -> None:
        links, mailer = harness.add_links(60), ScriptedMailer()
        under_way = most = 0

        async def take(_: EmailMessage) -> None:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.01)
            is_too_much, under_way = under_way > takes, under_way - 1
            if is_too_much:
                raise Deferred("421 4.7.28 slow down")

        mailer.answer = take
        worker = harness.link_worker(mailer, sessions=16)
        with worker.started() as thread:
            thread.wake([PARTITION])
            assert thread.wait_until_dry(10)
            states = [harness.link(link).delivery.state for link in links]
            assert states.count(DeliveryState.SENT) == len(mailer.sent)
            assert states.count(DeliveryState.QUEUED) == 60 - len(mailer.sent)
            most = 0
            harness.clock.advance(seconds=6)
            thread.wake([PARTITION])
            assert thread.wait_until_dry(10)
            assert worker.heartbeat.pause is None
        assert most <= max(1, takes)

    def test_there_are_slowly_more_again(
        self, harness: DeliveryHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sessions, "GROWTH_INTERVAL_SECONDS", 0.2)
        server = Server(connections=1)
        harness.add_links(60)
        with harness.link_worker(server, sessions=4).started() as thread:
            thread.wake([PARTITION])
            wait_until(lambda: server.refused, "the server wants fewer")
            server.connections = 1000
            server.gate.set()
            assert thread.wait_until_dry(10)
            while server.most < 4:
                server.gate.clear()
                harness.add_links(8)
                thread.wake([PARTITION])
                wait_until(lambda: server.under_way > 0, "mails are under way")
                server.gate.set()
                assert thread.wait_until_dry(10)

    def test_a_session_that_the_server_ends_is_opened_again(self, harness: DeliveryHarness) -> None:
        """After so many mails, for instance."""
        links, server = harness.add_links(10), Server()
        taken = []

        def take_two(message: EmailMessage) -> None:
            taken.append(message["To"])
            if len(taken) % 3 == 0:
                server.open_sessions.clear()
                raise SessionEnded("421 4.7.0 too many mails")

        server.answer = take_two
        worker = harness.link_worker(server)
        worker.run([PARTITION])
        assert sorted(server.recipients) == sorted(link.email for link in links)
        assert worker.heartbeat.pause is None
        assert {harness.link(link).delivery.attempts for link in links} == {1}


class TestIdleSessions:
    def test_they_are_closed_after_a_while(
        self, harness: DeliveryHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sessions, "IDLE_SECONDS", 0.2)
        harness.add_links(3)
        server = Server()
        server.gate.set()
        with harness.link_worker(server, sessions=3).started() as thread:
            thread.wake([PARTITION])
            assert thread.wait_until_dry(10)
            assert server.open_sessions
            wait_until(lambda: not server.open_sessions, "idle sessions to be closed")

    def test_some_are_kept_open_for_codes_and_opened_again(
        self, harness: DeliveryHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sessions, "IDLE_SECONDS", 0.1)
        server = Server()
        with harness.code_worker(server, kept_open=4, sessions=32).started():
            wait_until(lambda: len(server.open_sessions) == 4, "four are open")
            server.open_sessions.clear()
            wait_until(lambda: len(server.open_sessions) == 4, "they are open again")

    def test_a_server_that_is_away_pauses_the_queue_before_a_code_is_asked_for(
        self, harness: DeliveryHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sessions, "IDLE_SECONDS", 0.1)
        server = Server(connections=0)
        worker = harness.code_worker(server, kept_open=4, sessions=32)
        with worker.started():
            wait_until(lambda: worker.heartbeat.pause is not None, "the pause to be told")
            server.connections = 2
            wait_until(lambda: worker.heartbeat.pause is None, "the pause to end")
            wait_until(lambda: len(server.open_sessions) == 2, "as many as it takes are open")
            assert worker.heartbeat.pause is None

    def test_that_pause_lasts_while_the_server_is_away_though_nothing_is_owed(
        self, harness: DeliveryHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log = CapturingLogger()
        monkeypatch.setattr(pause, "log", log)
        monkeypatch.setattr(pause, "LOOK_SECONDS", 0.02)
        server = Server(connections=0)
        worker = harness.code_worker(server, kept_open=4, sessions=32)
        with worker.started() as thread:
            wait_until(lambda: worker.heartbeat.pause is not None, "the pause to be told")
            harness.clock.advance(seconds=6)
            thread.wake([PARTITION])  # as a code that is voided before it is claimed
            assert thread.wait_until_dry(10)
            time.sleep(0.2)
            assert worker.heartbeat.pause is not None
        assert [call.args for call in log.calls] == [("mail_paused",)]
