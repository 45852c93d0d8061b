"""Servers that are down, or slow."""

import socket
import time
from contextlib import nullcontext, suppress

import pytest

from tasks.mail import smtp
from tasks.mail.mailer import (
    Deferred,
    MailerUnavailable,
    Refused,
)
from tests.support.scripted_smtp import ScriptedServer, refused_address
from tests.support.servers import free_port, unreachable
from tests.support.smtp_setup import (
    CountingServer,
    mail_to,
    mailer_for,
)


class TestUnavailable:
    def test_a_closed_port(self) -> None:
        with (
            mailer_for(refused_address()) as mailer,
            pytest.raises(MailerUnavailable, match="ConnectionRefusedError"),
        ):
            mailer.send(mail_to())

    def test_no_such_host(self) -> None:
        with mailer_for(("mail.invalid", 25)) as mailer, pytest.raises(MailerUnavailable):
            mailer.send(mail_to())

    def test_a_name_that_can_be_no_host(self) -> None:
        with mailer_for(("mail..example", 25)) as mailer, pytest.raises(MailerUnavailable):
            mailer.send(mail_to())

    @pytest.mark.parametrize(
        "greeting", ["554 no mail here", "421 too busy", None], ids=["554", "421", "hangs up"]
    )
    def test_a_server_that_does_not_greet(self, greeting: str | None) -> None:
        with (
            ScriptedServer(greeting=greeting) as server,
            mailer_for(server) as mailer,
            pytest.raises(MailerUnavailable),
        ):
            mailer.send(mail_to())

    @pytest.mark.parametrize(
        "reply", ["550 not you", "421 too busy", None], ids=["550", "421", "hangs up"]
    )
    def test_a_server_that_does_not_want_to_know_us(self, reply: str | None) -> None:
        with (
            ScriptedServer(EHLO=reply, HELO=reply) as server,
            mailer_for(server) as mailer,
            pytest.raises(MailerUnavailable),
        ):
            mailer.send(mail_to())

    def test_the_next_mail_tries_again(self) -> None:
        with ScriptedServer(greeting="421 too busy") as server, mailer_for(server) as mailer:
            with pytest.raises(MailerUnavailable):
                mailer.send(mail_to())
            server.replies["greeting"] = "220 ready"
            mailer.send(mail_to())

    def test_a_server_that_went_away_is_a_matter_of_the_session(self) -> None:
        port = free_port()
        server = CountingServer()
        server.port = port
        with mailer_for(("127.0.0.1", port)) as mailer:
            with server:
                mailer.send(mail_to())
            with pytest.raises(Deferred):
                mailer.send(mail_to())
            with pytest.raises(MailerUnavailable):
                mailer.send(mail_to())


@pytest.mark.usefixtures("hurried", "pipelined")
class TestTimeouts:
    @pytest.mark.parametrize("good", [False, True], ids=["none answers", "the last answers"])
    def test_a_host_s_addresses_share_the_time_of_one_session(
        self, monkeypatch: pytest.MonkeyPatch, good: bool
    ) -> None:
        monkeypatch.setattr(smtp, "CONNECT_TIMEOUT_SECONDS", 0.9)
        silent = free_port()
        with (
            ScriptedServer() as server,
            unreachable(silent),
            mailer_for(("mail.example", 25)) as mailer,
        ):
            addresses = [("127.0.0.1", silent)] * 2 + [server.address] * good
            found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
            look_up = socket.getaddrinfo
            monkeypatch.setattr(
                socket,
                "getaddrinfo",
                lambda host, *a, **k: found if host == "mail.example" else look_up(host, *a, **k),
            )
            began = time.monotonic()
            with nullcontext() if good else pytest.raises(MailerUnavailable):
                mailer.send(mail_to())
            assert time.monotonic() - began < 1.8

    @pytest.mark.parametrize("verb", ["greeting", "EHLO"])
    def test_a_server_that_does_not_begin_is_given_up(self, verb: str) -> None:
        with ScriptedServer() as server:
            server.replies[verb] = server.never
            began = time.monotonic()
            with mailer_for(server) as mailer, pytest.raises(MailerUnavailable):
                mailer.send(mail_to())
            assert time.monotonic() - began < 2

    @pytest.mark.parametrize(
        "verb", ["MAIL", "RCPT", "DATA", "."], ids=["sender", "recipient", "content", "final dot"]
    )
    def test_a_server_that_hangs_is_given_up_and_the_mail_put_off(self, verb: str) -> None:
        with ScriptedServer() as server:
            server.replies[verb] = server.never
            began = time.monotonic()
            with mailer_for(server) as mailer, pytest.raises(Deferred) as delay:
                mailer.send(mail_to())
            assert type(delay.value) is Deferred
            assert time.monotonic() - began < 2

    def test_a_server_that_does_not_say_goodbye_is_left(self) -> None:
        with ScriptedServer() as server:
            server.replies["QUIT"] = server.never
            began = time.monotonic()
            with mailer_for(server) as mailer:
                mailer.send(mail_to())
            assert time.monotonic() - began < 2

    def test_a_mail_that_expires_meanwhile_is_not_sent(self) -> None:
        """The time-out ends when the code expires."""
        with ScriptedServer() as server:
            server.replies["RCPT"] = server.after(0.2)
            with mailer_for(server) as mailer, pytest.raises(Deferred):
                mailer.send(mail_to(), timeout=0.1)
            assert "." not in server.verbs()

    def test_slow_steps_share_the_budget_of_one_mail(self) -> None:
        with ScriptedServer() as server:
            server.replies |= {"MAIL": server.after(0.2), "RCPT": server.after(0.2)}
            with mailer_for(server) as mailer, pytest.raises(Deferred):
                mailer.send(mail_to())

    def test_content_and_its_final_dot_share_the_budget_of_one_mail(self) -> None:
        """A lease covers one time-out: after two, another worker sends the mail again."""
        with ScriptedServer() as server:
            server.replies |= {"DATA": server.after(0.2, "354 go on"), ".": server.after(0.2)}
            with mailer_for(server) as mailer, pytest.raises(Deferred):
                mailer.send(mail_to())

    def test_a_reply_that_trickles_in_is_given_up(self) -> None:
        """Every line comes in time, but the reply never ends."""
        with ScriptedServer() as server:
            server.replies["."] = server.trickling(15, every=0.1)
            began = time.monotonic()
            with mailer_for(server) as mailer, pytest.raises(Deferred):
                mailer.send(mail_to())
            assert time.monotonic() - began < 1

    @pytest.mark.parametrize("verb", ["greeting", "EHLO", "QUIT"])
    def test_a_session_that_trickles_is_left(self, verb: str) -> None:
        with ScriptedServer() as server:
            server.replies[verb] = server.trickling(60, every=0.1)
            began = time.monotonic()
            with suppress(MailerUnavailable), mailer_for(server) as mailer:
                mailer.connect()
            assert time.monotonic() - began < 4

    def test_what_was_said_of_a_mail_stands_though_the_server_trickles_afterwards(self) -> None:
        with ScriptedServer() as server:
            server.replies |= {"RCPT": "550 no such user", "RSET": server.trickling(60, every=0.1)}
            began = time.monotonic()
            with mailer_for(server) as mailer, pytest.raises(Refused):
                mailer.send(mail_to())
            assert time.monotonic() - began < 4

    def test_what_ends_the_work_does_not_wait_for_a_goodbye(self) -> None:
        with ScriptedServer() as server:
            began = time.monotonic()
            server.replies["QUIT"] = server.never
            with suppress(KeyboardInterrupt), mailer_for(server) as mailer:
                mailer.connect()
                raise KeyboardInterrupt
            assert time.monotonic() - began < 1

    def test_every_mail_has_a_budget_of_its_own(self) -> None:
        with ScriptedServer() as server:
            server.replies["."] = server.after(0.15)
            with mailer_for(server) as mailer:
                for _ in range(3):
                    mailer.send(mail_to())
