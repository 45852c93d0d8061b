"""Once a link has taken the place of another, the other's mail is not begun."""

from collections.abc import Callable
from email.message import EmailMessage
from typing import Any

import pytest

from service.links.model import DeliveryState, Link, Status
from tasks.mail.mailer import Deferred
from tests.support.api import Api
from tests.support.delivery_harness import PARTITION, DeliveryHarness
from tests.support.scripted_smtp import ScriptedMailer, ScriptedServer, refusing
from tests.support.smtp_setup import session_with

Supersede = Callable[[Link], None]


@pytest.fixture
def supersede(api: Api) -> Supersede:
    """Has the API make a link in place of another, which nobody is mailed."""

    def create(link: Link) -> None:
        api.create(transaction_id=link.transaction_id, on_conflict="supersede", notify=False)

    return create


def assert_not_mailed(harness: DeliveryHarness, link: Link) -> None:
    found = harness.link(link)
    assert (found.status(harness.clock()), found.delivery.state) == (
        Status.REVOKED,
        DeliveryState.NONE,
    )
    assert harness.lease_of(link) is None


def test_a_link_that_is_superseded_while_its_mail_waits_for_a_session_is_not_mailed(
    harness: DeliveryHarness, supersede: Supersede
) -> None:
    """The only session is sending another mail."""
    first, second = harness.add_links(2)
    third = harness.add_link(transaction_id="invoice-7")

    def supersede_the_third(message: EmailMessage) -> None:
        if message["To"] == first.email:
            supersede(third)

    mailer = ScriptedMailer(supersede_the_third)
    harness.link_worker(mailer).run([PARTITION])
    assert mailer.recipients == [first.email, second.email]
    assert_not_mailed(harness, third)


@pytest.mark.parametrize("step", ["greeting", "EHLO"])
def test_a_server_that_is_slow_before_mail_gets_none_for_a_link_superseded_meanwhile(
    harness: DeliveryHarness, supersede: Supersede, step: str
) -> None:
    link = harness.add_link(transaction_id="invoice-7")
    with ScriptedServer() as server:
        usual: Any = server.replies[step]

        def answer() -> str:
            supersede(link)
            return str(usual)

        server.replies[step] = answer
        harness.link_worker(lambda: session_with(server)).run([PARTITION])
        assert set(server.verbs()) <= {"EHLO", "QUIT"}
    assert_not_mailed(harness, link)


def test_a_mail_that_was_put_off_is_not_tried_again_once_its_link_is_superseded(
    harness: DeliveryHarness, supersede: Supersede
) -> None:
    link = harness.add_link(transaction_id="invoice-7")
    harness.link_worker(ScriptedMailer(refusing(error=Deferred("450 later")))).run([PARTITION])
    supersede(link)
    harness.clock.advance(hours=1)
    mailer = ScriptedMailer()
    harness.link_worker(mailer).run([PARTITION])
    assert mailer.recipients == []
    assert_not_mailed(harness, link)
