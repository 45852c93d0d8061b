"""What replies of a server mean for an e-mail, and for the next one."""

import asyncio

import pytest

from tasks.mail.mailer import (
    Deferred,
    MailerUnavailable,
    Refused,
    SessionEnded,
    Unconfirmed,
)
from tests.support.scripted_smtp import Conversation, ScriptedServer
from tests.support.smtp_setup import (
    CountingServer,
    blocking_session,
    lease_is_held,
    mail_to,
    session_with,
)

STEPS = pytest.mark.parametrize(
    "verb", ["MAIL", "RCPT", "DATA", "."], ids=["sender", "recipient", "content", "final dot"]
)
LATER_STEPS = pytest.mark.parametrize(
    "verb", ["RCPT", "DATA", "."], ids=["recipient", "content", "final dot"]
)


def accept(server: ScriptedServer, verb: str) -> None:
    """Lets the server take what it declined."""
    server.replies[verb] = "354 go on" if verb == "DATA" else "250 fine"


class TestAcceptance:
    @pytest.mark.parametrize("code", [200, 250, 251, 252, 259])
    @pytest.mark.parametrize("verb", ["MAIL", "RCPT", "."])
    def test_any_2xx_will_do(self, verb: str, code: int) -> None:
        with (
            ScriptedServer(**{verb: f"{code} so be it"}) as server,
            blocking_session(server) as session,
        ):
            server.lax = True
            for _ in range(2):
                session.send(mail_to())
            assert server.verbs() == ["EHLO", *["MAIL", "RCPT", "DATA", "."] * 2]

    @pytest.mark.parametrize("reply", ["250 fine", "200 fine", "334 go on"])
    def test_a_server_that_does_not_ask_for_the_content_does_not_get_it(self, reply: str) -> None:
        """It would read each line as a command."""
        with ScriptedServer(DATA=reply) as server, blocking_session(server) as session:
            with pytest.raises(Deferred, match=reply):
                session.send(mail_to())
            accept(server, "DATA")
            session.send(mail_to())
            assert server.verbs().count(".") == 1
            assert server.connections == 2


class TestOurFault:
    """At MAIL a server declines the sender, and so every e-mail."""

    @pytest.mark.parametrize("code", [450, 451, 452, 499, 500, 530, 550, 554, 599])
    def test_a_sender_that_is_declined(self, code: int) -> None:
        with ScriptedServer(MAIL=f"{code} not you") as server, blocking_session(server) as session:
            with pytest.raises(MailerUnavailable, match=f"{code} not you") as error:
                session.send(mail_to())
            assert type(error.value) is MailerUnavailable
            assert session.is_open
            assert not session.is_proven

    @pytest.mark.parametrize("code", [552, 523])
    def test_unless_the_server_declines_the_size(self, code: int) -> None:
        with ScriptedServer(MAIL=f"{code} too big") as server, blocking_session(server) as session:
            with pytest.raises(Refused, match=f"{code} too big"):
                session.send(mail_to())
            assert session.is_open

    def test_a_session_is_proven_once_the_server_takes_a_sender(self) -> None:
        with ScriptedServer(RCPT="550 no such user") as server, blocking_session(server) as session:
            session.open()
            assert not session.is_proven
            with pytest.raises(Refused):
                session.send(mail_to())
            assert session.is_proven
            server.replies |= {"NOOP": "421 bye"}
            session.keep_open()
            assert session.is_proven

    @pytest.mark.parametrize("reply", ["452 too many mails in this session", "550 no more"])
    def test_a_session_that_has_worked_may_have_had_enough(self, reply: str) -> None:
        """Another then shows whether it is us."""
        with ScriptedServer() as server, blocking_session(server) as session:
            session.open()
            session.send(mail_to())
            server.replies["MAIL"] = reply
            with pytest.raises(SessionEnded):
                session.send(mail_to())
            assert not session.is_open
            session.open()
            with pytest.raises(MailerUnavailable) as refusal:
                session.send(mail_to())
            assert type(refusal.value) is MailerUnavailable


class TestMails:
    @LATER_STEPS
    @pytest.mark.parametrize("code", [450, 451, 452, 499])
    def test_4xx_is_for_now(self, verb: str, code: int) -> None:
        with (
            ScriptedServer(**{verb: f"{code} try later"}) as server,
            blocking_session(server) as session,
        ):
            with pytest.raises(Deferred, match=f"{code} try later") as delay:
                session.send(mail_to())
            assert type(delay.value) is Deferred

    @LATER_STEPS
    @pytest.mark.parametrize("code", [500, 530, 550, 554, 599])
    def test_5xx_is_for_good(self, verb: str, code: int) -> None:
        with (
            ScriptedServer(**{verb: f"{code} no"}) as server,
            blocking_session(server) as session,
            pytest.raises(Refused, match=f"{code} no"),
        ):
            session.send(mail_to())

    def test_every_line_of_a_reason_is_kept(self) -> None:
        with (
            ScriptedServer(RCPT="550-5.1.1 no such user\r\n550 5.1.1 ask elsewhere") as server,
            blocking_session(server) as session,
            pytest.raises(Refused, match=r"550 5\.1\.1 no such user\s+5\.1\.1 ask elsewhere"),
        ):
            session.send(mail_to())

    def test_a_reason_in_another_encoding_is_text(self) -> None:
        """It can be stored and shown."""
        with Latin1Server(RCPT="550 Empfänger unbekannt") as server:
            with blocking_session(server) as session, pytest.raises(Refused) as refusal:
                session.send(mail_to())
            assert str(refusal.value) == "550 Empf\ufffdnger unbekannt"

    @pytest.mark.parametrize(
        "reply", ["550 no such user", "450 later"], ids=["refused", "deferred"]
    )
    def test_the_session_goes_on_to_the_next(self, reply: str) -> None:
        with CountingServer() as server, blocking_session(server) as session:
            server.mailbox.reply = lambda envelope: (
                reply if "jane@example.com" in envelope.rcpt_tos else None
            )
            with pytest.raises((Refused, Deferred), match=reply):
                session.send(mail_to("jane@example.com"))
            session.send(mail_to("joe@example.com"))
            assert [str(message["To"]) for message in server.mailbox.messages] == [
                "joe@example.com"
            ]
            assert server.connections == 1

    @STEPS
    def test_a_declined_one_is_reset_before_the_next(self, verb: str) -> None:
        commands = ["MAIL", "RCPT", "DATA", "."]
        declined = commands[: commands.index(verb) + 1]
        with ScriptedServer(**{verb: "550 no"}) as server, blocking_session(server) as session:
            for _ in range(2):
                with pytest.raises((Refused, MailerUnavailable)):
                    session.send(mail_to())
            accept(server, verb)
            session.send(mail_to())
            session.send(mail_to())
            assert server.verbs() == [
                *("EHLO", *declined, "RSET", *declined, "RSET"),
                *commands * 2,
            ]


class TestEndedSessions:
    """None of them is used again."""

    @pytest.mark.parametrize("reply", ["421 shutting down", None, "nonsense"])
    def test_before_the_recipient_another_session_can_send_the_mail(
        self, reply: str | None
    ) -> None:
        with ScriptedServer(MAIL=reply) as server, blocking_session(server) as session:
            with pytest.raises(MailerUnavailable, match=reply):
                session.send(mail_to())
            assert not session.is_open
            accept(server, "MAIL")
            session.send(mail_to())
            assert server.connections == 2

    @LATER_STEPS
    def test_421_puts_the_mail_off(self, verb: str) -> None:
        with (
            ScriptedServer(**{verb: "421 shutting down"}) as server,
            blocking_session(server) as session,
        ):
            with pytest.raises(Deferred, match="421 shutting down") as delay:
                session.send(mail_to())
            assert type(delay.value) is Deferred
            assert not session.is_open
            accept(server, verb)
            session.send(mail_to())
            assert server.connections == 2

    @LATER_STEPS
    def test_a_connection_that_drops_puts_the_mail_off(self, verb: str) -> None:
        with ScriptedServer(**{verb: None}) as server, blocking_session(server) as session:
            with pytest.raises(Deferred):
                session.send(mail_to())
            assert not session.is_open
            accept(server, verb)
            session.send(mail_to())
            assert server.connections == 2

    @pytest.mark.parametrize(
        ("verb", "error"),
        [("RCPT", Deferred), ("DATA", Deferred), (".", Unconfirmed)],
        ids=["recipient", "content", "final dot"],
    )
    @pytest.mark.parametrize("reply", [None, "nonsense"])
    def test_only_without_a_reply_to_the_final_dot_the_outcome_is_unknown(
        self, verb: str, error: type[Deferred], reply: str | None
    ) -> None:
        with ScriptedServer(**{verb: reply}) as server, blocking_session(server) as session:
            with pytest.raises(Deferred) as delay:
                session.send(mail_to())
            assert type(delay.value) is error

    @pytest.mark.parametrize(
        "reply",
        ["nonsense", "", "999 what?", "2xx hm", "354 go on", "150 wait"],
        ids=["words", "empty", "unknown code", "no code", "3xx", "1xx"],
    )
    def test_a_reply_that_means_nothing_here_puts_the_mail_off(self, reply: str) -> None:
        with ScriptedServer(RCPT=reply) as server, blocking_session(server) as session:
            with pytest.raises(Deferred) as delay:
                session.send(mail_to())
            assert type(delay.value) is Deferred
            assert not session.is_open

    def test_a_refusal_stands_though_the_server_then_hangs_up(self) -> None:
        with (
            ScriptedServer(RCPT="550 no such user", RSET=None) as server,
            blocking_session(server) as session,
        ):
            with pytest.raises(Refused, match="550 no such user"):
                session.send(mail_to())
            with pytest.raises(SessionEnded):
                session.send(mail_to("joe@example.com"))
            assert not session.is_open

    @pytest.mark.parametrize("reply", ["421 closing", "451 later", "502 what?"])
    def test_a_failed_reset_ends_the_session(self, reply: str) -> None:
        with (
            ScriptedServer(RCPT="550 no such user", RSET=reply) as server,
            blocking_session(server) as session,
        ):
            with pytest.raises(Refused, match="550 no such user"):
                session.send(mail_to())
            accept(server, "RCPT")
            with pytest.raises(SessionEnded, match=reply):
                session.send(mail_to("joe@example.com"))
            assert not session.is_open
            session.send(mail_to("joe@example.com"))
            assert server.connections == 2

    def test_a_session_that_the_server_ended_meanwhile_is_opened_again(self) -> None:
        with (
            HastyServer() as server,
            blocking_session(server) as session,
        ):
            session.send(mail_to())
            session.keep_open()
            session.send(mail_to())
            assert server.connections == 2

    def test_a_session_that_is_not_open_sends_nothing(self) -> None:
        with ScriptedServer() as server:
            with pytest.raises(MailerUnavailable):
                asyncio.run(session_with(server).send(mail_to(), lease_is_held))
            assert server.connections == 0


class TestKeepOpen:
    @pytest.mark.parametrize("reply", ["250 fine", "502 what?"])
    def test_an_open_session_stays(self, reply: str) -> None:
        with ScriptedServer(NOOP=reply) as server, blocking_session(server) as session:
            session.open()
            session.keep_open()
            session.send(mail_to())
            assert server.verbs() == ["EHLO", "NOOP", "MAIL", "RCPT", "DATA", "."]
            assert server.connections == 1

    @pytest.mark.parametrize("reply", ["421 you are idle", None])
    def test_one_that_ended_is_opened_again(self, reply: str | None) -> None:
        with ScriptedServer(NOOP=reply) as server, blocking_session(server) as session:
            session.open()
            session.keep_open()
            assert session.is_open
            assert server.verbs() == ["EHLO", "NOOP", "EHLO"]

    def test_one_that_was_never_open_is_opened(self) -> None:
        with ScriptedServer() as server, blocking_session(server) as session:
            session.keep_open()
            assert session.is_open
            assert server.verbs() == ["EHLO"]

    def test_a_server_that_has_gone_is_unavailable(self) -> None:
        with ScriptedServer(NOOP="421 bye") as server, blocking_session(server) as session:
            session.open()
            server.replies["greeting"] = "554 gone"
            with pytest.raises(MailerUnavailable, match="554 gone"):
                session.keep_open()
            assert not session.is_open


class HastyConversation(Conversation):
    def say(self, verb: str) -> bool:
        return super().say(verb) and verb != "."


class HastyServer(ScriptedServer):
    """Hangs up after each mail."""

    conversation_class = HastyConversation


class Latin1Conversation(Conversation):
    def write(self, line: str) -> None:
        self.last = line
        self.wfile.write(line.encode("latin-1") + b"\r\n")


class Latin1Server(ScriptedServer):
    conversation_class = Latin1Conversation
