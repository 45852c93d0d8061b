"""What replies of a server mean for an e-mail, and for the next one."""

import statistics
import time
import timeit

import pytest

from tasks.mail import smtp
from tasks.mail.mailer import (
    Deferred,
    Refused,
)
from tasks.mail.smtp_session import TCP_QUICKACK, SmtpSession
from tests.support.proxy import Proxy
from tests.support.scripted_smtp import ScriptedServer
from tests.support.smtp_setup import (
    CountingServer,
    mail_to,
    mailer_for,
)


@pytest.mark.usefixtures("pipelined")
class TestReplies:
    @pytest.mark.parametrize(
        "verb", ["MAIL", "RCPT", "DATA", "."], ids=["sender", "recipient", "content", "final dot"]
    )
    @pytest.mark.parametrize("code", [450, 451, 452, 499])
    def test_4xx_is_for_now(self, verb: str, code: int) -> None:
        with ScriptedServer(**{verb: f"{code} try later"}) as server, mailer_for(server) as mailer:
            with pytest.raises(Deferred, match=f"{code} try later") as delay:
                mailer.send(mail_to())
            assert type(delay.value) is Deferred

    @pytest.mark.parametrize(
        "verb", ["MAIL", "RCPT", "DATA", "."], ids=["sender", "recipient", "content", "final dot"]
    )
    @pytest.mark.parametrize("code", [500, 550, 554, 599])
    def test_5xx_is_for_good(self, verb: str, code: int) -> None:
        with (
            ScriptedServer(**{verb: f"{code} no"}) as server,
            mailer_for(server) as mailer,
            pytest.raises(Refused, match=f"{code} no"),
        ):
            mailer.send(mail_to())

    def test_every_line_of_a_reason_is_kept(self) -> None:
        with (
            ScriptedServer(RCPT="550-5.1.1 no such user\r\n550 5.1.1 ask elsewhere") as server,
            mailer_for(server) as mailer,
            pytest.raises(Refused, match=r"550 5\.1\.1 no such user\s+5\.1\.1 ask elsewhere"),
        ):
            mailer.send(mail_to())

    @pytest.mark.parametrize(
        "reply", ["550 no such user", "450 later"], ids=["refused", "deferred"]
    )
    def test_the_session_goes_on_to_the_next_mail(self, reply: str) -> None:
        with CountingServer() as server, mailer_for(server) as mailer:
            server.mailbox.reply = lambda envelope: (
                reply if "jane@example.com" in envelope.rcpt_tos else None
            )
            with pytest.raises((Refused, Deferred), match=reply):
                mailer.send(mail_to("jane@example.com"))
            mailer.send(mail_to("joe@example.com"))
            assert [str(message["To"]) for message in server.mailbox.messages] == [
                "joe@example.com"
            ]
            assert server.connections == 1

    @pytest.mark.parametrize("declined", ["MAIL", "RCPT", "DATA"])
    def test_a_declined_mail_is_reset_before_the_next(self, declined: str, pipelined: bool) -> None:
        commands = ["MAIL", "RCPT", "DATA"]
        said = commands if pipelined else commands[: commands.index(declined) + 1]
        with ScriptedServer(**{declined: "550 no"}) as server, mailer_for(server) as mailer:
            for _ in range(2):
                with pytest.raises(Refused):
                    mailer.send(mail_to())
            assert server.verbs() == ["EHLO", *[*said, "RSET"] * 2]

    def test_a_server_that_does_not_ask_for_the_content_does_not_get_it(self) -> None:
        """It would read each line as a command."""
        with ScriptedServer(DATA="250 fine") as server, mailer_for(server) as mailer:
            with pytest.raises(Deferred, match="250 fine"):
                mailer.send(mail_to())
            assert server.verbs() == ["EHLO", "MAIL", "RCPT", "DATA", "RSET"]

    @pytest.mark.parametrize(
        "verb", ["MAIL", "RCPT", "DATA", "."], ids=["sender", "recipient", "content", "final dot"]
    )
    def test_421_puts_the_mail_off_and_the_next_opens_another_session(self, verb: str) -> None:
        with ScriptedServer(**{verb: "421 shutting down"}) as server, mailer_for(server) as mailer:
            with pytest.raises(Deferred, match="421 shutting down") as delay:
                mailer.send(mail_to())
            assert type(delay.value) is Deferred
            server.replies[verb] = "354 go on" if verb == "DATA" else "250 back again"
            mailer.send(mail_to())
            assert server.connections == 2

    @pytest.mark.parametrize(
        "verb", ["MAIL", "RCPT", "DATA", "."], ids=["sender", "recipient", "content", "final dot"]
    )
    def test_a_connection_that_drops_puts_the_mail_off(self, verb: str) -> None:
        """After the final dot, the outcome is unknown: the retry has the same Message-ID."""
        with ScriptedServer(**{verb: None}) as server, mailer_for(server) as mailer:
            with pytest.raises(Deferred) as delay:
                mailer.send(mail_to())
            assert type(delay.value) is Deferred
            server.replies[verb] = "354 go on" if verb == "DATA" else "250 fine"
            mailer.send(mail_to())
            assert server.connections == 2

    def test_a_refusal_stands_though_the_server_then_hangs_up(self) -> None:
        with (
            ScriptedServer(RCPT="550 no such user", RSET=None) as server,
            mailer_for(server) as mailer,
        ):
            with pytest.raises(Refused, match="550 no such user"):
                mailer.send(mail_to())
            server.replies["RCPT"] = "250 fine"
            mailer.send(mail_to("joe@example.com"))
            assert server.connections == 2

    @pytest.mark.parametrize("reply", ["421 closing", "451 later", "502 what?"])
    def test_a_failed_reset_closes_the_session(self, reply: str) -> None:
        with (
            ScriptedServer(RCPT="550 no such user", RSET=reply) as server,
            mailer_for(server) as mailer,
        ):
            with pytest.raises(Refused, match="550 no such user"):
                mailer.send(mail_to())
            server.replies["RCPT"] = "250 fine"
            mailer.send(mail_to("joe@example.com"))
            assert server.connections == 2

    def test_a_server_that_left_between_two_mails_is_called_again(self) -> None:
        with ScriptedServer() as server, mailer_for(server) as mailer:
            server.replies["."] = "450 later"
            server.replies["RSET"] = None
            with pytest.raises(Deferred):
                mailer.send(mail_to())
            server.replies["."] = "250 fine"
            mailer.send(mail_to())

    @pytest.mark.parametrize(
        "reply",
        ["nonsense", "", "999 what?", "2xx hm"],
        ids=["words", "empty", "unknown code", "no code"],
    )
    def test_a_reply_that_is_no_smtp_puts_the_mail_off(self, reply: str) -> None:
        with (
            ScriptedServer(RCPT=reply) as server,
            mailer_for(server) as mailer,
            pytest.raises(Deferred),
        ):
            mailer.send(mail_to())


class TestPipelining:
    def test_the_envelope_is_one_group_where_the_server_takes_groups(self, pipelined: bool) -> None:
        heard: list[bytes] = []
        steps = [
            b"MAIL FROM:<pay@shop.example>\r\n",
            b"RCPT TO:<jane@example.com>\r\n",
            b"DATA\r\n",
        ]
        with ScriptedServer() as server, Proxy(server.address) as proxy:
            proxy.watch = heard.append
            with mailer_for(("127.0.0.1", proxy.port)) as mailer:
                mailer.send(mail_to())
        assert heard[1 : 2 if pipelined else 4] == ([b"".join(steps)] if pipelined else steps)

    def test_a_refusal_stands_though_the_server_hangs_up_before_it_answers_the_rest(self) -> None:
        with (
            ScriptedServer(RCPT="550 no such user", DATA=None) as server,
            mailer_for(server) as mailer,
        ):
            server.lax = True
            with pytest.raises(Refused, match="550 no such user"):
                mailer.send(mail_to())
            server.replies |= {"RCPT": "250 fine", "DATA": "354 go on"}
            mailer.send(mail_to("joe@example.com"))
            assert server.connections == 2

    @pytest.mark.parametrize("refused", ["MAIL", "RCPT"])
    def test_a_server_that_wants_the_content_of_what_it_refused_does_not_get_it(
        self, refused: str
    ) -> None:
        """It would read the commands of the next mail as content."""
        with ScriptedServer(**{refused: "550 no"}) as server, mailer_for(server) as mailer:
            server.lax = True
            with pytest.raises(Refused, match="550 no"):
                mailer.send(mail_to())
            del server.replies[refused]
            mailer.send(mail_to("joe@example.com"))
            assert b"jane" not in b"".join(server.content)
            assert server.connections == 2
            assert server.verbs().count(".") == 1

    def test_the_rest_of_the_replies_to_what_was_refused_is_waited_for_as_long_as_is_polite(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(smtp, "QUIT_TIMEOUT_SECONDS", 0.2)
        with ScriptedServer(RCPT="550 no such user") as server, mailer_for(server) as mailer:
            server.lax, server.replies["DATA"] = True, server.never
            began = time.monotonic()
            with pytest.raises(Refused, match="550 no such user"):
                mailer.send(mail_to())
            assert time.monotonic() - began < 2
            assert not mailer.is_connected

    @pytest.mark.skipif(
        TCP_QUICKACK is None, reason="elsewhere the server's replies may take this long"
    )
    def test_replies_that_are_written_one_by_one_do_not_wait_for_each_other(self) -> None:
        """With Nagle's algorithm there and a delayed ACK here, a mail would take 44 ms."""
        with ScriptedServer() as server, mailer_for(server) as mailer:
            taken = timeit.repeat(lambda: mailer.send(mail_to()), number=1, repeat=21)
            assert statistics.median(taken) < 0.03

    @pytest.mark.parametrize(
        "command", ["RCPT TO:<jane@example.com>\r\nDATA", "DATA\n", "\rDATA", "DATA\0"]
    )
    def test_a_command_is_one_line(self, command: str) -> None:
        with ScriptedServer() as server:
            session = SmtpSession(*server.address, timeout=5)
            with pytest.raises(ValueError, match="one line"):
                session.send_commands([command])
            session.close()
            assert not server.commands
