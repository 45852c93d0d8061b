"""What ``payment-links up`` prints of mails that it writes to files."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.cli.up_output import describe_mail
from service.orgs.model import Profile
from service.otps.store import Otp
from service.values.languages import LANGUAGES
from tasks.mail.files import FileSession
from tasks.mail.mime import Mail
from tasks.mail_kinds.link_mails import compose_link_mail
from tasks.mail_kinds.otp_mails import compose_otp_mail
from tests.support.delivery_harness import SENDER
from tests.support.factories import make_link
from tests.support.smtp_setup import lease_is_held

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
CODE = "042817"
NAMES = ["Acme", "http://x/pay/1", "http://x/pay/pl_00" + "0" * 22, "X-Payment-Links-Kind: link"]


def described(directory: Path, mail: Mail) -> str:
    asyncio.run(FileSession(directory).send(mail, lease_is_held))
    [path] = directory.glob("*.eml")
    return describe_mail(path).removesuffix(f" ({path})")


@pytest.mark.parametrize("locale", LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_a_code_is_never_printed(tmp_path: Path, name: str, locale: str) -> None:
    otp = Otp("jane@example.com", b"n" * 16, NOW + timedelta(minutes=10), 0, "acme", locale)
    mail = compose_otp_mail(otp, CODE, profile=Profile(display_name=name), sender=SENDER, now=NOW)
    line = described(tmp_path, mail)
    assert line.startswith("mail to j***@example.com: ")
    assert "••••••" in line
    assert not any(digit in line for digit in CODE)


@pytest.mark.parametrize("name", NAMES)
def test_a_link_is_printed_whatever_its_organization_is_called(tmp_path: Path, name: str) -> None:
    link = make_link(NOW)
    url, profile = f"https://pay.example/pay/{link.id}", Profile(display_name=name)
    mail = compose_link_mail(link, profile=profile, url=url, sender=SENDER, now=NOW)
    assert (
        described(tmp_path, mail) == f"mail to j***@example.com: Payment link from {name} - {url}"
    )
