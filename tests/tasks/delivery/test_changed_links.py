"""A mail tells what its link asks for, whatever changes beside a worker."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from email.message import EmailMessage
from typing import Any

import httpx
import pytest

from service.links.model import DeliveryState, Link
from tasks.mail.mailer import Deferred, Unconfirmed
from tests.support.api import Api, assert_problem
from tests.support.delivery_harness import PARTITION, DeliveryHarness, text_of
from tests.support.scripted_smtp import ScriptedMailer, refusing

Change = Callable[..., httpx.Response]


@pytest.fixture
def change(api: Api) -> Change:
    """Changes a link by the API."""

    def patch(link: Link, **body: Any) -> httpx.Response:
        return api.patch(link.id, **(body or {"payment_amount": 20}))

    return patch


def add(harness: DeliveryHarness, **fields: Any) -> Link:
    return harness.add_link(payment_amount=Decimal(10), currency="USD", **fields)


def assert_one_amount(harness: DeliveryHarness, link: Link, mailer: ScriptedMailer) -> None:
    """The only mail asks for what the link asks for."""
    assert harness.state(link) is DeliveryState.SENT
    [mail] = mailer.sent
    asked = f"{harness.link(link).payment_amount}.00"
    assert asked in str(mail["Subject"])
    assert asked in text_of(mail)


def test_a_mail_that_waits_tells_the_new_amount(harness: DeliveryHarness, change: Change) -> None:
    link, mailer = add(harness), ScriptedMailer()
    assert change(link).status_code == 200
    harness.link_worker(mailer).run([PARTITION])
    assert harness.link(link).payment_amount == 20
    assert_one_amount(harness, link, mailer)


def test_a_mail_in_hand_over_tells_the_old_amount_and_so_does_the_link(
    harness: DeliveryHarness, change: Change
) -> None:
    link = add(harness)
    refused: list[httpx.Response] = []
    mailer = ScriptedMailer(lambda _: refused.append(change(link)))
    harness.link_worker(mailer).run([PARTITION])
    assert_problem(refused[0], 409, "mail_pending")
    assert harness.link(link).payment_amount == 10
    assert_one_amount(harness, link, mailer)
    assert_problem(change(link), 409, "link_sent")


def test_a_mail_that_waits_for_a_session_does_not_change(
    harness: DeliveryHarness, change: Change
) -> None:
    """The only session is sending another mail."""
    add(harness, email="first@example.com")
    harness.clock.advance(milliseconds=1)
    second = add(harness, email="second@example.com")
    refused: list[httpx.Response] = []

    def change_the_second(message: EmailMessage) -> None:
        if message["To"] == "first@example.com":
            refused.append(change(second))

    mailer = ScriptedMailer(change_the_second)
    harness.link_worker(mailer).run([PARTITION])
    assert_problem(refused[0], 409, "mail_pending")
    assert harness.link(second).payment_amount == 10
    assert "10.00" in text_of(mailer.sent[1])


def test_a_mail_that_was_put_off_tells_the_new_amount(
    harness: DeliveryHarness, change: Change
) -> None:
    link, mailer = add(harness), ScriptedMailer(refusing(error=Deferred("451 4.7.1 later")))
    harness.link_worker(mailer).run([PARTITION])
    assert harness.state(link) is DeliveryState.QUEUED
    assert change(link, payment_amount=20, email="john@example.com").status_code == 200
    mailer.answer = lambda _: None
    harness.clock.advance(hours=1)
    harness.link_worker(mailer).run([PARTITION])
    assert mailer.recipients == ["john@example.com"]
    assert_one_amount(harness, link, mailer)


def test_a_mail_whose_outcome_is_unknown_does_not_change(
    harness: DeliveryHarness, change: Change
) -> None:
    """The server may have taken it before the connection broke."""
    link = add(harness)
    mailer = ScriptedMailer(refusing(error=Unconfirmed("connection lost")))
    harness.link_worker(mailer).run([PARTITION])
    assert_problem(change(link), 409, "link_sent")


def test_a_mail_of_a_worker_that_died_does_not_change(
    harness: DeliveryHarness, change: Change
) -> None:
    """It may have died between the server's acceptance and its record."""
    link, mailer = add(harness), ScriptedMailer()
    harness.claim()
    for wait in (timedelta(0), timedelta(minutes=1)):
        harness.clock.now += wait
        assert_problem(change(link), 409, "mail_pending")
    harness.link_worker(mailer).run([PARTITION])
    assert_one_amount(harness, link, mailer)


def test_a_mail_that_is_put_off_to_another_day_goes_then(
    harness: DeliveryHarness, change: Change
) -> None:
    link, mailer = add(harness), ScriptedMailer()
    at = (harness.clock() + timedelta(hours=5)).isoformat()
    assert change(link, scheduled_at=at, payment_amount=20).status_code == 200
    harness.link_worker(mailer).run([PARTITION])
    assert mailer.sent == []
    harness.clock.advance(hours=5)
    harness.link_worker(mailer).run([PARTITION])
    assert_one_amount(harness, link, mailer)
