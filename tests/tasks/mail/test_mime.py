"""E-mails as bytes read as those of ``EmailMessage`` do."""

import email
import email.policy
import re
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

import pytest

from tasks.mail.mime import Mail, build_mail
from tests.support.delivery_harness import SENDER, received

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
TEXT, HTML = "Hello,\n\n.hidden\nFrom here on\n", "<p>Größe</p>\n" * 20


def mail(**fields: Any) -> Mail:
    defaults: dict[str, Any] = {
        "sender": SENDER,
        "recipient": "jane@example.com",
        "subject": "A link",
        "identity": "1",
        "kind": "link",
    }
    return build_mail(**{"text": TEXT, "html": HTML, **defaults, **fields}, date=NOW)


@pytest.mark.parametrize("text", [TEXT, TEXT + "Größe = 😀\n"], ids=["ASCII", "UTF-8"])
@pytest.mark.parametrize("logo", [None, ("png", bytes(range(256)))], ids=["plain", "with a logo"])
def test_it_is_read_as_what_an_email_message_is(text: str, logo: tuple[str, bytes] | None) -> None:
    """Headers, the tree of parts, and their contents."""
    written, expected = mail(text=text, logo=logo), EmailMessage()
    expected["From"] = Address("Shop", addr_spec="pay@shop.example")
    expected["To"] = "jane@example.com"
    expected["Subject"] = "A link"
    expected["Date"] = format_datetime(NOW)
    expected["Message-ID"] = written.message_id
    expected["Auto-Submitted"] = "auto-generated"
    expected["X-Auto-Response-Suppress"] = "All"
    expected["X-Payment-Links-Kind"] = "link"
    expected.set_content(text)
    expected.add_alternative(HTML, subtype="html")
    if logo is not None:
        [_, page] = expected.iter_parts()
        assert isinstance(page, EmailMessage)
        page.add_related(logo[1], "image", logo[0], cid="<logo>", disposition="inline")
    expected["Content-Language"] = "en"  # the first part takes those that are there before
    read, expected = (
        received(written),
        email.message_from_bytes(
            expected.as_bytes(policy=email.policy.SMTP), policy=email.policy.default
        ),
    )
    assert headers_of(read) == headers_of(expected)
    assert contents_of(read) == contents_of(expected)


def headers_of(message: EmailMessage) -> dict[str, str]:
    return {
        name: str(value)
        for name, value in message.items()
        if name not in {"Content-Type", "MIME-Version"}
    }


def contents_of(message: EmailMessage) -> list[tuple[object, ...]]:
    """Of each part; of texts their lines, for the line ends of a base64 part are its own."""
    contents: list[tuple[object, ...]] = []
    for part in message.walk():
        assert isinstance(part, EmailMessage)
        content = None if part.is_multipart() else part.get_content()
        contents.append(
            (
                part.get_content_type(),
                part["Content-ID"],
                part["Content-Disposition"],
                content.splitlines() if isinstance(content, str) else content,
            )
        )
    return contents


@pytest.mark.parametrize("text", ["x" * 999, "\0", "a\x1b[31m", "a\rb"], ids=repr)
def test_a_text_that_smtp_does_not_take_is_encoded(text: str) -> None:
    content = mail(text=text).content
    assert b"quoted-printable" in content
    assert re.fullmatch(rb"([ -~]{0,998}\r\n)*[ -~]{0,998}", content)


def test_encoded_text_has_lines_of_76() -> None:
    text = ("ü " * 200 + "\n") * 2
    part = mail(text=text).content.split(b"quoted-printable\r\n\r\n")[1].partition(b"\r\n--=_")[0]
    assert max(map(len, part.split(b"\r\n"))) <= 76


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
def test_a_subject_outside_ascii_or_long_is_encoded_in_lines_of_76(subject: str) -> None:
    written = mail(subject=subject)
    header = written.content[written.content.index(b"Subject: ") : written.content.index(b"Date: ")]
    assert received(written)["Subject"] == subject
    assert header.isascii()
    assert max(map(len, header.split(b"\r\n"))) <= 76


@pytest.mark.parametrize("field", ["subject", "kind", "language"])
def test_no_value_brings_a_header(field: str) -> None:
    attack = "=?utf-8?q?x?=\r\nBcc: evil@example.com\r\n\r\nHello"
    assert received(mail(**{field: attack})).keys() == received(mail()).keys()


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
