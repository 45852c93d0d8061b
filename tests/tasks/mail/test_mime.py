"""Our MIME messages equal those of ``EmailMessage``."""

import email.policy
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

import pytest

from tasks.mail.mime import Mail, build_mail
from tests.support.delivery_harness import received

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
TEXT, HTML = "Hello,\n\n.hidden\nFrom here on\n", "<p>Größe</p>\n" * 20


def mail(**fields: Any) -> Mail:
    defaults: dict[str, Any] = {
        "sender": "Shop <pay@shop.example>",
        "recipient": "jane@example.com",
        "subject": "A link",
        "identity": "1",
        "kind": "link",
    }
    return build_mail(**{"text": TEXT, "html": HTML, **defaults, **fields}, date=NOW)


def as_email_message(mail: Mail, *, name: str, subject: str) -> bytes:
    message = EmailMessage()
    message["From"] = Address(display_name=name, addr_spec=mail.sender)
    message["To"] = Address(addr_spec=mail.recipient)
    message["Subject"] = subject
    message["Date"] = format_datetime(NOW)
    message["Message-ID"] = mail.message_id
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(TEXT, cte="7bit")
    message.add_alternative(HTML, subtype="html", cte="base64")
    message.set_boundary(f"=_{mail.message_id[1:33]}")
    return message.as_bytes(policy=email.policy.SMTP)


@pytest.mark.parametrize("subject", ["acme asks you for $12.50", "x" * 69], ids=["short", "a line"])
def test_it_is_what_an_email_message_is(subject: str) -> None:
    """Except for the MIME-Version of parts, which is ignored (RFC 2045, 4), and our own fields."""
    written = mail(subject=subject)
    expected = as_email_message(written, name="Shop", subject=subject)
    assert written.content == expected.replace(
        b"base64\r\nMIME-Version: 1.0\r\n", b"base64\r\n"
    ).replace(
        b"\r\nMIME-Version",
        b"\r\nX-Payment-Links-Kind: link\r\nContent-Language: en\r\nMIME-Version",
    )


@pytest.mark.parametrize(
    "subject",
    [
        "acme asks you for €1,234.50",
        "€5",
        "é and ü",
        "ü" * 9,
        "o" * 64 + " asks you for €12.50",
        "ü" * 90,
        "o " * 45 + "o",
        "o" * 90,
    ],
    ids=[
        "amount",
        "nothing else",
        "several",
        "one word",
        "two lines",
        "long",
        "ASCII",
        "one long word",
    ],
)
def test_a_subject_outside_ascii_or_long_is_encoded_in_lines_of_78(subject: str) -> None:
    written = mail(subject=subject)
    header = written.content[written.content.index(b"Subject: ") : written.content.index(b"Date: ")]
    assert received(written)["Subject"] == subject
    assert header.isascii()
    assert max(map(len, header.split(b"\r\n"))) <= 78


@pytest.mark.parametrize(
    ("sender", "name"),
    [("Café Zoë <pay@shop.example>", "Café Zoë"), ('"A, B" <pay@shop.example>', "A, B")],
)
def test_so_is_its_sender(sender: str, name: str) -> None:
    [address] = received(mail(sender=sender))["From"].addresses
    assert (address.display_name, address.addr_spec) == (name, "pay@shop.example")


@pytest.mark.parametrize(
    "recipient",
    [
        "jane",
        "a@b.example, c@d.example",
        "jane@example.com\r\nBcc: a@b.example",
        "",
        "j é@x.example",
        "=?utf-8?q?a?=@b.example",
    ],
)
def test_a_recipient_is_one_address(recipient: str) -> None:
    with pytest.raises(ValueError, match="To is not one address"):
        mail(recipient=recipient)
