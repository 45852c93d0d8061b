"""Settings of mail servers."""

import pytest

from config.urls import SmtpSettings
from tests.config.test_settings import REQUIRED, refusal, settings


class TestSmtp:
    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            (
                "smtp://mail.example",
                SmtpSettings("mail.example", 587, implicit_tls=False, require_tls=False),
            ),
            (
                "smtp://mail.example:25",
                SmtpSettings("mail.example", 25, implicit_tls=False, require_tls=False),
            ),
            (
                "smtps://mail.example",
                SmtpSettings("mail.example", 465, implicit_tls=True, require_tls=False),
            ),
            (
                "smtps://mail.example:2465",
                SmtpSettings("mail.example", 2465, implicit_tls=True, require_tls=False),
            ),
            ("smtp://[::1]:2525", SmtpSettings("::1", 2525, implicit_tls=False, require_tls=False)),
            (
                "smtp://ann:secret@mail.example",
                SmtpSettings(
                    "mail.example",
                    587,
                    implicit_tls=False,
                    require_tls=True,
                    user="ann",
                    password="secret",
                ),
            ),
            (
                "smtps://ann%40shop.example:p%2Fa%3As%C3%A9@mail.example",
                SmtpSettings(
                    "mail.example",
                    465,
                    implicit_tls=True,
                    require_tls=True,
                    user="ann@shop.example",
                    password="p/a:sé",
                ),
            ),
        ],
        ids=[
            "plain",
            "port",
            "implicit TLS",
            "implicit TLS with port",
            "IPv6",
            "password",
            "escapes",
        ],
    )
    def test_a_url_is_taken_apart(self, url: str, expected: SmtpSettings) -> None:
        assert settings(SMTP_URL=url, MAIL_FROM="pay@shop.example").smtp == expected

    def test_it_needs_a_sender(self) -> None:
        assert refusal({**REQUIRED, "SMTP_URL": "smtp://mail.example"}) == "MAIL_FROM: required"
