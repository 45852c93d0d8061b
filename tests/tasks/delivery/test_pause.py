"""Whose fault it is that mails are not taken: while it is ours, nothing fails."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from email.message import EmailMessage
from itertools import pairwise

import pytest
from structlog.testing import CapturingLogger

from service.links.model import DeliveryState
from service.values.ids import partition_of
from tasks.delivery import pause
from tasks.delivery.pause import DOMAINS_TO_SUSPECT
from tasks.mail.mailer import Deferred, MailerUnavailable, Refused
from tests.support.delivery_harness import PARTITION, DeliveryHarness, HarnessWorker
from tests.support.scripted_smtp import (
    Conversation,
    ScriptedMailer,
    ScriptedServer,
    refusing,
)
from tests.support.servers import wait_until
from tests.support.smtp_setup import session_with

DENIED = Refused("554 5.7.1 relay access denied")
SENDER_REFUSED = MailerUnavailable("550 5.7.1 sender pay@shop.example rejected")
SENT, QUEUED, FAILED = DeliveryState.SENT, DeliveryState.QUEUED, DeliveryState.FAILED
Resume = Callable[[], None]


def domains(count: int) -> list[str]:
    return [f"jane@shop{number}.example" for number in range(count)]


class Stage:
    """Links in the outbox, and a worker that goes on from where it was."""

    def __init__(self, harness: DeliveryHarness, mailer: ScriptedMailer) -> None:
        self.harness = harness
        self.mailer = mailer

    def add(self, *emails: str) -> None:
        self.links = []
        for email in emails:
            self.links.append(self.harness.add_link(email))
            self.harness.clock.advance(milliseconds=1)

    def play(self, worker: HarnessWorker, *acts: Callable[[], object]) -> None:
        """Sends what is due, and again after each of ``acts``."""
        with worker.started() as thread:
            for act in (lambda: None, *acts):
                act()
                thread.wake([PARTITION])
                assert thread.wait_until_dry(10.0)

    def wait(self, seconds: float) -> Resume:
        return lambda: self.harness.clock.advance(seconds=seconds)

    @property
    def states(self) -> Counter[DeliveryState]:
        return Counter(self.harness.state(link) for link in self.links)


@pytest.fixture
def stage(harness: DeliveryHarness, mailer: ScriptedMailer) -> Stage:
    return Stage(harness, mailer)


class TestOurFault:
    @pytest.mark.parametrize("sessions", [1, 16])
    @pytest.mark.parametrize("at", ["open", "sender"])
    def test_nothing_fails_and_all_goes_once_it_is_mended(
        self, stage: Stage, sessions: int, at: str
    ) -> None:
        stage.add(*domains(30))
        worker = stage.harness.link_worker(stage.mailer, sessions=sessions)
        seen = []

        def refuse(*_: object) -> None:
            raise SENDER_REFUSED

        def mend() -> None:
            seen.append((stage.states, worker.heartbeat.pause))
            stage.mailer.answer, stage.mailer.on_open = lambda _: None, lambda: None
            stage.harness.clock.advance(seconds=5)

        if at == "open":
            stage.mailer.on_open = refuse
        else:
            stage.mailer.answer = refuse
        stage.play(worker, mend)
        [(states, paused)] = seen
        assert states == {QUEUED: 30}
        assert paused is not None
        assert paused.reason == "550 5.7.1"
        assert stage.states == {SENT: 30}
        assert Counter(stage.mailer.recipients) == Counter(domains(30))
        assert worker.heartbeat.pause is None

    def test_one_mail_is_tried_at_a_time_later_and_later(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log, tried = CapturingLogger(), list[float]()
        monkeypatch.setattr(pause, "log", log)
        stage.add(*domains(40))
        start = stage.harness.clock()

        def refuse(_: EmailMessage) -> None:
            tried.append((stage.harness.clock() - start).total_seconds())
            raise SENDER_REFUSED

        stage.mailer.answer = refuse
        stage.play(
            stage.harness.link_worker(stage.mailer, sessions=16),
            *[stage.wait(1) for _ in range(1200)],
        )
        waits = [round(late - early) for early, late in pairwise(tried[15:])]
        assert tried[:16] == [0] * 16
        assert waits == [5, 15, 45, 135, 300, 300, 300]
        assert [call.args for call in log.calls] == [("mail_paused",)]
        assert "pay@shop.example" not in str(log.calls)

    def test_a_pause_is_told_since_it_began(self, stage: Stage) -> None:
        stage.add("jane@example.com")
        worker, began = stage.harness.link_worker(stage.mailer), stage.harness.clock()
        stage.mailer.answer = refusing(error=SENDER_REFUSED)
        stage.play(worker, stage.wait(5), stage.wait(15))
        assert worker.heartbeat.pause is not None
        assert worker.heartbeat.pause.since == began

    def test_a_pause_ends_when_nothing_is_owed_any_more(self, stage: Stage) -> None:
        stage.add("jane@example.com")
        worker = stage.harness.link_worker(stage.mailer)
        stage.mailer.answer = refusing(error=SENDER_REFUSED)

        def revoke() -> None:
            stage.harness.revoke(stage.links[0])
            stage.harness.clock.advance(seconds=5)

        stage.play(worker, revoke)
        assert worker.heartbeat.pause is None

    def test_a_mail_is_tried_though_others_take_long(self, harness: DeliveryHarness) -> None:
        harness.add_links(40)
        offered = Counter[str]()

        def decline_the_ninth() -> str:
            offered["MAIL"] += 1
            return "451 4.3.0 not now" if offered["MAIL"] == 9 else "250 fine"

        with ScriptedServer(MAIL=decline_the_ninth) as server:
            server.replies["."] = server.after(3)
            worker = harness.link_worker(lambda: session_with(server), sessions=16)
            with worker.started() as thread:
                thread.wake([PARTITION])
                wait_until(lambda: worker.heartbeat.pause, "the pause to begin")
                before = offered["MAIL"]
                harness.clock.advance(seconds=6)
                thread.wake([PARTITION])
                wait_until(lambda: offered["MAIL"] > before, "another try", within=2)
                wait_until(lambda: not worker.heartbeat.pause, "the pause to end")

    def test_a_session_that_has_had_enough_is_no_pause(self, harness: DeliveryHarness) -> None:
        class Limited(Conversation):
            taken = 0

            def say(self, verb: str) -> bool:
                self.taken += verb == "MAIL"
                if verb == "MAIL" and self.taken > 2:
                    self.write("452 4.5.3 too many mails in this session")
                    return True
                return super().say(verb)

        harness.add_links(10)
        with ScriptedServer() as server:
            server.conversation_class = Limited
            worker = harness.link_worker(lambda: session_with(server), sessions=1)
            worker.run([PARTITION])
            assert server.verbs().count(".") == 10
        assert worker.heartbeat.pause is None


class TestSameReplyForManyDomains:
    def test_those_refused_before_are_owed_again_and_nothing_fails(self, stage: Stage) -> None:
        stage.add(*domains(20))
        worker = stage.harness.link_worker(stage.mailer)
        stage.mailer.answer = refusing(error=DENIED)
        seen = []

        def mend() -> None:
            seen.append((stage.states, worker.heartbeat.pause is not None))
            stage.mailer.answer = lambda _: None
            stage.harness.clock.advance(seconds=15)

        stage.play(worker, mend)
        assert seen == [({QUEUED: 20}, True)]
        assert stage.states == {SENT: 20}
        assert Counter(stage.mailer.recipients) == Counter(domains(20))

    def test_many_sessions_fail_nothing_either(self, stage: Stage) -> None:
        stage.add(*domains(40))
        stage.mailer.answer = refusing(error=DENIED)
        stage.play(stage.harness.link_worker(stage.mailer, sessions=16))
        assert stage.states == {QUEUED: 40}

    def test_fewer_domains_fail(self, stage: Stage) -> None:
        stage.add(*domains(DOMAINS_TO_SUSPECT - 1), *["john@shop0.example"] * 3)
        stage.mailer.answer = refusing(error=DENIED)
        worker = stage.harness.link_worker(stage.mailer)
        stage.play(worker)
        assert stage.states == {FAILED: DOMAINS_TO_SUSPECT + 2}
        assert worker.heartbeat.pause is None

    def test_so_do_many_with_others_taken_in_between(self, stage: Stage) -> None:
        emails = domains(20)
        stage.add(*emails)
        stage.mailer.answer = refusing(
            *[email for number, email in enumerate(emails) if number % 4], error=DENIED
        )
        stage.play(stage.harness.link_worker(stage.mailer))
        assert stage.states == {SENT: 5, FAILED: 15}

    def test_so_do_many_with_different_replies(self, stage: Stage) -> None:
        stage.add(*domains(12))
        replies = ["550 5.1.1 no such user", "552 5.2.2 mailbox full"]
        tried = Counter[str]()

        def answer(_: EmailMessage) -> None:
            tried["mails"] += 1
            raise Refused(replies[tried["mails"] % 2])

        stage.mailer.answer = answer
        stage.play(stage.harness.link_worker(stage.mailer))
        assert stage.states == {FAILED: 12}

    def test_a_refusal_for_now_is_each_mail_s_own(self, stage: Stage) -> None:
        """A server that greylists has to see each mail, or it never takes one."""
        stage.add(*domains(12))
        worker = stage.harness.link_worker(stage.mailer)
        stage.mailer.answer = refusing(error=Deferred("450 4.2.0 greylisted"))
        stage.play(worker)
        assert worker.heartbeat.pause is None
        assert {stage.harness.link(link).delivery.attempts for link in stage.links} == {1}

    def test_those_who_are_really_at_fault_fail_once_others_are_taken(self, stage: Stage) -> None:
        """Poisoned mails never stop the others, however many come first."""
        emails = domains(30)
        stage.add(*emails)
        stage.mailer.answer = refusing(*emails[:10], error=DENIED)
        worker = stage.harness.link_worker(stage.mailer)
        stage.play(worker, *[stage.wait(1) for _ in range(30)])
        assert stage.states == {FAILED: 10, SENT: 20}
        assert worker.heartbeat.pause is None

    @pytest.mark.parametrize("reply", ["550 5.1.2 no such domain", "554 5.7.1 denied"])
    def test_five_bad_addresses_hardly_delay_a_code(
        self, harness: DeliveryHarness, reply: str
    ) -> None:
        """Anybody may ask for codes to addresses that do not exist."""
        bad, good = domains(DOMAINS_TO_SUSPECT), "ann@shop.example"
        mailer = ScriptedMailer(refusing(*bad, error=Refused(reply)))
        worker = harness.code_worker(mailer)
        with worker.started() as thread:
            for email in bad:
                harness.add_code(email)
            thread.wake([partition_of(email) for email in bad])
            assert thread.wait_until_dry(10.0)
            assert (worker.heartbeat.pause is not None) == reply.startswith("554")
            harness.add_code(good)
            harness.clock.advance(seconds=1)
            thread.wake([partition_of(good)])
            assert thread.wait_until_dry(10.0)
            assert mailer.recipients == [good]
            assert worker.heartbeat.pause is None

    def test_a_pause_ends_when_those_refused_are_owed_no_more(self, stage: Stage) -> None:
        stage.add(*domains(DOMAINS_TO_SUSPECT))
        worker = stage.harness.link_worker(stage.mailer)
        stage.mailer.answer = refusing(error=DENIED)

        def revoke() -> None:
            assert worker.heartbeat.pause is not None
            for link in stage.links:
                stage.harness.revoke(link)
            stage.harness.clock.advance(seconds=1)

        stage.play(worker, revoke)
        assert worker.heartbeat.pause is None

    def test_addresses_that_do_not_exist_are_never_our_fault(self, stage: Stage) -> None:
        stage.add(*domains(12))
        stage.mailer.answer = refusing(error=Refused("550 5.1.1 no such user"))
        worker = stage.harness.link_worker(stage.mailer)
        stage.play(worker)
        assert stage.states == {FAILED: 12}
        assert worker.heartbeat.pause is None

    def test_one_mail_a_second_is_tried_and_those_refused_wait(self, stage: Stage) -> None:
        stage.add(*domains(40))
        tried = Counter[str]()

        def refuse(message: EmailMessage) -> None:
            tried[str(message["To"])] += 1
            raise DENIED

        stage.mailer.answer = refuse
        stage.play(stage.harness.link_worker(stage.mailer), *[stage.wait(1) for _ in range(10)])
        assert len(tried) == DOMAINS_TO_SUSPECT + 10
        assert set(tried.values()) == {1}
        assert stage.states == {QUEUED: 40}

    def test_codes_are_owed_again_too(self, harness: DeliveryHarness) -> None:
        emails, mailer = domains(8), ScriptedMailer(refusing(error=DENIED))
        for email in emails:
            harness.add_code(email)
        partitions = [partition_of(email) for email in emails]
        with harness.code_worker(mailer).started() as thread:
            thread.wake(partitions)
            assert thread.wait_until_dry(10.0)
            mailer.answer = lambda _: None
            harness.clock.advance(seconds=15)
            thread.wake(partitions)
            assert thread.wait_until_dry(10.0)
        assert Counter(mailer.recipients) == Counter(emails)


class TestRetries:
    def test_a_mail_is_tried_again_within_a_quarter_of_the_life_it_has_left(
        self, harness: DeliveryHarness
    ) -> None:
        harness.add_code(ttl=timedelta(minutes=10))
        code_expires_at = harness.clock() + timedelta(minutes=10)
        mailer = ScriptedMailer(refusing(error=Deferred("450 4.2.0 greylisted")))
        waits = []
        for _ in range(8):
            harness.code_worker(mailer).run([partition_of("jane@example.com")])
            again_at = harness.code_lease_of("jane@example.com")
            assert again_at is not None
            life = code_expires_at - harness.clock()
            waits.append(again_at - harness.clock())
            assert waits[-1] <= life / 4
            harness.clock.now = again_at
        assert waits[:3] == [timedelta(seconds=seconds) for seconds in (5, 15, 45)]

    def test_so_is_one_that_a_pause_puts_off_for_the_pause_may_end_before(
        self, harness: DeliveryHarness
    ) -> None:
        harness.add_code(ttl=timedelta(minutes=10))
        code_expires_at = harness.clock() + timedelta(minutes=10)
        worker = harness.code_worker(ScriptedMailer(refusing(error=SENDER_REFUSED)))
        with worker.started() as thread:
            for wait in (0, 5, 15, 45, 135):
                harness.clock.advance(seconds=wait)
                thread.wake([partition_of("jane@example.com")])
                assert thread.wait_until_dry(10.0)
        again_at = harness.code_lease_of("jane@example.com")
        assert again_at is not None
        assert again_at - harness.clock() == (code_expires_at - harness.clock()) / 4


class TestLoginAskedForAtRecipients:
    """As where a server takes mails to its own domains only, without a login."""

    @pytest.fixture
    def server(self) -> Iterator[ScriptedServer]:
        with ScriptedServer() as server:
            yield server

    def ask_for_login(self, server: ScriptedServer, recipients: str) -> None:
        server.replies["RCPT"] = lambda: (
            "530 5.7.0 log in" if recipients in server.commands[-1] else "250 fine"
        )

    def test_nothing_fails_while_it_is_asked_for_at_all(
        self, stage: Stage, server: ScriptedServer
    ) -> None:
        self.ask_for_login(server, "@")
        stage.add(*[f"jane+{number}@gmail.example" for number in range(3)])
        worker = stage.harness.link_worker(lambda: session_with(server))
        stage.play(worker, *[stage.wait(1) for _ in range(40)])
        assert stage.states == {QUEUED: 3}
        assert worker.heartbeat.pause is not None
        assert worker.heartbeat.pause.reason == "530 5.7.0"

    def test_one_mail_stops_no_others(self, stage: Stage, server: ScriptedServer) -> None:
        self.ask_for_login(server, "outside.example")
        stage.add("jane@outside.example", *domains(3))
        worker = stage.harness.link_worker(lambda: session_with(server))
        seen = []
        stage.play(
            worker, stage.wait(1), lambda: seen.append(worker.heartbeat.pause), stage.wait(15)
        )
        assert seen == [None]
        assert stage.states == {SENT: 3, FAILED: 1}
        assert worker.heartbeat.pause is None
