"""Reminders whose worker dies, or that the mail server does not take."""

from collections.abc import Callable
from typing import Any

from service.values.reminders import Reminder
from tasks.mail.mailer import Deferred, MailerUnavailable, Refused, Unconfirmed
from tasks.message import LEASE_DURATION
from tests.support.delivery_harness import PARTITION, DeliveryHarness
from tests.support.reminder_series import DAY, THREE, WEEK, add_sent, types, work
from tests.support.scripted_smtp import ScriptedMailer, refusing


def test_one_whose_worker_died_goes_out_again_with_the_same_message_id(
    harness: DeliveryHarness, mailer: ScriptedMailer
) -> None:
    link = add_sent(harness, mailer)
    harness.clock.advance(hours=24)

    def lose_worker(_: object) -> None:
        harness.clock.advance(seconds=LEASE_DURATION.total_seconds())
        mailer.answer = lambda _: None
        harness.notice_worker(mailer).run([PARTITION])

    mailer.answer = lose_worker
    assert len(work(harness, mailer)) == 2
    assert len({message["Message-ID"] for message in mailer.sent}) == 1
    assert types(harness) == ["sent", "reminded"]
    assert harness.held_notices() == []
    assert harness.notice_due_at(link) == link.created_at + 3 * DAY


def test_one_that_is_put_off_is_tried_again_with_the_same_message_id(
    harness: DeliveryHarness, mailer: ScriptedMailer
) -> None:
    link = add_sent(harness, mailer)
    harness.clock.advance(hours=24)
    tried = []

    def note(error: Exception) -> Callable[[Any], None]:
        def answer(message: Any) -> None:
            tried.append(message["Message-ID"])
            raise error

        return answer

    for error in (Deferred("450 later"), Unconfirmed("the connection broke")):
        mailer.answer = note(error)
        assert work(harness, mailer) == []
        assert harness.notice_due_at(link) is None
        harness.clock.advance(minutes=15)
    mailer.answer = lambda _: None
    assert len(work(harness, mailer)) == 1
    assert {*tried, mailer.sent[-1]["Message-ID"]} == {tried[0]}
    assert types(harness) == ["sent", "reminded"]


def test_one_that_is_never_confirmed_is_given_up(
    harness: DeliveryHarness, mailer: ScriptedMailer
) -> None:
    link = add_sent(harness, mailer)
    harness.clock.advance(hours=24)
    mailer.answer = refusing(error=Unconfirmed("the connection broke"))
    for _ in range(4):
        work(harness, mailer)
        harness.clock.advance(minutes=15)
    assert types(harness) == ["sent", "delivery_failed"]
    assert harness.notice_due_at(link) == link.created_at + 3 * DAY


def test_one_that_is_refused_is_done_and_the_next_one_comes(
    harness: DeliveryHarness, mailer: ScriptedMailer
) -> None:
    link = add_sent(harness, mailer)
    harness.clock.advance(hours=24)
    mailer.answer = refusing(error=Refused("550 5.7.1 <jane@example.com> not wanted"))
    assert work(harness, mailer) == []
    assert harness.events()[-1] == (
        "delivery_failed",
        '{"mail":"reminder","error":"550 5.7.1"}',
    )
    mailer.answer = lambda _: None
    harness.clock.advance(hours=1)
    assert work(harness, mailer) == []
    harness.clock.advance(days=2)
    assert len(work(harness, mailer)) == 1
    assert harness.link(link).reminded_at == harness.clock()


def test_a_change_moves_the_next_one_after_one_was_refused(
    harness: DeliveryHarness, mailer: ScriptedMailer
) -> None:
    series = (Reminder(after_send="24h"), Reminder(before_expiry="24h"))
    link = add_sent(harness, mailer, reminders=series)
    harness.clock.advance(hours=24)
    mailer.answer = refusing(error=Refused("550 5.7.1 not wanted"))
    work(harness, mailer)
    harness.change(link, expires_at=link.expires_at + DAY)
    assert harness.notice_due_at(link) == link.expires_at


def test_those_that_were_refused_for_our_sake_go_out_after_all(
    harness: DeliveryHarness, mailer: ScriptedMailer
) -> None:
    for number in range(5):
        harness.add_link(f"jane@shop{number}.example", reminders=THREE, ttl=WEEK)
    harness.link_worker(mailer).run([PARTITION])
    mailer.sent.clear()
    harness.clock.advance(hours=24)
    mailer.answer = refusing(error=Refused("550 5.7.1 relaying denied"))
    assert work(harness, mailer) == []
    mailer.answer = lambda _: None
    harness.clock.advance(minutes=1)
    assert len(work(harness, mailer)) == 5
    assert len({message["Message-ID"] for message in mailer.sent}) == 5


def test_an_outage_of_the_mail_server_pauses_them(
    harness: DeliveryHarness, mailer: ScriptedMailer
) -> None:
    add_sent(harness, mailer)
    harness.clock.advance(hours=24)
    mailer.answer = refusing(error=MailerUnavailable("535 5.7.8 no"))
    worker = harness.notice_worker(mailer)
    worker.run([PARTITION])
    assert worker.heartbeat.pause is not None
    assert worker.heartbeat.pause.reason == "535 5.7.8"
    assert types(harness) == ["sent"]


def test_a_link_that_is_gone_owes_none(harness: DeliveryHarness, mailer: ScriptedMailer) -> None:
    link = add_sent(harness, mailer)
    harness.clock.advance(hours=24)
    harness.delete(link)
    assert work(harness, mailer) == []
    assert (harness.notice_due_at(link), harness.held_notices()) == (None, [])
