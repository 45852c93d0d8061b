"""Once a payment in whole was answered, a link's mail is not begun, wherever it was by then."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from email.message import EmailMessage
from typing import Any

import pytest

from service.links.model import DeliveryState, Link, Status
from tasks.mail.mailer import Deferred
from tests.support.api import Api
from tests.support.delivery_harness import PARTITION, DeliveryHarness
from tests.support.scripted_smtp import ScriptedMailer, ScriptedServer, refusing
from tests.support.smtp_setup import session_with

Pay = Callable[..., None]


@pytest.fixture
def pay(api: Api) -> Pay:
    """Has the API record a payment, and waits for its answer."""

    def record(link: Link, amount: float = 10) -> None:
        response = api.client.post(
            f"/payment-links/{link.id}/payments",
            json={"payment_id": f"ch_{amount}", "amount": amount},
            headers=api.internal(),
        )
        assert response.status_code == 201, response.text

    return record


def assert_not_mailed(harness: DeliveryHarness, link: Link, mailer: ScriptedMailer) -> None:
    assert link.email not in mailer.recipients
    found = harness.link(link)
    assert (found.status(harness.clock()), found.delivery.state) == (
        Status.PAID,
        DeliveryState.NONE,
    )
    assert harness.lease_of(link) is None


def test_a_link_that_is_paid_before_its_turn_is_not_mailed(
    harness: DeliveryHarness, pay: Pay
) -> None:
    link, mailer = harness.add_link(), ScriptedMailer()
    pay(link)
    harness.link_worker(mailer).run([PARTITION])
    assert_not_mailed(harness, link, mailer)


def test_a_scheduled_link_that_was_paid_is_not_mailed(harness: DeliveryHarness, pay: Pay) -> None:
    link = harness.add_link(scheduled_at=harness.clock() + timedelta(hours=1))
    pay(link)
    harness.clock.advance(hours=2)
    mailer = ScriptedMailer()
    harness.link_worker(mailer).run([PARTITION])
    assert_not_mailed(harness, link, mailer)


def test_a_link_that_is_paid_while_its_mail_waits_for_a_session_is_not_mailed(
    harness: DeliveryHarness, pay: Pay
) -> None:
    """The only session is sending another mail."""
    first, second, third = harness.add_links(3)

    def pay_the_third(message: EmailMessage) -> None:
        if message["To"] == first.email:
            pay(third)

    mailer = ScriptedMailer(pay_the_third)
    harness.link_worker(mailer).run([PARTITION])
    assert mailer.recipients == [first.email, second.email]
    assert_not_mailed(harness, third, mailer)


def test_a_link_that_is_paid_while_its_session_opens_is_not_mailed(
    harness: DeliveryHarness, pay: Pay
) -> None:
    link = harness.add_link()
    mailer = ScriptedMailer(on_open=lambda: pay(link))
    harness.link_worker(mailer).run([PARTITION])
    assert mailer.opened == 1
    assert_not_mailed(harness, link, mailer)


@pytest.mark.parametrize("step", ["greeting", "EHLO"])
def test_a_server_that_is_slow_before_mail_gets_none_for_a_link_paid_meanwhile(
    harness: DeliveryHarness, pay: Pay, step: str
) -> None:
    link = harness.add_link()
    with ScriptedServer() as server:
        usual: Any = server.replies[step]

        def answer() -> str:
            pay(link)
            return str(usual)

        server.replies[step] = answer
        harness.link_worker(lambda: session_with(server)).run([PARTITION])
        assert set(server.verbs()) <= {"EHLO", "QUIT"}
    assert harness.state(link) is DeliveryState.NONE


def test_a_link_that_is_paid_between_two_mails_of_a_session_gets_no_mail(
    harness: DeliveryHarness, pay: Pay
) -> None:
    """The server confirms the first one only after the payment was answered."""
    first, second = harness.add_links(2)
    with ScriptedServer() as server:

        def confirm() -> str:
            pay(second)
            return "250 taken"

        server.replies["."] = confirm
        harness.link_worker(lambda: session_with(server)).run([PARTITION])
        assert server.verbs().count("MAIL") == 1
        assert f"RCPT TO:<{first.email}>" in server.commands
    assert harness.state(second) is DeliveryState.NONE


def test_a_mail_that_was_put_off_is_not_tried_again_once_its_link_is_paid(
    harness: DeliveryHarness, pay: Pay
) -> None:
    link = harness.add_link()
    harness.link_worker(ScriptedMailer(refusing(error=Deferred("450 later")))).run([PARTITION])
    pay(link)
    harness.clock.advance(hours=1)
    mailer = ScriptedMailer()
    harness.link_worker(mailer).run([PARTITION])
    assert_not_mailed(harness, link, mailer)


def test_a_mail_that_its_server_puts_off_while_its_link_is_paid_is_not_tried_again(
    harness: DeliveryHarness, pay: Pay
) -> None:
    link = harness.add_link()

    async def pay_and_refuse(_: EmailMessage) -> None:
        await asyncio.to_thread(pay, link)
        raise Deferred("450 later")

    harness.link_worker(ScriptedMailer(pay_and_refuse)).run([PARTITION])
    harness.clock.advance(hours=1)
    mailer = ScriptedMailer()
    harness.link_worker(mailer).run([PARTITION])
    assert_not_mailed(harness, link, mailer)


def test_a_link_that_is_paid_while_its_mail_goes_out_is_paid_and_sent(
    harness: DeliveryHarness, pay: Pay
) -> None:
    link = harness.add_link()
    mailer = ScriptedMailer(lambda _: pay(link))
    harness.link_worker(mailer).run([PARTITION])
    found = harness.link(link)
    assert (found.status(harness.clock()), found.delivery.state) == (
        Status.PAID,
        DeliveryState.SENT,
    )
    assert harness.lease_of(link) is None


def test_a_link_that_is_paid_in_part_is_mailed(harness: DeliveryHarness, pay: Pay) -> None:
    link = harness.add_link(payment_amount=Decimal(10), accept_partial=True)
    mailer = ScriptedMailer(lambda _: pay(link, 1))
    pay(link, 2)
    harness.link_worker(mailer).run([PARTITION])
    found = harness.link(link)
    assert (mailer.recipients, found.delivery.state, found.amount_due) == (
        [link.email],
        DeliveryState.SENT,
        Decimal(7),
    )
