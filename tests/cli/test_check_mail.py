"""``payment-links check`` tells whether the mail server takes mail from us, and to whom."""

from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.support.cli_runner import results_of, run, run_check
from tests.support.scripted_smtp import ScriptedServer
from tests.support.servers import MailServer, RedisServer, free_port
from tests.support.tls import Tls, self_signed

SENDER, JANE = "pay@shop.example", "jane@example.com"
OWN_AUTHORITY, NO_TLS = "SMTP_CA_FILE", "?tls=off"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return self_signed(tmp_path_factory.mktemp("tls"))


class Check:
    """Runs ``check`` for a mail server, and keeps what it printed."""

    def __init__(self, redis_url: str) -> None:
        self._redis_url = redis_url

    def __call__(self, url: str, to: str | None = None, **environ: str) -> tuple[str, str]:
        options = ["--to", to] if to else []
        self.result = run_check(
            *options, REDIS_URL=self._redis_url, SMTP_URL=url, MAIL_FROM=SENDER, **environ
        )
        return results_of(self.result)["mail"]


@pytest.fixture
def check(valkey: RedisServer) -> Check:
    return Check(valkey.url)


def url_of(server: ScriptedServer, login: str = "", scheme: str = "smtp") -> str:
    return f"{scheme}://{login}127.0.0.1:{server.address[1]}"


def test_mails_as_files_are_a_warning(valkey: RedisServer, tmp_path: Path) -> None:
    status, detail = results_of(run_check("--to", JANE, REDIS_URL=valkey.url))["mail"]
    assert (status, str(tmp_path / "outbox") in detail) == ("warn", True)


def test_without_an_address_it_goes_as_far_as_the_sender(check: Check) -> None:
    with ScriptedServer() as server:
        status, detail = check(url_of(server))
        assert server.commands[1:-1] == [f"MAIL FROM:<{SENDER}>"]
    assert (status, detail) == (
        "warn",
        f"127.0.0.1:{server.address[1]} takes mail from {SENDER} (without TLS)",
    )


def test_with_an_address_it_goes_as_far_as_the_recipient(check: Check) -> None:
    with ScriptedServer() as server:
        _, detail = check(url_of(server), JANE)
        assert server.commands[1:-1] == [f"MAIL FROM:<{SENDER}>", f"RCPT TO:<{JANE}>"]
    assert detail.endswith(f" takes mail from {SENDER} to {JANE} (without TLS)")


def test_the_envelope_is_that_of_our_mails(check: Check) -> None:
    with ScriptedServer() as server:
        check(url_of(server), "jane@bücher.example", MAIL_BOUNCES_TO="bounces@shop.example")
        assert server.commands[1:-1] == [
            "MAIL FROM:<bounces@shop.example>",
            "RCPT TO:<jane@xn--bcher-kva.example>",
        ]


def test_an_encrypted_session_is_ok_and_nothing_is_sent(check: Check, tls: Tls) -> None:
    with MailServer(tls_context=tls.server, require_starttls=True) as server:
        status, detail = check(server.url, JANE, SMTP_CA_FILE=str(tls.certificate))
        assert server.mailbox.messages == []
    assert (status, detail) == (
        "ok",
        f"127.0.0.1:{server.port} takes mail from {SENDER} to {JANE} (TLS)",
    )


@pytest.mark.parametrize(
    ("command", "reply", "status", "envelope", "reason"),
    [
        ("MAIL", "553 5.7.1 not yours", "FAIL", f"from {SENDER}", "553 5.7.1 not yours"),
        ("MAIL", "451 4.3.0 later", "FAIL", f"from {SENDER}", "451 4.3.0 later"),
        ("RCPT", "554 5.7.1 relay denied", "FAIL", f"to {JANE}", "554 5.7.1 relay denied"),
        ("RCPT", "450 4.2.0 greylisted", "warn", f"to {JANE} for now", "450 4.2.0 greylisted"),
        ("RCPT", "554-5.7.1 see\r\n554 5.7.1 below", "FAIL", f"to {JANE}", "5.7.1 below"),
        ("greeting", "554 no", "FAIL", f"from {SENDER}", "554 no"),
    ],
    ids=["sender", "sender for now", "recipient", "recipient for now", "two lines", "greeting"],
)
def test_a_refusal_is_told_with_what_was_refused(
    check: Check, command: str, reply: str, status: str, envelope: str, reason: str
) -> None:
    with ScriptedServer(**{command: reply}) as server:
        found, detail = check(url_of(server), JANE)
    assert found == status
    assert f"{envelope}: " in detail
    assert detail.endswith(reason)


class TestTls:
    @pytest.mark.parametrize("scheme", ["smtp", "smtps"])
    def test_a_certificate_of_an_unknown_authority_fails(
        self, check: Check, tls: Tls, scheme: str
    ) -> None:
        option = "tls_context" if scheme == "smtp" else "ssl_context"
        options: dict[str, Any] = {option: tls.server}
        with MailServer(**options) as server:
            status, detail = check(f"{scheme}://127.0.0.1:{server.port}")
        assert (status, OWN_AUTHORITY in detail, NO_TLS in detail) == ("FAIL", True, True)
        assert f"takes no mail from {SENDER}: SSLCertVerificationError: " in detail

    def test_it_is_not_looked_at_without_tls(self, check: Check, tls: Tls) -> None:
        with MailServer(tls_context=tls.server) as server:
            status, detail = check(f"{server.url}{NO_TLS}", JANE)
        assert (status, detail[-13:]) == ("warn", "(without TLS)")

    def test_a_certificate_of_another_host_fails(self, check: Check, tls: Tls) -> None:
        with ScriptedServer(tls.server, EHLO="250-here\r\n250 STARTTLS") as server:
            url = f"smtp://localhost:{server.address[1]}"
            status, detail = check(url, SMTP_CA_FILE=str(tls.certificate))
        assert (status, OWN_AUTHORITY in detail) == ("FAIL", False)
        assert "SMTP_URL must name the host" in detail

    def test_smtps_where_there_is_none_fails(self, check: Check, mail_server: MailServer) -> None:
        status, detail = check(f"smtps://127.0.0.1:{mail_server.port}")
        assert (status, "smtp:// uses STARTTLS" in detail) == ("FAIL", True)

    def test_a_password_is_not_sent_without(self, check: Check) -> None:
        with ScriptedServer(EHLO="250-here\r\n250 AUTH PLAIN LOGIN") as server:
            # Not a spelling of this machine's address that settings know as such.
            status, detail = check(f"smtp://ann:hunter2@127.1:{server.address[1]}")
            assert "AUTH" not in server.verbs()
        assert (status, NO_TLS in detail) == ("FAIL", True)
        assert_secret_free(check.result, "hunter2")


def test_a_wrong_password_fails_and_is_not_printed(check: Check) -> None:
    token = b64encode(b"\0anna\0hunter2").decode()
    reply = f"535 5.7.8 anna, hunter2 is wrong: {token}"
    with ScriptedServer(EHLO="250-here\r\n250 AUTH PLAIN", AUTH=reply) as server:
        status, detail = check(url_of(server, "anna:hunter2@"))
    assert (status, "535 5.7.8" in detail) == ("FAIL", True)
    assert_secret_free(check.result, "anna", "hunter2", token)


@pytest.mark.parametrize("command", ["MAIL", "RCPT"])
def test_the_login_is_not_printed_where_a_refusal_names_it(check: Check, command: str) -> None:
    reply = "553 5.7.1 Sender address rejected: not owned by user anna"
    with ScriptedServer(
        EHLO="250-here\r\n250 AUTH PLAIN", AUTH="235 welcome", **{command: reply}
    ) as server:
        status, detail = check(url_of(server, "anna:hunter2@"), JANE)
    assert (status, "not owned by user" in detail) == ("FAIL", True)
    assert_secret_free(check.result, "anna", "hunter2")


def test_a_missing_token_fails(check: Check, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    with ScriptedServer(EHLO="250-here\r\n250 AUTH XOAUTH2") as server:
        status, detail = check(f"{url_of(server, 'anna@')}?token_file={token_file}")
    assert (status, str(token_file) in detail) == ("FAIL", True)


def test_an_unavailable_server_fails(check: Check) -> None:
    port = free_port()
    status, detail = check(f"smtp://127.0.0.1:{port}")
    assert status == "FAIL"
    assert detail.startswith(f"127.0.0.1:{port} takes no mail from {SENDER}: ")


@pytest.mark.parametrize("to", ["jane", "jane@", "Jane <jane@example.com>", ""])
def test_what_is_no_address_is_refused(to: str) -> None:
    result = run("check", "--to", to)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--to: " in result.stderr


def test_a_liveness_probe_sends_no_envelope() -> None:
    assert run("check", "--worker", "--to", JANE).exit_code == 2


def assert_secret_free(result: Result, *secrets: str) -> None:
    assert [secret for secret in secrets if secret in result.output] == []
