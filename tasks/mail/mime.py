"""E-mails as they go over the wire, written at once: ``EmailMessage`` takes twenty times as long to say the same."""

import hashlib
import re
from base64 import encodebytes
from binascii import b2a_qp
from datetime import datetime
from email.utils import format_datetime, parseaddr
from functools import lru_cache

import msgspec

from tasks.mail.headers import address_field, is_address, text_field

KIND = "X-Payment-Links-Kind"
"""The header that says what a mail brings: ``link`` or ``otp``."""
BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")
"""What ends a line for some readers of a head, and not for others."""
SEVEN_BIT = re.compile(r"[\n\x20-\x7e]*")


class Mail(msgspec.Struct, frozen=True):
    """An e-mail and its envelope. ``content`` is ASCII, its lines end with CRLF, and none is longer than SMTP takes."""

    sender: str
    recipient: str
    message_id: str
    content: bytes


def write(
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
    """A mail whose text and HTML say the same (RFC 2046, 5.1.4), in ``language`` (RFC 3282).

    ``identity`` becomes the Message-ID, through a digest: mail servers' logs are no place for what opens a link. ``kind`` stands in
    a header of ours, so that nobody has to guess it from the text. The HTML shows ``logo``, a kind of image and its file, as
    ``cid:logo`` (RFC 2392). ``sender_name`` stands in place of the sender's own.

    Raises:
        ValueError: ``sender``, ``recipient`` or ``reply_to`` is not one address.
    """
    origin, address = _origin(sender, sender_name)
    digest = hashlib.sha256(identity.encode()).hexdigest()[:32]
    message_id = f"<{digest}@{address.rpartition('@')[2]}>"
    head = (
        f"{origin}{address_field('Reply-To', reply_to) if reply_to else ''}{address_field('To', recipient)}"
        f"{text_field('Subject', subject)}Date: {format_datetime(date)}\r\nMessage-ID: {message_id}\r\n"
        f"Auto-Submitted: auto-generated\r\n{text_field(KIND, kind)}{text_field('Content-Language', language)}MIME-Version: 1.0\r\n"
    )
    page = (
        _html(html)
        if logo is None
        else _several("related", f"r={digest}", _html(html), _picture(*logo))
    )
    return Mail(
        address,
        recipient,
        message_id,
        head.encode() + _several("alternative", f"=_{digest}", _plain(text), page),
    )


def fault_of(mail: Mail) -> str | None:
    """Why ``mail``, however it was made, must not be handed over: one that says more than it should to some readers of it."""
    if not (is_address(mail.sender) and is_address(mail.recipient)):
        return "its sender or recipient is not one address"
    if BARE.search(mail.content.partition(b"\r\n\r\n")[0]):
        return "its head holds a bare CR, LF or NUL"
    return None


def _several(subtype: str, boundary: str, *parts: bytes) -> bytes:
    """A multipart (RFC 2046, 5.1)."""
    head = f'Content-Type: multipart/{subtype};\r\n boundary="{boundary}"\r\n\r\n'.encode()
    return f"--{boundary}\r\n".encode().join([head, *parts]) + f"--{boundary}--\r\n".encode()


@lru_cache(maxsize=1024)
def _origin(sender: str, name: str | None) -> tuple[str, str]:
    """The From header, and the address in it."""
    own_name, address = parseaddr(sender)
    return address_field("From", address, name or own_name), address


def _plain(text: str) -> bytes:
    lines = b"\n".join(text.encode().splitlines()) + b"\n"
    encoding, body = (
        ("7bit", lines)
        if SEVEN_BIT.fullmatch(text)
        else ("quoted-printable", b2a_qp(lines, istext=True))
    )
    return _part("plain", encoding, body)


def _html(html: str) -> bytes:
    return _part("html", "base64", encodebytes(html.encode()))


def _picture(kind: str, file: bytes) -> bytes:
    head = "Content-Transfer-Encoding: base64\nContent-ID: <logo>\nContent-Disposition: inline\n\n"
    body = (head.encode() + encodebytes(file) + b"\n").replace(b"\n", b"\r\n")
    return text_field("Content-Type", f"image/{kind}").encode() + body


def _part(subtype: str, encoding: str, body: bytes) -> bytes:
    head = (
        f'Content-Type: text/{subtype}; charset="utf-8"\nContent-Transfer-Encoding: {encoding}\n\n'
    )
    return (head.encode() + body + b"\n").replace(b"\n", b"\r\n")
