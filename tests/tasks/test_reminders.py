"""Reminders of links: when they begin, when each goes out, and when none does."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from service.links.reminders import next_reminder
from service.outbox import store as outbox
from service.outbox.queues import NOTICE_QUEUE
from service.values.reminders import Reminder
from tests.support.clock import Clock
from tests.support.delivery_harness import PARTITION, DeliveryHarness, text_of
from tests.support.reminder_series import DAY, HOUR, THREE, WEEK, add_sent, types, work
from tests.support.scripted_smtp import ScriptedMailer


class TestBeginning:
    def test_reminders_begin_when_the_first_mail_is_out(
        self, harness: DeliveryHarness, mailer: ScriptedMailer
    ) -> None:
        link = harness.add_link(reminders=THREE, ttl=WEEK)
        assert harness.notice_due_at(link) is None
        harness.clock.advance(hours=1)
        harness.link_worker(mailer).run([PARTITION])
        assert harness.notice_due_at(link) == harness.clock() + DAY
        assert harness.events() == [("sent", '{"sends":1}')]

    def test_a_link_without_reminders_gets_its_organizations(
        self, harness: DeliveryHarness, mailer: ScriptedMailer
    ) -> None:
        harness.put_profile(reminders=(Reminder(after_send="48h"),))
        link = add_sent(harness, mailer, reminders=None)
        assert link.reminders == (Reminder(after_send="48h"),)
        assert harness.notice_due_at(link) == harness.clock() + 2 * DAY

    def test_a_link_with_an_empty_series_gets_none(
        self, harness: DeliveryHarness, mailer: ScriptedMailer
    ) -> None:
        harness.put_profile(reminders=(Reminder(after_send="48h"),))
        link = add_sent(harness, mailer, reminders=())
        assert (link.reminders, harness.notice_due_at(link)) == ((), None)

    def test_those_of_a_link_without_a_mail_count_from_its_creation(
        self, harness: DeliveryHarness
    ) -> None:
        link = harness.add_link(reminders=THREE, ttl=WEEK, notify=False)
        assert harness.notice_due_at(link) == link.created_at + DAY

    @pytest.mark.parametrize("end", ["pay", "revoke", "stop"])
    def test_none_begin_where_the_link_ends_while_its_mail_is_handed_over(
        self, harness: DeliveryHarness, mailer: ScriptedMailer, end: str
    ) -> None:
        link = harness.add_link(reminders=THREE, payment_amount=Decimal("10.50"), ttl=WEEK)
        ends: dict[str, Callable[[], None]] = {
            "pay": lambda: harness.pay(link),
            "revoke": lambda: harness.revoke(link),
            "stop": lambda: harness.change(link, reminders_stopped_at=harness.clock()),
        }
        mailer.answer = lambda _: ends[end]()
        harness.link_worker(mailer).run([PARTITION])
        assert len(mailer.sent) == 1
        assert harness.notice_due_at(link) is None

    def test_reminders_that_change_while_the_mail_is_handed_over_count(
        self, harness: DeliveryHarness, mailer: ScriptedMailer
    ) -> None:
        link = harness.add_link(reminders=THREE, ttl=WEEK)
        later = (Reminder(after_send="48h"),)
        mailer.answer = lambda _: harness.change(link, reminders=later)
        harness.link_worker(mailer).run([PARTITION])
        mailer.answer = lambda _: None
        assert work(harness, mailer) == []
        assert harness.notice_due_at(link) == harness.clock() + 2 * DAY

    def test_a_resend_moves_none(self, harness: DeliveryHarness, mailer: ScriptedMailer) -> None:
        link = add_sent(harness, mailer)
        due_at = harness.notice_due_at(link)
        harness.clock.advance(hours=5)
        harness.resend(link)
        harness.link_worker(mailer).run([PARTITION])
        again = harness.link(link)
        assert again.delivery.first_sent_at == link.delivery.sent_at
        assert harness.notice_due_at(link) == due_at == next_reminder(again)
        assert harness.events()[-1] == ("sent", '{"sends":2}')


class TestSending:
    def test_a_series_of_three_goes_out_each_once(
        self, harness: DeliveryHarness, mailer: ScriptedMailer
    ) -> None:
        link = add_sent(harness, mailer)
        start, sent_at = harness.clock(), []
        while harness.clock() < start + WEEK:
            if work(harness, mailer):
                sent_at.append(harness.clock() - start)
            harness.clock.advance(hours=1)
        assert sent_at == [DAY, 3 * DAY, 6 * DAY]
        assert len({message["Message-ID"] for message in mailer.sent}) == 3
        assert types(harness) == ["sent", "reminded", "reminded", "reminded"]
        assert harness.link(link).reminded_at == start + 6 * DAY
        assert not harness.client.run(outbox.has_pending(PARTITION))

    def test_one_goes_out_at_its_moment_and_not_before(
        self, harness: DeliveryHarness, mailer: ScriptedMailer
    ) -> None:
        add_sent(harness, mailer)
        harness.clock.advance(hours=24, milliseconds=-1)
        assert work(harness, mailer) == []
        harness.clock.advance(milliseconds=1)
        assert work(harness, mailer) == ["Reminder: Payment link from acme"]

    def test_it_says_what_is_due_and_how_to_stop_it(
        self, harness: DeliveryHarness, mailer: ScriptedMailer
    ) -> None:
        link = add_sent(
            harness,
            mailer,
            payment_amount=Decimal(100),
            currency="EUR",
            accept_partial=True,
            description="Cleaning in May",
        )
        harness.pay_part(link, "40")
        harness.clock.advance(hours=24)
        assert work(harness, mailer) == ["Reminder: acme asks you for €60.00"]
        [message] = mailer.sent
        stop_url = f"https://pay.example/pay/{link.id}/reminders"
        assert message["List-Unsubscribe"] == f"<{stop_url}>"
        assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        text = text_of(message)
        assert "€40.00 of €100.00 has been paid." in text
        assert "Cleaning in May" in text
        assert stop_url in text

    def test_one_that_is_overdue_comes_alone(
        self, harness: DeliveryHarness, mailer: ScriptedMailer
    ) -> None:
        """Two were due while nothing was sent; the third is a day away."""
        link = add_sent(harness, mailer)
        harness.clock.advance(days=5)
        assert len(work(harness, mailer)) == 1
        assert harness.notice_due_at(link) == harness.clock() + DAY
        harness.clock.advance(days=1)
        assert len(work(harness, mailer)) == 1
        assert harness.notice_due_at(link) is None

    def test_the_next_is_at_least_a_day_later(
        self, harness: DeliveryHarness, mailer: ScriptedMailer
    ) -> None:
        link = add_sent(harness, mailer)
        harness.clock.advance(days=2, hours=1)
        assert len(work(harness, mailer)) == 1
        assert harness.notice_due_at(link) == harness.clock() + DAY

    def test_a_series_a_day_apart_goes_out_whole_however_late_each_is(
        self, harness: DeliveryHarness, mailer: ScriptedMailer
    ) -> None:
        """A worker is always a little late."""
        daily = tuple(Reminder(after_send=f"{days}d") for days in (1, 2, 3))
        add_sent(harness, mailer, reminders=daily)
        sent_at = []
        for _ in range(5):
            harness.clock.advance(days=1, seconds=3)
            if work(harness, mailer):
                sent_at.append(harness.clock())
        assert len(sent_at) == 3
        assert min(later - one for one, later in pairwise(sent_at)) >= DAY

    def test_one_that_would_be_put_off_beyond_the_end_is_left_out(
        self, harness: DeliveryHarness, mailer: ScriptedMailer
    ) -> None:
        daily = (Reminder(after_send="24h"), Reminder(after_send="48h"))
        link = add_sent(harness, mailer, reminders=daily, ttl=timedelta(hours=49))
        harness.clock.advance(hours=26)
        assert len(work(harness, mailer)) == 1
        assert harness.notice_due_at(link) is None

    @pytest.mark.parametrize("end", ["pay", "revoke", "stop", "expire"])
    def test_none_goes_out_for_a_link_that_ended_a_millisecond_before(
        self, harness: DeliveryHarness, mailer: ScriptedMailer, end: str
    ) -> None:
        """As a worker that holds it is about to hand it over."""
        link = add_sent(harness, mailer, payment_amount=Decimal("10.50"))
        harness.clock.advance(hours=24)
        ends: dict[str, Callable[[], Any]] = {
            "pay": lambda: harness.pay(link),
            "revoke": lambda: harness.revoke(link),
            "stop": lambda: harness.change(link, reminders_stopped_at=harness.clock()),
            "expire": lambda: harness.clock.advance(days=6),
        }
        mailer.on_open = ends[end]  # the mail is claimed, and its lease not renewed yet
        sent = [subject for subject in work(harness, mailer) if subject.startswith("Reminder")]
        assert sent == []
        assert harness.notice_due_at(link) is None

    def test_reminders_that_change_while_one_is_handed_over_count(
        self, harness: DeliveryHarness, mailer: ScriptedMailer
    ) -> None:
        link = add_sent(harness, mailer, reminders=(Reminder(after_send="24h"),))
        harness.clock.advance(hours=24)
        two = (Reminder(after_send="24h"), Reminder(after_send="96h"))
        mailer.answer = lambda _: harness.change(link, reminders=two)
        assert len(work(harness, mailer)) == 1
        assert harness.notice_due_at(link) == harness.clock() + 3 * DAY

    @pytest.mark.parametrize("change", ["description", "part"])
    def test_a_change_while_one_is_handed_over_sends_no_other(
        self, harness: DeliveryHarness, mailer: ScriptedMailer, change: str
    ) -> None:
        """Another worker has nothing to send, and the customer gets one mail."""
        link = add_sent(harness, mailer, payment_amount=Decimal(100), accept_partial=True)
        harness.clock.advance(hours=24)
        changes: dict[str, Callable[[], None]] = {
            "description": lambda: harness.change(link, description="Cleaning in June"),
            "part": lambda: harness.pay_part(link, "40"),
        }

        def change_link(_: object) -> None:
            mailer.answer = lambda _: None
            changes[change]()
            harness.notice_worker(mailer).run([PARTITION])

        mailer.answer = change_link
        assert len(work(harness, mailer)) == 1
        assert harness.notice_due_at(link) == link.created_at + 3 * DAY

    def test_a_later_end_moves_the_one_before_it(
        self, harness: DeliveryHarness, mailer: ScriptedMailer
    ) -> None:
        link = add_sent(harness, mailer, reminders=(Reminder(before_expiry="24h"),))
        harness.change(link, expires_at=link.expires_at + DAY)
        harness.clock.advance(days=6)
        assert work(harness, mailer) == []
        harness.clock.advance(days=1)
        assert len(work(harness, mailer)) == 1

    def test_an_end_that_moves_a_little_brings_no_second_one(
        self, harness: DeliveryHarness, mailer: ScriptedMailer
    ) -> None:
        link = add_sent(harness, mailer, reminders=(Reminder(before_expiry="24h"),))
        harness.clock.advance(days=6)
        assert len(work(harness, mailer)) == 1
        harness.change(link, expires_at=link.expires_at + HOUR)
        assert harness.notice_due_at(link) is None

    def test_a_voided_payment_brings_those_to_come_back(
        self, harness: DeliveryHarness, mailer: ScriptedMailer
    ) -> None:
        link = add_sent(harness, mailer, payment_amount=Decimal("10.50"))
        harness.pay(link)
        assert harness.notice_due_at(link) is None
        harness.clock.advance(days=2)
        harness.change(link, payments=(), paid_at=None)
        assert harness.notice_due_at(link) == link.created_at + 3 * DAY

    @pytest.mark.parametrize(
        "day",
        [datetime(2037, 3, 28, 12, tzinfo=UTC), datetime(2037, 10, 24, 12, tzinfo=UTC)],
        ids=["to summer time", "to winter time"],
    )
    def test_a_day_has_24_hours_when_clocks_change(
        self, harness: DeliveryHarness, mailer: ScriptedMailer, day: datetime
    ) -> None:
        harness.put_profile(time_zone="Europe/Berlin")
        harness.clock.now = day
        link = add_sent(harness, mailer, ttl=2 * DAY)
        harness.clock.advance(hours=24, milliseconds=-1)
        assert work(harness, mailer) == []
        harness.clock.advance(milliseconds=1)
        assert len(work(harness, mailer)) == 1
        zone = "CEST" if day.month == 3 else "CET"
        assert f", {14 if day.month == 3 else 13}:00 {zone}" in text_of(mailer.sent[0])
        assert harness.link(link).reminded_at == day + DAY


def test_those_that_are_due_count_as_unsent_and_others_do_not(
    harness: DeliveryHarness, mailer: ScriptedMailer, clock: Clock
) -> None:
    add_sent(harness, mailer)
    assert harness.unsent() == 0
    clock.advance(hours=24)
    due = harness.client.run(outbox.read_due(PARTITION, now=clock()))
    assert (due.unsent, due.queues) == (1, [NOTICE_QUEUE])
