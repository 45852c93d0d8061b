"""Receipts of paid links, and samples for organizations."""

from datetime import timedelta
from decimal import Decimal

import pytest

from service.links.model import Link
from service.notices import store as notices
from service.storage import keys
from tasks.mail.mailer import Refused
from tests.support.delivery_harness import ORG, PARTITION, DeliveryHarness, text_of
from tests.support.scripted_smtp import ScriptedMailer, refusing

JANE = "jane@example.com"


def work(harness: DeliveryHarness, mailer: ScriptedMailer) -> None:
    harness.notice_worker(mailer).run([PARTITION])


def add_paid(harness: DeliveryHarness) -> Link:
    link = harness.add_link(
        payment_amount=Decimal("10.50"),
        currency="EUR",
        transaction_id="order-1138",
        description="Cleaning in May",
        locale="de",
    )
    harness.pay(link)
    return link


class TestReceipt:
    def test_it_says_what_was_paid(self, harness: DeliveryHarness, mailer: ScriptedMailer) -> None:
        harness.put_profile(
            display_name="Acme", reply_to="help@acme.example", time_zone="Asia/Tokyo"
        )
        add_paid(harness)
        work(harness, mailer)
        [message] = mailer.sent
        assert message["To"] == JANE
        assert message["Subject"] == "Quittung: 10,50 € an Acme"
        assert message["List-Unsubscribe"] is None
        text = text_of(message)
        for said in ("10,50 €", "Cleaning in May", "order-1138", "JST", "help@acme.example"):
            assert said in text

    def test_it_goes_out_once_and_leaves_no_event(
        self, harness: DeliveryHarness, mailer: ScriptedMailer
    ) -> None:
        link = add_paid(harness)
        for _ in range(2):
            work(harness, mailer)
            harness.clock.advance(minutes=1)
        assert len(mailer.sent) == 1
        assert harness.notice_due_at(link, "receipt") is None
        assert (harness.held_notices(), harness.events()) == ([], [])

    def test_one_of_a_payment_that_was_voided_does_not_go_out(
        self, harness: DeliveryHarness, mailer: ScriptedMailer
    ) -> None:
        link = add_paid(harness)
        mailer.on_open = lambda: harness.change(link, payments=(), paid_at=None)
        work(harness, mailer)
        assert mailer.sent == []
        assert harness.notice_due_at(link, "receipt") is None

    def test_the_one_of_another_payment_is_another_mail(
        self, harness: DeliveryHarness, mailer: ScriptedMailer
    ) -> None:
        link = add_paid(harness)
        work(harness, mailer)
        harness.change(link, payments=(), paid_at=None)
        harness.pay(link, payment_id="ch_2")
        work(harness, mailer)
        assert len({message["Message-ID"] for message in mailer.sent}) == 2

    def test_an_expired_link_that_is_paid_has_one(
        self, harness: DeliveryHarness, mailer: ScriptedMailer
    ) -> None:
        link = harness.add_link(payment_amount=Decimal("10.50"))
        harness.clock.advance(days=30)
        harness.pay(link)
        work(harness, mailer)
        assert len(mailer.sent) == 1

    def test_one_that_is_refused_is_given_up(
        self, harness: DeliveryHarness, mailer: ScriptedMailer
    ) -> None:
        add_paid(harness)
        mailer.answer = refusing(error=Refused("550 5.1.1 <jane@example.com> unknown"))
        work(harness, mailer)
        assert harness.events() == [("delivery_failed", '{"mail":"receipt","error":"550 5.1.1"}')]
        assert harness.held_notices() == []


class TestSample:
    def test_it_goes_to_the_organization_and_looks_like_a_links_mail(
        self, harness: DeliveryHarness, mailer: ScriptedMailer
    ) -> None:
        harness.put_profile(display_name="Acme", reply_to="help@acme.example", locale="fr")
        assert harness.client.run(notices.request_sample(ORG, now=harness.clock())) is None
        harness.put_profile(display_name="Acme Ltd", reply_to="desk@acme.example")
        work(harness, mailer)
        [message] = mailer.sent
        assert message["To"] == "desk@acme.example"
        assert message["Subject"] == "Sample: Acme Ltd asks you for NGN 125,000.50"
        text = text_of(message)
        assert "This is a sample: nobody is asked to pay." in text
        assert "https://pay.example\n" in text
        assert harness.held_notices() == []

    def test_it_is_not_tried_for_longer_than_an_hour(
        self, harness: DeliveryHarness, mailer: ScriptedMailer
    ) -> None:
        harness.put_profile(reply_to=JANE)
        harness.client.run(notices.request_sample(ORG, now=harness.clock()))
        harness.clock.advance(hours=1)
        work(harness, mailer)
        assert (mailer.sent, harness.held_notices(), harness.events()) == ([], [], [])

    @pytest.mark.parametrize("asked", [1, 2])
    def test_a_later_request_takes_the_place_of_an_earlier_one(
        self, harness: DeliveryHarness, mailer: ScriptedMailer, asked: int
    ) -> None:
        harness.put_profile(reply_to=JANE)
        for _ in range(asked):
            harness.client.run(notices.request_sample(ORG, now=harness.clock()))
            harness.clock.advance(seconds=1)
        work(harness, mailer)
        assert len(mailer.sent) == 1

    def test_all_of_it_goes_by_itself(self, harness: DeliveryHarness) -> None:
        harness.client.run(notices.request_sample(ORG, now=harness.clock()))
        for key in (keys.sample(ORG), keys.samples_day(ORG), keys.notices(PARTITION)):
            assert 0 < harness.redis.ttl(key) <= timedelta(days=2).total_seconds()
