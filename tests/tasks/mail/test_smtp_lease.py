"""The lease is checked just before the content is sent."""

import threading
from typing import Any

import pytest

from tasks.mail import smtp
from tasks.mail.mailer import (
    Deferred,
    LeaseCheck,
    Refused,
    skip_lease_check,
)
from tests.support.scripted_smtp import ScriptedServer
from tests.support.smtp_setup import (
    mail_to,
    mailer_for,
)


@pytest.mark.usefixtures("pipelined")
class TestLeaseCheck:
    def test_a_mail_that_lost_its_lease_at_the_last_moment_is_not_sent(self) -> None:
        with ScriptedServer() as server, mailer_for(server) as mailer:
            assert not mailer.send(
                mail_to("jane@example.com"), start_lease_check=lambda: lambda: False
            )
            assert mailer.send(mail_to("joe@example.com"))
            assert b"jane" not in b"".join(server.content)
            assert server.verbs() == [
                "EHLO",
                "MAIL",
                "RCPT",
                "DATA",
                "EHLO",
                "MAIL",
                "RCPT",
                "DATA",
                ".",
            ]

    def test_the_last_moment_is_before_the_content_is_sent(
        self,
    ) -> None:
        asked, seen = threading.Event(), list[str]()

        def answer() -> str:
            asked.set()
            return "354 go on"

        def is_owed() -> bool:
            seen.extend(server.verbs())
            return asked.is_set()

        with ScriptedServer() as server, mailer_for(server) as mailer:
            server.replies["DATA"] = answer
            mailer.send(mail_to(), start_lease_check=lambda: is_owed)
            assert "DATA" in seen
            assert "." not in seen

    def test_the_lease_is_checked_while_the_server_checks_the_addresses(self) -> None:
        with ScriptedServer() as server, mailer_for(server) as mailer:
            asked = threading.Event()
            server.replies["MAIL"] = lambda: (
                "250 fine" if asked.wait(5) else "451 nobody asked meanwhile"
            )

            def ask() -> LeaseCheck:
                asked.set()
                return skip_lease_check()

            assert mailer.send(mail_to(), start_lease_check=ask)

    @pytest.mark.parametrize(("step", "reply"), [("RCPT", "250 at last"), ("DATA", "354 at last")])
    def test_the_lease_is_checked_again_if_the_server_took_long(
        self, step: str, reply: str
    ) -> None:
        answers = [False, True]
        with ScriptedServer() as server, mailer_for(server) as mailer:
            server.replies[step] = server.after(1.5 * smtp.LEASE_CHECK_TTL_SECONDS, reply)
            assert not mailer.send(mail_to(), start_lease_check=lambda: answers.pop)
            assert "." not in server.verbs()

    def test_the_lease_is_checked_once_if_the_server_is_quick(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(smtp, "LEASE_CHECK_TTL_SECONDS", 5)
        answers = [False, True]
        with ScriptedServer() as server, mailer_for(server) as mailer:
            assert mailer.send(mail_to(), start_lease_check=lambda: answers.pop)
        assert answers == [False]

    @pytest.mark.parametrize("step", ["MAIL", "RCPT"])
    @pytest.mark.parametrize(
        "reply", ["550 no", "450 later", None], ids=["refused", "declined", "dropped"]
    )
    def test_the_lease_check_is_awaited_whatever_the_server_replies(
        self, step: str, reply: str | None
    ) -> None:
        answers = [True]
        with (
            ScriptedServer(**{step: reply}) as server,
            mailer_for(server) as mailer,
            pytest.raises((Refused, Deferred)),
        ):
            mailer.send(mail_to(), start_lease_check=lambda: answers.pop)
        assert answers == []

    def test_a_lease_check_that_fails_ends_the_session_and_sends_nothing(
        self,
    ) -> None:
        def away() -> bool:
            raise LookupError

        with ScriptedServer() as server:
            with pytest.raises(LookupError), mailer_for(server) as mailer:
                mailer.send(mail_to(), start_lease_check=lambda: away)
            assert "." not in server.verbs()

    def test_an_error_in_the_middle_of_a_mail_closes_the_session(self) -> None:
        def broken() -> bool:
            raise LookupError

        with ScriptedServer() as server, mailer_for(server) as mailer:
            broken_options: list[dict[str, Any]] = [
                {"start_lease_check": lambda: broken},
                {"while_waiting": broken},
            ]
            for number, doing in enumerate(broken_options):
                with pytest.raises(LookupError):
                    mailer.send(mail_to(), **doing)
                assert not mailer.is_connected
                mailer.send(mail_to("joe@example.com"))
                assert server.connections == 2 + number

    def test_other_work_is_done_while_the_server_checks_the_content(self) -> None:
        with ScriptedServer() as server, mailer_for(server) as mailer:
            done = threading.Event()
            server.replies["."] = lambda: (
                "250 taken" if done.wait(5) else "451 nobody did anything meanwhile"
            )
            assert mailer.send(mail_to(), while_waiting=done.set)
