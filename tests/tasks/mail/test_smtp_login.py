"""TLS and the login: only the right server gets the password and e-mails."""

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from socket import socket
from typing import Any

import pytest
from aiohappyeyeballs import start_connection

from tasks.mail import smtp
from tasks.mail.mailer import Deferred, MailerUnavailable, Refused
from tests.support.scripted_smtp import Conversation, Reply, ScriptedServer
from tests.support.servers import MailServer
from tests.support.smtp_setup import (
    PASSWORD,
    SHORT_TIMEOUT,
    USER,
    CountingServer,
    Server,
    blocking_session,
    login_server,
    mail_to,
    probe,
)
from tests.support.tls import Tls

OFFERS_TLS = "250-here\r\n250 STARTTLS"


class TestTls:
    def test_starttls_is_used_wherever_it_is_offered(self, tls: Tls) -> None:
        with MailServer(tls_context=tls.server, require_starttls=True) as server:
            with blocking_session(server, tls=tls.client) as session:
                session.send(mail_to())
            assert len(server.mailbox.messages) == 1

    def test_smtps_begins_with_tls(self, tls: Tls) -> None:
        with MailServer(ssl_context=tls.server) as server:
            with blocking_session(server, implicit_tls=True, tls=tls.client) as session:
                session.send(mail_to())
            assert len(server.mailbox.messages) == 1

    @pytest.mark.parametrize("implicit", [False, True], ids=["STARTTLS", "SMTPS"])
    def test_an_untrusted_certificate_ends_the_session(self, tls: Tls, implicit: bool) -> None:
        option = "ssl_context" if implicit else "tls_context"
        options: dict[str, Any] = {option: tls.server}
        with MailServer(**options) as server:
            with (
                blocking_session(server, implicit_tls=implicit) as session,
                pytest.raises(MailerUnavailable, match="CERTIFICATE_VERIFY_FAILED"),
            ):
                session.send(mail_to())
            assert not session.is_open
            assert not server.mailbox.messages

    def test_a_certificate_of_another_host_ends_the_session(self, tls: Tls) -> None:
        with ScriptedServer(tls.server, EHLO=OFFERS_TLS) as server:
            port = server.address[1]
            with (
                blocking_session(("localhost", port), tls=tls.client) as session,
                pytest.raises(MailerUnavailable, match="localhost"),
            ):
                session.send(mail_to())

    def test_starttls_that_is_offered_but_fails_ends_the_session(self) -> None:
        with (
            ScriptedServer(EHLO=OFFERS_TLS, STARTTLS="454 not now") as server,
            blocking_session(server) as session,
        ):
            with pytest.raises(MailerUnavailable, match="454 not now"):
                session.send(mail_to())
            assert not session.is_open
            assert "MAIL" not in server.verbs()

    def test_what_the_server_offered_before_tls_is_forgotten(self, tls: Tls) -> None:
        with ScriptedServer(tls.server, EHLO=OFFERS_TLS) as server:
            with blocking_session(server, tls=tls.client) as session:
                session.send(mail_to())
            assert server.verbs() == [
                *("EHLO", "STARTTLS", "EHLO"),
                *("MAIL", "RCPT", "DATA", ".", "QUIT"),
            ]


class TestWithoutTls:
    """``?tls=off``"""

    def test_starttls_is_not_used(self) -> None:
        with (
            ScriptedServer(EHLO=OFFERS_TLS, STARTTLS="454 not now") as server,
            blocking_session(server, use_tls=False) as session,
        ):
            session.send(mail_to())
            assert server.verbs() == ["EHLO", "MAIL", "RCPT", "DATA", "."]

    def test_a_login_is_possible(self) -> None:
        with login_server(auth_require_tls=False) as server:
            options = {"use_tls": False, "user": USER, "password": PASSWORD}
            with blocking_session(server, **options) as session:
                session.send(mail_to())
            assert [user for _, user, _ in server.logins] == [USER.encode()]

    @pytest.mark.parametrize("address", ["9.9.9.9", "2620:fe::fe"])
    def test_a_name_that_leads_to_a_public_address_gets_nothing(
        self, address: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class PublicSocket(socket):
            def getpeername(self) -> tuple[str, int]:
                return address, 25

        async def connect_to_public(*args: Any, **options: Any) -> socket:
            return PublicSocket(fileno=(await start_connection(*args, **options)).detach())

        monkeypatch.setattr(smtp, "start_connection", connect_to_public)
        options = {"use_tls": False, "user": USER, "password": PASSWORD}
        with ScriptedServer(EHLO="250-here\r\n250 AUTH PLAIN") as server:
            with (
                blocking_session(server, **options) as session,
                pytest.raises(MailerUnavailable, match="private network only"),
            ):
                session.send(mail_to())
            assert not server.commands


class LoginServer(ScriptedServer):
    """Offers one mechanism; ``answers`` are its replies to AUTH and to each line after it."""

    def __init__(self, mechanism: str, *answers: str) -> None:
        super().__init__(EHLO=f"250-here\r\n250 AUTH {mechanism}")
        self.answers = [*answers]

    def reply_to(self, verb: str, conversation: Conversation) -> Reply:
        known = verb in {*self.replies, "MAIL", "RCPT", ".", "QUIT"}
        return super().reply_to(verb, conversation) if known else self.answers.pop(0)

    @property
    def login(self) -> list[str]:
        """What the client sent of its login."""
        lines = self.commands[1:]
        return lines[: next((i for i, line in enumerate(lines) if line[:4] == "MAIL"), len(lines))]


class TestMechanisms:
    """Each announced alone."""

    USERS = pytest.mark.parametrize(
        ("user", "password"), [(USER, PASSWORD), ("jürgen", "pässwörd €")], ids=["ASCII", "UTF-8"]
    )

    @USERS
    def test_plain(self, user: str, password: str) -> None:
        with LoginServer("PLAIN", "235 welcome") as server:
            with blocking_session(server, user=user, password=password) as session:
                session.send(mail_to())
            assert server.login == ["AUTH PLAIN " + encoded(f"\0{user}\0{password}")]

    @USERS
    def test_login(self, user: str, password: str) -> None:
        with LoginServer("LOGIN", "334 UGFzc3dvcmQ6", "235 welcome") as server:
            with blocking_session(server, user=user, password=password) as session:
                session.send(mail_to())
            assert server.login == [f"AUTH LOGIN {encoded(user)}", encoded(password)]

    @USERS
    def test_cram_md5(self, user: str, password: str) -> None:
        """RFC 2195."""
        challenge = "<1896.697170952@postoffice.example>"
        with LoginServer("CRAM-MD5", f"334 {encoded(challenge)}", "235 welcome") as server:
            with blocking_session(server, user=user, password=password) as session:
                session.send(mail_to())
            digest = hmac.digest(password.encode(), challenge.encode(), hashlib.md5).hex()
            assert server.login == ["AUTH CRAM-MD5", encoded(f"{user} {digest}")]

    def test_xoauth2(self, tmp_path: Path) -> None:
        """The file is read at each login, for tokens are good for an hour."""
        file = tmp_path / "token"
        file.write_text("ya29.first\n")
        with (
            LoginServer("XOAUTH2", "235 welcome", "235 welcome back") as server,
            blocking_session(server, user="jürgen@shop.example", token_file=file) as session,
        ):
            session.send(mail_to())
            server.replies["NOOP"] = "421 bye"
            file.write_text("ya29.second")
            session.keep_open()
            logins = [line for line in server.commands if line.startswith("AUTH")]
            assert [b64decode(line.rpartition(" ")[2]).decode() for line in logins] == [
                f"user=jürgen@shop.example\1auth=Bearer {token}\1\1"
                for token in ("ya29.first", "ya29.second")
            ]

    def test_a_token_that_the_server_rejects(self, tmp_path: Path) -> None:
        """It explains itself in a challenge, and takes an empty line for the reply."""
        (tmp_path / "token").write_text("ya29.expired")
        challenge = encoded('{"status":"400"}')
        with (
            LoginServer("XOAUTH2", f"334 {challenge}", "535 5.7.8 not accepted") as server,
            blocking_session(server, user=USER, token_file=tmp_path / "token") as session,
        ):
            with pytest.raises(MailerUnavailable, match=r"535 5\.7\.8 not accepted"):
                session.send(mail_to())
            assert server.commands[-1] == ""
            assert not session.is_open

    def test_a_token_that_cannot_be_read(self, tmp_path: Path) -> None:
        with (
            LoginServer("XOAUTH2") as server,
            blocking_session(server, user=USER, token_file=tmp_path / "none") as session,
        ):
            with pytest.raises(MailerUnavailable, match="No such file"):
                session.send(mail_to())
            assert not session.is_open

    def test_a_server_that_takes_no_tokens(self, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("ya29.first")
        with (
            LoginServer("PLAIN LOGIN") as server,
            blocking_session(server, user=USER, token_file=tmp_path / "token") as session,
        ):
            with pytest.raises(MailerUnavailable, match="XOAUTH2"):
                session.send(mail_to())
            assert server.verbs() == ["EHLO"]


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

    def test_a_right_password_is_accepted(
        self, server: CountingServer, mechanism: str, tls: Tls
    ) -> None:
        with blocking_session(server, **credentials(tls)) as session:
            session.send(mail_to())
        assert server.logins == [(mechanism, USER.encode(), PASSWORD.encode())]
        assert len(server.mailbox.messages) == 1

    @pytest.mark.parametrize("password", ["wrong", "pässwörd"])
    def test_a_wrong_password_is_rejected(
        self, server: CountingServer, password: str, tls: Tls
    ) -> None:
        with blocking_session(server, **credentials(tls, password=password)) as session:
            with pytest.raises(MailerUnavailable, match="535") as refusal:
                session.send(mail_to())
            assert not session.is_open
            assert password not in str(refusal.value)
            assert not server.mailbox.messages

    def test_many_mails_take_one_login(self, server: CountingServer, tls: Tls) -> None:
        with blocking_session(server, **credentials(tls)) as session:
            for _ in range(3):
                session.send(mail_to())
        assert len(server.logins) == 1

    def test_smtps_logs_in_too(self, tls: Tls) -> None:
        with login_server(ssl_context=tls.server, auth_require_tls=False) as server:
            options = {**credentials(tls), "implicit_tls": True}
            with blocking_session(server, **options) as session:
                session.send(mail_to())
            assert [password for _, _, password in server.logins] == [PASSWORD.encode()]

    def test_no_user_means_no_login(self, tls: Tls) -> None:
        with login_server(tls_context=tls.server) as server:
            with blocking_session(server, tls=tls.client) as session:
                session.send(mail_to())
            assert not server.logins

    @pytest.mark.parametrize("offer", ["250 SIZE", "250 AUTH GSSAPI"], ids=["no AUTH", "unknown"])
    def test_a_server_without_a_mechanism_of_ours(self, offer: str) -> None:
        with (
            ScriptedServer(EHLO=f"250-here\r\n{offer}") as server,
            blocking_session(server, user=USER, password=PASSWORD) as session,
        ):
            with pytest.raises(MailerUnavailable, match=r"(?i)auth"):
                session.send(mail_to())
            assert server.verbs() == ["EHLO"]

    @pytest.mark.parametrize(
        "replies",
        [
            {"EHLO": "250-here\r\n250 AUTH PLAIN LOGIN"},
            {
                "EHLO": "250-here\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN",
                "STARTTLS": "454 not now",
            },
            {
                "EHLO": "250-here\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN",
                "STARTTLS": "220 go ahead",
            },
        ],
        ids=["not offered", "refused", "not kept"],
    )
    def test_a_password_is_never_sent_without_tls(self, replies: dict[str, str]) -> None:
        options = {"require_tls": True, "timeout": SHORT_TIMEOUT}
        with ScriptedServer(**replies) as server:
            with (
                blocking_session(server, user=USER, password=PASSWORD, **options) as session,
                pytest.raises(MailerUnavailable),
            ):
                session.send(mail_to())
            assert not {"AUTH", "MAIL"} & set(server.verbs())

    def test_a_password_is_never_sent_to_a_server_without_a_valid_certificate(
        self, tls: Tls
    ) -> None:
        with login_server(tls_context=tls.server) as server:
            options = {"require_tls": True, "user": USER, "password": PASSWORD}
            with (
                blocking_session(server, **options) as session,
                pytest.raises(MailerUnavailable),
            ):
                session.send(mail_to())
            assert not server.logins


class TestReasons:
    """A server may repeat what it got; the reason for which it is unavailable does not."""

    @pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
    def test_password(self, mechanism: str) -> None:
        user = "annabel"
        with LoginServer(mechanism) as server:
            server.replies["AUTH"] = lambda: (
                f"535 not {server.commands[-1]} of {user} with {PASSWORD}"
            )
            reason = reason_of(server, user=user, password=PASSWORD)
        secrets = [user, PASSWORD, f"\0{user}\0{PASSWORD}"]
        assert "•••" in reason
        assert not any(secret in reason or encoded(secret) in reason for secret in secrets)

    def test_token(self, tmp_path: Path) -> None:
        user, file = "annabel", tmp_path / "token"
        with LoginServer("XOAUTH2") as server:
            server.replies["AUTH"] = lambda: (
                f"535 not {server.commands[-1]} with {file.read_text()}"
            )
            for token in ("ya29.first", "ya29.second"):
                file.write_text(token)
                reason = reason_of(server, user=user, token_file=file)
                assert "•••" in reason
                assert token not in reason
                assert server.commands[-1].rpartition(" ")[2] not in reason


class TestProbe:
    def test_it_reports_whether_the_session_is_encrypted(
        self, tls: Tls, mail_server: MailServer
    ) -> None:
        assert not probe(mail_server)
        with MailServer(tls_context=tls.server) as server:
            assert probe(server, tls=tls.client)
        with MailServer(ssl_context=tls.server) as server:
            assert probe(server, implicit_tls=True, tls=tls.client)

    @pytest.mark.parametrize(
        ("recipient", "verbs"),
        [
            (None, ["EHLO", "MAIL", "QUIT"]),
            ("jane@example.com", ["EHLO", "MAIL", "RCPT", "QUIT"]),
        ],
    )
    def test_it_goes_as_far_as_the_recipient(self, recipient: str | None, verbs: list[str]) -> None:
        with ScriptedServer() as server:
            probe(server, recipient=recipient)
            assert server.verbs() == verbs
            assert server.commands[1] == "MAIL FROM:<pay@shop.example>"

    @pytest.mark.parametrize(
        ("replies", "error"),
        [
            ({"greeting": "554 no mail here"}, MailerUnavailable),
            ({"MAIL": "550 no sender of ours"}, MailerUnavailable),
            ({"RCPT": "550 no such user"}, Refused),
            ({"RCPT": "450 later"}, Deferred),
        ],
        ids=["greeting", "sender", "recipient", "greylisting"],
    )
    def test_it_reports_what_is_wrong(
        self, replies: dict[str, str], error: type[Exception]
    ) -> None:
        with ScriptedServer(**replies) as server:
            with pytest.raises(error, match="|".join(replies.values())):
                probe(server)
            assert server.verbs()[-1:] in ([], ["QUIT"])


def credentials(tls: Tls, *, password: str = PASSWORD) -> dict[str, Any]:
    return {"require_tls": True, "user": USER, "password": password, "tls": tls.client}


def encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


def reason_of(server: Server, **options: Any) -> str:
    """The reason for which a session with the server cannot be opened."""
    with (
        blocking_session(server, **options) as session,
        pytest.raises(MailerUnavailable) as refusal,
    ):
        session.open()
    return str(refusal.value)
