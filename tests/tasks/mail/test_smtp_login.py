"""TLS and the login: only the right server gets the password and e-mails."""

from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest

from tasks.mail.mailer import (
    MailerUnavailable,
)
from tests.support.scripted_smtp import ScriptedServer
from tests.support.servers import MailServer
from tests.support.smtp_setup import (
    PASSWORD,
    USER,
    CountingServer,
    login_server,
    mail_to,
    mailer_for,
)
from tests.support.tls import Tls


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
    def test_an_untrusted_certificate_ends_the_session(self, tls: Tls, implicit: bool) -> None:
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

    def test_a_probe_reports_whether_the_session_is_encrypted(
        self, tls: Tls, mail_server: MailServer
    ) -> None:
        assert not mailer_for(mail_server).check_login_and_tls()
        with MailServer(tls_context=tls.server) as server:
            assert mailer_for(server, tls=tls.client).check_login_and_tls()
        with MailServer(ssl_context=tls.server) as server:
            assert mailer_for(server, implicit_tls=True, tls=tls.client).check_login_and_tls()


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
        with mailer_for(
            server, require_tls=True, user=USER, password=PASSWORD, tls=tls.client
        ) as mailer:
            mailer.send(mail_to())
        assert server.logins == [(mechanism, USER.encode(), PASSWORD.encode())]
        assert len(server.mailbox.messages) == 1

    def test_a_wrong_password_is_rejected(self, server: CountingServer, tls: Tls) -> None:
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
        """It is UTF-8 (RFC 4616). Whether or not the server agrees, the worker goes on."""
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

    def test_a_password_is_never_sent_to_a_server_without_a_valid_certificate(
        self, tls: Tls
    ) -> None:
        with login_server(tls_context=tls.server) as server:
            with (
                mailer_for(server, require_tls=True, user=USER, password=PASSWORD) as mailer,
                pytest.raises(MailerUnavailable),
            ):
                mailer.send(mail_to())
            assert not server.logins
