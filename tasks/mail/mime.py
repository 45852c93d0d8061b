"""Builds e-mails as bytes: ``email.message.EmailMessage`` takes twenty times as long."""

import hashlib
import re
from base64 import encodebytes
from binascii import b2a_qp
from datetime import datetime
from email.utils import format_datetime, parseaddr
from functools import lru_cache

import msgspec

from tasks.mail.headers import address_field, text_field

KIND_HEADER = "X-Payment-Links-Kind"
"""Names the kind of an e-mail, ``link`` or ``otp``, so that no program guesses it from the text."""
BARE_LINE_BREAK = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")
"""Ends a line for some parsers of a header, and not for others."""
SEVEN_BIT = re.compile(r"[\n\x20-\x7e]*")


class Mail(msgspec.Struct, frozen=True):
    """An e-mail and its envelope.

    ``content`` is ASCII. Its lines end with CRLF, and none is longer than SMTP allows.
    """

    sender: str
    recipient: str
    message_id: str
    content: bytes


def build_mail(
    *,
    sender: str,
    recipient: str,
    subject: str,
    date: datetime,
    identity: str,
    kind: str,
    text: str,
    html: str,
    sender_name: str | None = None,
    reply_to: str | None = None,
    language: str = "en",
    logo: tuple[str, bytes] | None = None,
) -> Mail:
    """An e-mail with a text and an HTML version (RFC 2046, 5.1.4), in ``language`` (RFC 3282).

    The Message-ID is a digest of ``identity``: logs of mail servers must not contain what opens a
    link. The HTML refers to ``logo``, an image's type and bytes, as ``cid:logo`` (RFC 2392).
    ``sender_name`` replaces the name in ``sender``.

    Raises:
        ValueError: ``sender``, ``recipient`` or ``reply_to`` is not one address.
    """
    from_field, address = _from_field(sender, sender_name)
    digest = hashlib.sha256(identity.encode()).hexdigest()[:32]
    message_id = f"<{digest}@{address.rpartition('@')[2]}>"
    head = [
        from_field,
        address_field("Reply-To", reply_to) if reply_to else "",
        address_field("To", recipient),
        text_field("Subject", subject),
        f"Date: {format_datetime(date)}\r\n",
        f"Message-ID: {message_id}\r\n",
        "Auto-Submitted: auto-generated\r\n",
        text_field(KIND_HEADER, kind),
        text_field("Content-Language", language),
        "MIME-Version: 1.0\r\n",
    ]
    html_part = _part("html", "base64", encodebytes(html.encode()))
    if logo is not None:
        html_part = _multipart("related", f"r={digest}", html_part, _logo_part(*logo))
    body = _multipart("alternative", f"=_{digest}", _text_part(text), html_part)
    return Mail(address, recipient, message_id, "".join(head).encode() + body)


@lru_cache(maxsize=1024)
def _from_field(sender: str, name: str | None) -> tuple[str, str]:
    """The From field, and the address in it."""
    own_name, address = parseaddr(sender)
    return address_field("From", address, name or own_name), address


def _multipart(subtype: str, boundary: str, *parts: bytes) -> bytes:
    """RFC 2046, 5.1."""
    head = f'Content-Type: multipart/{subtype};\r\n boundary="{boundary}"\r\n\r\n'.encode()
    return f"--{boundary}\r\n".encode().join([head, *parts]) + f"--{boundary}--\r\n".encode()


def _text_part(text: str) -> bytes:
    lines = b"\n".join(text.encode().splitlines()) + b"\n"
    if SEVEN_BIT.fullmatch(text):
        return _part("plain", "7bit", lines)
    return _part("plain", "quoted-printable", b2a_qp(lines, istext=True))


def _logo_part(image_type: str, image: bytes) -> bytes:
    head = "Content-Transfer-Encoding: base64\nContent-ID: <logo>\nContent-Disposition: inline\n\n"
    body = (head.encode() + encodebytes(image) + b"\n").replace(b"\n", b"\r\n")
    return text_field("Content-Type", f"image/{image_type}").encode() + body


def _part(subtype: str, encoding: str, body: bytes) -> bytes:
    head = (
        f'Content-Type: text/{subtype}; charset="utf-8"\nContent-Transfer-Encoding: {encoding}\n\n'
    )
    return (head.encode() + body + b"\n").replace(b"\n", b"\r\n")
