"""Settings of mail servers."""

from pathlib import Path

import pytest

from config.urls import SmtpSettings
from tests.config.test_settings import REQUIRED, refusal, settings
from tests.support.tls import self_signed


def smtp(url: str) -> SmtpSettings:
    found = settings(SMTP_URL=url, MAIL_FROM="pay@shop.example").smtp
    assert found is not None
    return found


URLS = {
    "smtp://mail.example": SmtpSettings("mail.example", 587),
    "smtp://mail.example:25": SmtpSettings("mail.example", 25),
    "smtps://mail.example": SmtpSettings("mail.example", 465, implicit_tls=True),
    "smtps://mail.example:2465": SmtpSettings("mail.example", 2465, implicit_tls=True),
    "smtp://[::1]:2525": SmtpSettings("::1", 2525),
    "smtp://ann:secret@mail.example": SmtpSettings(
        "mail.example", 587, user="ann", password="secret"
    ),
    "smtps://ann%40shop.example:p%2Fa%3As%C3%A9@mail.example": SmtpSettings(
        "mail.example", 465, implicit_tls=True, user="ann@shop.example", password="p/a:sé"
    ),
    "smtp://mail:25?tls=off": SmtpSettings("mail", 25, use_tls=False),
    "smtp://ann@mail.example?token_file=/run/tok%2Ben": SmtpSettings(
        "mail.example", 587, user="ann", token_file=Path("/run/tok+en")
    ),
    "smtps://ann@mail.example?token_file=token": SmtpSettings(
        "mail.example", 465, implicit_tls=True, user="ann", token_file=Path("token")
    ),
}


@pytest.mark.parametrize(("url", "expected"), URLS.items(), ids=URLS)
def test_a_url_is_taken_apart(url: str, expected: SmtpSettings) -> None:
    assert smtp(url) == expected


def test_a_server_needs_a_sender() -> None:
    assert refusal({**REQUIRED, "SMTP_URL": "smtp://mail.example"}) == "MAIL_FROM: required"


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "[::1]", "10.1.2.3", "172.31.0.1", "192.168.1.1", "[fd00::1]"),
        *("localhost", "LOCALHOST", "mail", "mail-1", "mail.local", "mail.corp.internal"),
        *("mail.lan", "mail.home.arpa", "169.254.1.1", "[fe80::1]"),
    ],
)
def test_tls_may_be_off_on_a_private_network(host: str) -> None:
    assert not smtp(f"smtp://{host}?tls=off").use_tls


@pytest.mark.parametrize(
    "host",
    [
        *("mail.example", "8.8.8.8", "172.32.0.1", "[2001:db8::1]", "[::ffff:8.8.8.8]"),
        *("192.0.2.1", "0.0.0.0", "134744072", "0x08080808", "8。8。8。8", "127.1"),
        *("internal.example", "mail.local.example", "maillan.example"),
    ],
)
def test_tls_is_never_off_elsewhere(host: str) -> None:
    environ = {"SMTP_URL": f"smtp://{host}?tls=off", "MAIL_FROM": "pay@shop.example"}
    message = "SMTP_URL: tls=off is only for a host on a private network"
    assert refusal({**REQUIRED, **environ}) == message


@pytest.mark.parametrize(
    ("url", "required"),
    [
        ("smtp://ann:secret@mail.example", True),
        ("smtps://ann:secret@mail.example", True),
        ("smtp://ann@mail.example?token_file=/run/token", True),
        ("smtp://ann:secret@10.0.0.1", True),
        ("smtp://ann:secret@127.0.0.1.example", True),
        ("smtp://mail.example", False),
        ("smtp://ann:secret@10.0.0.1?tls=off", False),
        ("smtp://ann:secret@localhost", False),
        ("smtp://ann:secret@127.0.0.2", False),
        ("smtp://ann@[::1]?token_file=/run/token", False),
    ],
)
def test_tls_is_required_where_a_secret_would_leave_this_machine(url: str, required: bool) -> None:
    assert smtp(url).require_tls is required


@pytest.mark.parametrize(
    ("public_url", "name"),
    [
        ("https://pay.shop.example:8443/links", "pay.shop.example"),
        ("https://müller.example", "xn--mller-kva.example"),
        ("http://192.0.2.1", "[192.0.2.1]"),
        ("http://[2001:db8::1]:8000", "[IPv6:2001:db8::1]"),
        ("", "[127.0.0.1]"),
    ],
)
def test_the_name_in_ehlo_is_the_host_of_the_public_url(public_url: str, name: str) -> None:
    assert settings(PUBLIC_URL=public_url).smtp_helo == name


def test_a_public_host_without_a_name_for_ehlo_needs_one() -> None:
    environ = {**REQUIRED, "PUBLIC_URL": "https://pay!.example"}
    message = "SMTP_HELO: required, for no mail server takes the host of PUBLIC_URL"
    assert refusal(environ) == message
    assert settings(**environ, SMTP_HELO="pay.example").smtp_helo == "pay.example"


def test_bounces_go_to_the_address_in_mail_from() -> None:
    assert settings().mail_bounces_to == "payment-links@localhost"
    assert settings(MAIL_FROM='"A, B" <pay@shop.example>').mail_bounces_to == "pay@shop.example"


class TestAuthorities:
    def test_certificates_are_taken(self, tmp_path: Path) -> None:
        certificate = self_signed(tmp_path).certificate
        assert settings(SMTP_CA_FILE=str(certificate)).smtp_ca_file == certificate

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (None, "No such file or directory"),
            ("", "must be a file of certificates in PEM"),
            ("hunter2", "must be a file of certificates in PEM"),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "must be a file of certificates in PEM",
            ),
        ],
        ids=["no file", "empty", "text", "no certificate"],
    )
    def test_another_file_is_refused(
        self, tmp_path: Path, content: str | None, message: str
    ) -> None:
        path = tmp_path / "ca.pem"
        if content is not None:
            path.write_text(content)
        assert refusal({**REQUIRED, "SMTP_CA_FILE": str(path)}) == f"SMTP_CA_FILE: {message}"
