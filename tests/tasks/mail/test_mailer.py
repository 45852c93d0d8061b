"""Handing mails over: to real SMTP servers, to ones that misbehave, and to files."""

import email
import email.policy
import re
import socket
import stat
import statistics
import threading
import time
import timeit
from base64 import b64encode
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import make_msgid
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from service.orgs.model import Profile
from tasks.kinds.link_mails import compose_link_mail
from tasks.mail import smtp
from tasks.mail.files import FileMailer
from tasks.mail.mailer import (
    Deferred,
    LeaseCheck,
    MailerUnavailable,
    Refused,
    skip_lease_check,
)
from tasks.mail.mime import Mail
from tasks.mail.smtp import SmtpMailer
from tasks.mail.smtp_session import TCP_QUICKACK, SmtpSession
from tests.support.factories import make_link
from tests.support.harness import received
from tests.support.mailers import ScriptedServer, refused_address
from tests.support.proxy import Proxy
from tests.support.servers import MailServer, Pipelining, free_port, unreachable
from tests.support.tls import Tls, self_signed
from tests.tasks.mail.test_headers import INJECTIONS

HEADERS = [
    *(b"From:", b"To:", b"Subject:", b"Date:", b"Message-ID:"),
    *(
        b"Auto-Submitted:",
        b"X-Payment-Links-Kind:",
        b"Content-Language:",
        b"MIME-Version:",
        b"Content-Type:",
    ),
]
"""Of every mail, in their order."""
USER, PASSWORD = "ann", "pass word+1"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience for 0.3 s, so that giving up is quick."""
    monkeypatch.setattr(smtp, "SEND_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(smtp, "CONNECT_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(smtp, "QUIT_TIMEOUT_SECONDS", 0.3)


class CountingServer(MailServer):
    """A mail server that counts its connections, and knows who logged in over what."""

    def __init__(self, **options: Any) -> None:
        self.connections = 0
        self.logins: list[tuple[str, bytes, bytes]] = []
        super().__init__(**options)

    def __enter__(self) -> Self:
        super().__enter__()
        self.connections = 0  # the controller's own, which only looks whether it runs
        return self

    def factory(self) -> SMTP:
        self.connections += 1
        served: SMTP = super().factory()  # type: ignore[no-untyped-call]
        return served

    def authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((mechanism, data.login, data.password))
        return AuthResult(success=data.password == PASSWORD.encode(), handled=False)


def login_server(**options: Any) -> CountingServer:
    """A server that takes mail only from who logged in."""
    server = CountingServer(**options)
    server.SMTP_kwargs["authenticator"] = server.authenticate
    return server


def mailer_for(server: MailServer | ScriptedServer | tuple[str, int], **options: Any) -> SmtpMailer:
    host, port = (
        server
        if isinstance(server, tuple)
        else server.address
        if isinstance(server, ScriptedServer)
        else address_of(server)
    )
    return SmtpMailer(host, port, **{"implicit_tls": False, "require_tls": False, **options})


def address_of(server: MailServer) -> tuple[str, int]:
    return server.hostname, server.port


def mail_to(recipient: str = "jane@example.com", *, text: str = "Hello\n") -> Mail:
    message = EmailMessage()
    message["From"] = "Shop <pay@shop.example>"
    message["To"] = recipient
    message["Subject"] = "A link"
    message["Message-ID"] = make_msgid(domain="shop.example")
    message.set_content(text, cte="quoted-printable")
    return Mail(
        "pay@shop.example",
        recipient,
        message["Message-ID"],
        message.as_bytes(policy=email.policy.SMTP),
    )


@pytest.fixture(params=[True, False], ids=["pipelined", "one by one"])
def pipelined(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether servers take commands together."""
    if not request.param:
        monkeypatch.setattr(ScriptedServer, "ehlo", "250 here")
        monkeypatch.setattr(Pipelining, "offers_pipelining", lambda _: False)
    return bool(request.param)


@pytest.mark.usefixtures("pipelined")
class TestPlain:
    def test_a_mail_arrives_as_it_was_sent(self, mail_server: MailServer) -> None:
        sent = mail_to()
        with mailer_for(mail_server) as mailer:
            mailer.send(sent)
        message, [arrived] = received(sent), mail_server.mailbox.messages
        assert {name: str(arrived[name]) for name in ("From", "To", "Subject", "Message-ID")} == {
            name: str(message[name]) for name in ("From", "To", "Subject", "Message-ID")
        }
        assert arrived.get_content().split() == ["Hello"]

    def test_its_envelope_has_bare_addresses(self, mail_server: MailServer) -> None:
        with mailer_for(mail_server) as mailer:
            mailer.send(mail_to())
        [envelope] = mail_server.mailbox.envelopes
        assert (envelope.mail_from, envelope.rcpt_tos) == ("pay@shop.example", ["jane@example.com"])

    def test_lines_that_begin_with_a_dot_arrive_whole(self, mail_server: MailServer) -> None:
        with mailer_for(mail_server) as mailer:
            mailer.send(mail_to(text=".\n..\n.hidden\nlast\n"))
        assert mail_server.mailbox.messages[0].get_content().splitlines() == [
            ".",
            "..",
            ".hidden",
            "last",
        ]

    def test_many_mails_take_one_session(self) -> None:
        with CountingServer() as server:
            with mailer_for(server) as mailer:
                for number in range(20):
                    mailer.send(mail_to(f"jane+{number}@example.com"))
            assert len(server.mailbox.messages) == 20
            assert server.connections == 1

    def test_no_mail_takes_no_session(self) -> None:
        with CountingServer() as server:
            with mailer_for(server):
                pass
            assert server.connections == 0

    def test_a_session_ends_with_quit(self) -> None:
        with ScriptedServer() as server:
            with mailer_for(server) as mailer:
                mailer.send(mail_to())
            assert server.verbs() == ["EHLO", "MAIL", "RCPT", "DATA", ".", "QUIT"]

    def test_the_size_is_told_where_the_server_asks_for_it(self, pipelined: bool) -> None:
        offers = ["250-here", *["250-PIPELINING"] * pipelined, "250 SIZE 1000000"]
        with ScriptedServer(EHLO="\r\n".join(offers)) as server:
            message = mail_to()
            with mailer_for(server) as mailer:
                mailer.send(message)
            told = f"mail from:<pay@shop.example> size={len(message.content)}"
            assert told in [command.lower() for command in server.commands]

    def test_a_mail_that_is_too_large_is_refused_before_it_is_sent(self) -> None:
        with MailServer(data_size_limit=100) as server, mailer_for(server) as mailer:
            with pytest.raises(Refused, match="552"):
                mailer.send(mail_to(text="x" * 200))
            assert not server.mailbox.messages

    def test_a_forwarded_recipient_is_taken(self) -> None:
        with ScriptedServer(RCPT="251 will forward") as server, mailer_for(server) as mailer:
            mailer.send(mail_to())

    def test_a_server_that_only_knows_helo_is_spoken_to(self) -> None:
        with ScriptedServer(EHLO="502 what?") as server, mailer_for(server) as mailer:
            mailer.send(mail_to())
            assert "HELO" in server.verbs()


BARE_HEADS = {
    "LF": b"To: jane@example.com\nBcc: evil@example.com\r\n\r\nHello\r\n",
    "two LF": b"To: jane@example.com\r\nSubject: x\n\nHello\r\n",
    "CR": b"To: jane@example.com\rBcc: evil@example.com\r\n\r\nHello\r\n",
    "CR at the end": b"To: jane@example.com\r\r\n\r\nHello\r\n",
    "NUL": b"To: jane@example.com\0\r\n\r\nHello\r\n",
}
NO_ADDRESSES = [
    "jane@example.com> SIZE=1\r\nRCPT TO:<evil@example.com",
    "jane@example.com>\nRCPT TO:<evil@example.com",
    "jane@example.com, evil@example.com",
    "jane@example.com\0",
    "jane doe@example.com",
    "=?utf-8?q?jane?=@example.com",
]


class TestOnTheWire:
    """The bytes that a server hears."""

    @pytest.mark.parametrize(
        ("body", "heard"),
        [
            pytest.param(
                b".\r\n..\r\n.hidden\r\n", [b"..\r\n", b"...\r\n", b"..hidden\r\n"], id="CRLF"
            ),
            pytest.param(
                b"a\n.\nRCPT TO:<e@x>\n", [b"a\r\n", b"..\r\n", b"RCPT TO:<e@x>\r\n"], id="LF"
            ),
            pytest.param(b"a\r.\rb\r\n", [b"a\r\n", b"..\r\n", b"b\r\n"], id="CR"),
            pytest.param(b"a\n.\r\nb", [b"a\r\n", b"..\r\n", b"b\r\n"], id="mixed, without an end"),
        ],
    )
    def test_a_dot_is_doubled_after_every_line_end_and_each_is_crlf(
        self, body: bytes, heard: list[bytes]
    ) -> None:
        with ScriptedServer() as server, mailer_for(server) as mailer:
            mailer.send(msgspec.structs.replace(mail_to(), content=b"Subject: x\r\n\r\n" + body))
            assert server.content == [b"Subject: x\r\n", b"\r\n", *heard]

    def test_a_dot_is_doubled_in_the_very_first_line(self) -> None:
        with ScriptedServer() as server, mailer_for(server) as mailer:
            mailer.send(msgspec.structs.replace(mail_to(), content=b".\r\n\r\nHello\r\n"))
            assert server.content == [b"..\r\n", b"\r\n", b"Hello\r\n"]

    @pytest.mark.parametrize("content", BARE_HEADS.values(), ids=BARE_HEADS)
    def test_a_head_with_a_bare_line_end_or_nul_is_never_sent(
        self, content: bytes, tmp_path: Path
    ) -> None:
        mail = msgspec.structs.replace(mail_to(), content=content)
        with ScriptedServer() as server, mailer_for(server) as mailer:
            with pytest.raises(Refused, match="its head holds a bare CR, LF or NUL"):
                mailer.send(mail)
            assert not {"MAIL", "DATA"} & set(server.verbs())
        with pytest.raises(Refused, match="its head holds a bare CR, LF or NUL"):
            FileMailer(tmp_path).send(mail)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("field", ["sender", "recipient"])
    @pytest.mark.parametrize("address", NO_ADDRESSES)
    def test_an_envelope_with_more_than_an_address_is_never_sent(
        self, field: str, address: str
    ) -> None:
        with ScriptedServer() as server, mailer_for(server) as mailer:
            with pytest.raises(Refused, match="sender or recipient is not one address"):
                mailer.send(msgspec.structs.replace(mail_to(), **{field: address}))
            assert not {"MAIL", "RCPT", "DATA"} & set(server.verbs())

    @pytest.mark.parametrize("kind", sorted(INJECTIONS.keys() - {"surrogate"}))
    def test_an_organization_s_name_brings_no_header_and_no_body(self, kind: str) -> None:
        """Should a profile hold what none can be given; a surrogate alone is nothing that it could hold."""
        name = INJECTIONS[kind]
        link = make_link(datetime.now(UTC))
        profile, url = Profile(display_name=name, reply_to=name), "https://pay.example/pay/x"
        with ScriptedServer() as server, mailer_for(server) as mailer:
            mailer.send(
                compose_link_mail(
                    link, profile=profile, url=url, sender="pay@shop.example", now=datetime.now(UTC)
                )
            )
            head = b"".join(server.content).partition(b"\r\n\r\n")[0]
            assert re.findall(rb"^[^ \r\n]*:", head, re.MULTILINE) == HEADERS
            assert re.fullmatch(rb"([^\r\n\0]+\r\n)*[^\r\n\0]+", head)
            assert server.commands[1:4] == [
                "MAIL FROM:<pay@shop.example>",
                "RCPT TO:<jane@example.com>",
                "DATA",
            ]


class TestTls:
    def test_starttls_is_used_wherever_it_is_offered(self, tls: Tls) -> None:
        with MailServer(tls_context=tls.server, require_starttls=True) as server:
            with mailer_for(server, tls=tls.client) as mailer:
                mailer.send(mail_to())
            assert len(server.mailbox.messages) == 1

    def test_smtps_begins_with_tls(self, tls: Tls) -> None:
        with MailServer(ssl_context=tls.server) as server:
            with mailer_for(server, implicit_tls=True, tls=tls.client) as mailer:
                mailer.send(mail_to())
            assert len(server.mailbox.messages) == 1

    @pytest.mark.parametrize("implicit", [False, True], ids=["STARTTLS", "SMTPS"])
    def test_a_certificate_that_nobody_vouches_for_ends_the_session(
        self, tls: Tls, implicit: bool
    ) -> None:
        option = "ssl_context" if implicit else "tls_context"
        options: dict[str, Any] = {option: tls.server}
        with MailServer(**options) as server:
            with (
                mailer_for(server, implicit_tls=implicit) as mailer,
                pytest.raises(MailerUnavailable, match="CERTIFICATE_VERIFY_FAILED"),
            ):
                mailer.send(mail_to())
            assert not server.mailbox.messages

    def test_a_certificate_of_another_host_ends_the_session(self, tls: Tls) -> None:
        with ScriptedServer(tls.server, EHLO="250-here\r\n250 STARTTLS") as server:
            port = server.address[1]
            with (
                mailer_for(("localhost", port), tls=tls.client) as mailer,
                pytest.raises(MailerUnavailable, match="localhost"),
            ):
                mailer.send(mail_to())

    def test_starttls_that_is_offered_but_fails_ends_the_session(self) -> None:
        with (
            ScriptedServer(EHLO="250-here\r\n250 STARTTLS", STARTTLS="454 not now") as server,
            mailer_for(server) as mailer,
        ):
            with pytest.raises(MailerUnavailable, match="454 not now"):
                mailer.send(mail_to())
            assert "MAIL" not in server.verbs()

    def test_what_was_said_before_tls_is_forgotten(self, tls: Tls) -> None:
        with ScriptedServer(tls.server, EHLO="250-here\r\n250 STARTTLS") as server:
            with mailer_for(server, tls=tls.client) as mailer:
                mailer.send(mail_to())
            assert server.verbs() == [
                "EHLO",
                "STARTTLS",
                "EHLO",
                "MAIL",
                "RCPT",
                "DATA",
                ".",
                "QUIT",
            ]

    def test_a_greeting_tells_whether_it_was_secured(
        self, tls: Tls, mail_server: MailServer
    ) -> None:
        assert not mailer_for(mail_server).probe()
        with MailServer(tls_context=tls.server) as server:
            assert mailer_for(server, tls=tls.client).probe()
        with MailServer(ssl_context=tls.server) as server:
            assert mailer_for(server, implicit_tls=True, tls=tls.client).probe()


class TestLogin:
    @pytest.fixture(params=["PLAIN", "LOGIN"])
    def mechanism(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def server(self, tls: Tls, mechanism: str) -> Iterator[CountingServer]:
        other = {"PLAIN": "LOGIN", "LOGIN": "PLAIN"}[mechanism]
        with login_server(
            tls_context=tls.server, auth_required=True, auth_exclude_mechanism=[other]
        ) as server:
            yield server

    def test_a_good_password_lets_in(
        self, server: CountingServer, mechanism: str, tls: Tls
    ) -> None:
        with mailer_for(
            server, require_tls=True, user=USER, password=PASSWORD, tls=tls.client
        ) as mailer:
            mailer.send(mail_to())
        assert server.logins == [(mechanism, USER.encode(), PASSWORD.encode())]
        assert len(server.mailbox.messages) == 1

    def test_a_bad_password_lets_nobody_in(self, server: CountingServer, tls: Tls) -> None:
        with mailer_for(
            server, require_tls=True, user=USER, password="wrong", tls=tls.client
        ) as mailer:
            with pytest.raises(MailerUnavailable, match="535"):
                mailer.send(mail_to())
            assert not server.mailbox.messages

    def test_a_reason_does_not_tell_the_password(self, server: CountingServer, tls: Tls) -> None:
        with mailer_for(
            server, require_tls=True, user=USER, password="hunter2", tls=tls.client
        ) as mailer:
            with pytest.raises(MailerUnavailable) as refusal:
                mailer.send(mail_to())
            assert "hunter2" not in str(refusal.value)

    @pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
    @pytest.mark.usefixtures("hurried")
    def test_nor_does_that_of_a_server_which_repeats_what_it_got(
        self, mechanism: str, tls: Tls
    ) -> None:
        user = "annabel"
        with ScriptedServer(
            tls.server, EHLO=f"250-here\r\n250-STARTTLS\r\n250 AUTH {mechanism}"
        ) as server:
            server.replies["AUTH"] = lambda: (
                f"535 not {server.commands[-1]} of {user} with {PASSWORD}"
            )
            options = {"require_tls": True, "user": user, "password": PASSWORD, "tls": tls.client}
            with (
                mailer_for(server, **options) as mailer,
                pytest.raises(MailerUnavailable, match="535 not") as refusal,
            ):
                mailer.send(mail_to())
        told = str(refusal.value)
        plain = f"\0{user}\0{PASSWORD}".encode()
        assert "•••" in told
        assert not any(
            b64encode(secret).decode() in told
            for secret in (plain, user.encode(), PASSWORD.encode())
        )
        assert user not in told
        assert PASSWORD not in told

    def test_many_mails_take_one_login(self, server: CountingServer, tls: Tls) -> None:
        with mailer_for(
            server, require_tls=True, user=USER, password=PASSWORD, tls=tls.client
        ) as mailer:
            for _ in range(3):
                mailer.send(mail_to())
        assert len(server.logins) == 1

    def test_a_password_outside_ascii_lets_in_or_is_refused_by_the_session(
        self, server: CountingServer, tls: Tls
    ) -> None:
        """RFC 4616 has it in UTF-8. Whatever comes of it, the worker must not fall over."""
        with (
            mailer_for(
                server, require_tls=True, user=USER, password="pässwörd", tls=tls.client
            ) as mailer,
            pytest.raises(MailerUnavailable),
        ):
            mailer.send(mail_to())

    def test_smtps_logs_in_too(self, tls: Tls) -> None:
        with login_server(ssl_context=tls.server, auth_require_tls=False) as server:
            with mailer_for(
                server,
                implicit_tls=True,
                require_tls=True,
                user=USER,
                password=PASSWORD,
                tls=tls.client,
            ) as mailer:
                mailer.send(mail_to())
            assert [password for _, _, password in server.logins] == [PASSWORD.encode()]

    def test_no_user_means_no_login(self, tls: Tls) -> None:
        with login_server(tls_context=tls.server) as server:
            with mailer_for(server, tls=tls.client) as mailer:
                mailer.send(mail_to())
            assert not server.logins

    def test_a_server_without_auth_ends_the_session(self, tls: Tls) -> None:
        with ScriptedServer(tls.server, EHLO="250-here\r\n250 STARTTLS") as server:
            options = {"require_tls": True, "user": USER, "password": PASSWORD, "tls": tls.client}
            with (
                mailer_for(server, **options) as mailer,
                pytest.raises(MailerUnavailable, match="AUTH"),
            ):
                mailer.send(mail_to())

    @pytest.mark.parametrize(
        "replies",
        [
            {"EHLO": "250-here\r\n250 AUTH PLAIN LOGIN"},
            {"EHLO": "250-here\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN", "STARTTLS": "454 not now"},
            {
                "EHLO": "250-here\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN",
                "STARTTLS": "220 go ahead",
            },
        ],
        ids=["not offered", "refused", "not kept"],
    )
    @pytest.mark.usefixtures("hurried")
    def test_a_password_is_never_sent_without_tls(self, replies: dict[str, str]) -> None:
        with ScriptedServer(**replies) as server:
            with (
                mailer_for(server, require_tls=True, user=USER, password=PASSWORD) as mailer,
                pytest.raises(MailerUnavailable),
            ):
                mailer.send(mail_to())
            assert not [verb for verb in server.verbs() if verb in {"AUTH", "MAIL"}]

    def test_a_password_is_never_sent_to_who_cannot_prove_to_be_the_server(self, tls: Tls) -> None:
        with login_server(tls_context=tls.server) as server:
            with (
                mailer_for(server, require_tls=True, user=USER, password=PASSWORD) as mailer,
                pytest.raises(MailerUnavailable),
            ):
                mailer.send(mail_to())
            assert not server.logins


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
        """It would take each line for a command."""
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
        """After the final dot nobody knows whether the server took it: it is sent again, under the same Message-ID."""
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
    def test_a_mail_that_could_not_be_forgotten_is_no_other_mails_trouble(self, reply: str) -> None:
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
        """It would take whatever comes next for that content: the commands of the next mail, too."""
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
        """The server's Nagle algorithm and our delayed ACK would have a mail take 44 ms."""
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


@pytest.mark.usefixtures("pipelined")
class TestOwed:
    def test_what_is_taken_back_in_the_last_moment_is_not_handed_over(self) -> None:
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

    def test_the_moment_is_between_the_server_s_asking_for_the_content_and_its_getting_it(
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

    def test_it_is_asked_while_the_server_thinks_about_the_addresses(self) -> None:
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
    def test_it_is_asked_again_where_the_server_thought_for_long(
        self, step: str, reply: str
    ) -> None:
        answers = [False, True]
        with ScriptedServer() as server, mailer_for(server) as mailer:
            server.replies[step] = server.after(1.5 * smtp.LEASE_CHECK_TTL_SECONDS, reply)
            assert not mailer.send(mail_to(), start_lease_check=lambda: answers.pop)
            assert "." not in server.verbs()

    def test_it_is_asked_once_where_the_server_is_quick(
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
    def test_the_answer_is_waited_for_whatever_the_server_says(
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

    def test_who_cannot_tell_whether_it_is_owed_ends_the_session_and_nothing_is_handed_over(
        self,
    ) -> None:
        def away() -> bool:
            raise LookupError

        with ScriptedServer() as server:
            with pytest.raises(LookupError), mailer_for(server) as mailer:
                mailer.send(mail_to(), start_lease_check=lambda: away)
            assert "." not in server.verbs()

    def test_what_breaks_in_the_middle_of_a_mail_is_no_other_mails_trouble(self) -> None:
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

    def test_other_things_are_done_while_the_server_thinks_about_the_content(self) -> None:
        with ScriptedServer() as server, mailer_for(server) as mailer:
            done = threading.Event()
            server.replies["."] = lambda: (
                "250 taken" if done.wait(5) else "451 nobody did anything meanwhile"
            )
            assert mailer.send(mail_to(), while_waiting=done.set)

    def test_a_file_that_is_not_owed_is_not_written(self, tmp_path: Path) -> None:
        with FileMailer(tmp_path) as mailer:
            assert not mailer.send(mail_to(), start_lease_check=lambda: lambda: False)
        assert list(tmp_path.iterdir()) == []


class TestNoSession:
    def test_nobody_listens(self) -> None:
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
class TestPatience:
    @pytest.mark.parametrize("good", [False, True], ids=["none answers", "the last answers"])
    def test_a_host_s_addresses_share_the_time_of_one_session(
        self, monkeypatch: pytest.MonkeyPatch, good: bool
    ) -> None:
        silent = free_port()
        with (
            ScriptedServer() as server,
            unreachable(silent),
            mailer_for(("mail.example", 25)) as mailer,
        ):
            addresses = [("127.0.0.1", silent)] * 5 + [server.address] * good
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
            assert time.monotonic() - began < 1

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

    def test_a_mail_that_is_of_no_use_any_more_is_not_handed_over(self) -> None:
        """A server may take its time; a code does not wait for it."""
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
        """A lease is renewed for one budget: a mail that takes two is sent by another worker meanwhile."""
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


class TestFiles:
    def read(self, path: Path) -> EmailMessage:
        message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        return message

    def test_each_mail_is_a_file(self, tmp_path: Path) -> None:
        with FileMailer(tmp_path / "outbox") as mailer:
            mailer.send(mail_to("jane@example.com"))
            mailer.send(mail_to("joe@example.com"))
        written = sorted((tmp_path / "outbox").iterdir())
        assert [str(self.read(path)["To"]) for path in written] == [
            "jane@example.com",
            "joe@example.com",
        ]
        assert {path.suffix for path in written} == {".eml"}

    def test_a_mail_is_whole(self, tmp_path: Path) -> None:
        message = mail_to(text="Grüße\n" * 1000)
        with FileMailer(tmp_path) as mailer:
            mailer.send(message)
        [path] = tmp_path.iterdir()
        assert self.read(path).get_content() == "Grüße\n" * 1000
        assert self.read(path)["Message-ID"] == message.message_id

    def test_only_their_owner_reads_them(self, tmp_path: Path) -> None:
        with FileMailer(tmp_path / "outbox") as mailer:
            mailer.send(mail_to())
        [path] = (tmp_path / "outbox").iterdir()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "outbox").stat().st_mode) == 0o700

    def test_the_same_mail_sent_again_is_another_file(self, tmp_path: Path) -> None:
        message = mail_to()
        with FileMailer(tmp_path) as mailer:
            mailer.send(message)
            mailer.send(message)
        assert len(list(tmp_path.iterdir())) == 2

    def test_a_folder_that_is_there_already_is_used(self, tmp_path: Path) -> None:
        for _ in range(2):
            with FileMailer(tmp_path / "outbox") as mailer:
                mailer.send(mail_to())
        assert len(list((tmp_path / "outbox").iterdir())) == 2

    def test_a_folder_that_cannot_be_made_ends_the_session(self, tmp_path: Path) -> None:
        (tmp_path / "outbox").touch()
        with (
            FileMailer(tmp_path / "outbox") as mailer,
            pytest.raises(MailerUnavailable, match="cannot write to"),
        ):
            mailer.send(mail_to())
