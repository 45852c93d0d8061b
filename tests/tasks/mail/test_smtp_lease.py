"""The lease is checked before MAIL, and again before the content if the server took long."""

import pytest

from tasks.mail import smtp
from tasks.mail.mailer import Deferred, MailerUnavailable, Refused
from tasks.message import LeaseLost
from tests.support.scripted_smtp import ScriptedServer
from tests.support.smtp_setup import (
    blocking_session,
    lease_is_lost,
    mail_to,
)


class LeaseChecks:
    """A lease that is lost after ``passes`` checks; notes what the server had got at each."""

    def __init__(self, server: ScriptedServer, passes: int) -> None:
        self._server = server
        self._passes = passes
        self.seen: list[list[str]] = []

    async def __call__(self) -> None:
        self.seen.append(self._server.verbs())
        if len(self.seen) > self._passes:
            raise LeaseLost


def test_nothing_of_a_mail_without_a_lease_reaches_the_server() -> None:
    with ScriptedServer() as server, blocking_session(server) as session:
        with pytest.raises(LeaseLost):
            session.send(mail_to("jane@example.com"), lease_is_lost)
        assert server.verbs() == ["EHLO"]
        session.send(mail_to("joe@example.com"))
        assert server.connections == 1
        assert "RCPT TO:<jane@example.com>" not in server.commands


def test_the_check_is_the_last_thing_before_mail() -> None:
    with ScriptedServer(RCPT="550 no such user") as server, blocking_session(server) as session:
        with pytest.raises(Refused):
            session.send(mail_to())
        checks = LeaseChecks(server, 0)
        with pytest.raises(LeaseLost):
            session.send(mail_to(), checks)
        assert checks.seen == [["EHLO", "MAIL", "RCPT", "RSET"]]


@pytest.mark.parametrize("slow", ["MAIL", "RCPT"])
def test_a_lease_that_is_lost_while_the_server_thinks_keeps_the_content_back(
    slow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "LEASE_CHECK_TTL_SECONDS", 0.1)
    with ScriptedServer() as server, blocking_session(server) as session:
        server.replies[slow] = server.after(0.2)
        checks = LeaseChecks(server, 1)
        with pytest.raises(LeaseLost):
            session.send(mail_to("jane@example.com"), checks)
        assert checks.seen == [["EHLO"], ["EHLO", "MAIL", "RCPT"]]
        session.send(mail_to("joe@example.com"))
        assert server.verbs()[3:] == ["RSET", "MAIL", "RCPT", "DATA", "."]
        assert b"jane" not in b"".join(server.content)
        assert server.connections == 1


def test_a_quick_server_gets_the_mail_after_one_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "LEASE_CHECK_TTL_SECONDS", 5)
    with ScriptedServer() as server, blocking_session(server) as session:
        checks = LeaseChecks(server, 1)
        session.send(mail_to(), checks)
        assert checks.seen == [["EHLO"]]


@pytest.mark.parametrize("step", ["MAIL", "RCPT"])
@pytest.mark.parametrize("reply", ["550 no", "450 later", None])
def test_a_mail_that_the_server_declines_needs_no_second_check(
    step: str, reply: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "LEASE_CHECK_TTL_SECONDS", 0)
    with ScriptedServer(**{step: reply}) as server, blocking_session(server) as session:
        checks = LeaseChecks(server, 1)
        with pytest.raises((Refused, Deferred, MailerUnavailable)):
            session.send(mail_to(), checks)
        assert len(checks.seen) == 1


def test_an_error_of_the_check_is_not_taken_for_one_of_the_server() -> None:
    async def fail() -> None:
        raise ConnectionError("the store is away")

    with ScriptedServer() as server, blocking_session(server) as session:
        with pytest.raises(ConnectionError, match="the store is away"):
            session.send(mail_to(), fail)
        assert session.is_open
