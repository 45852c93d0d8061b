"""E-mails as they go over the wire, written at once: ``EmailMessage`` takes twenty times as long to say the same."""

import hashlib
import re
from base64 import encodebytes
from binascii import b2a_qp
from datetime import datetime
from email.headerregistry import Address
from email.policy import SMTP
from email.quoprimime import header_encode
from email.utils import format_datetime, parseaddr
from functools import lru_cache

import msgspec

LONGEST_LINE = 78
"""Characters of a header's line (RFC 5322, 2.1.1)."""
DOT_ATOMS = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9.-]+"
"""An address that needs no quotes (RFC 5322, 3.4.1): all that a link or a code is sent to."""


OUTSIDE_ASCII = re.compile(r"\S*[^\x00-\x7f](.*[^\x00-\x7f])?\S*")
"""The words that are, and what is between them."""


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
    text: str,
    html: str,
    sender_name: str | None = None,
    reply_to: str | None = None,
    language: str = "en",
    logo: tuple[str, bytes] | None = None,
) -> Mail:
    """A mail whose text and HTML say the same (RFC 2046, 5.1.4), in ``language`` (RFC 3282).

    ``identity`` becomes the Message-ID, through a digest: mail servers' logs are no place for what opens a link. The HTML shows
    ``logo``, a kind of image and its file, as ``cid:logo`` (RFC 2392). ``sender_name`` stands in place of the sender's own.

    Raises:
        ValueError: ``recipient`` or ``reply_to`` is not one address, or ``subject`` not one line.
    """
    for one in (recipient, reply_to):
        if one is not None and not re.fullmatch(DOT_ATOMS, one):
            raise ValueError("the recipient is not one address")
    origin, address = _origin(sender, sender_name)
    digest = hashlib.sha256(identity.encode()).hexdigest()[:32]
    message_id = f"<{digest}@{address.rpartition('@')[2]}>"
    head = (
        f"{origin}{_header('Reply-To', reply_to) if reply_to else ''}{_header('To', recipient)}{_header('Subject', subject)}"
        f"Date: {format_datetime(date)}\r\n"
        f"Message-ID: {message_id}\r\nAuto-Submitted: auto-generated\r\nContent-Language: {language}\r\nMIME-Version: 1.0\r\n"
    )
    page = _html(html) if logo is None else _several("related", f"r={digest}", _html(html), _picture(*logo))
    return Mail(address, recipient, message_id, head.encode() + _several("alternative", f"=_{digest}", _plain(text), page))


def _several(subtype: str, boundary: str, *parts: bytes) -> bytes:
    """A multipart (RFC 2046, 5.1)."""
    head = f'Content-Type: multipart/{subtype};\r\n boundary="{boundary}"\r\n\r\n'.encode()
    return f"--{boundary}\r\n".encode().join([head, *parts]) + f"--{boundary}--\r\n".encode()


def _header(name: str, value: str) -> str:
    """One line, with words outside ASCII encoded; the email package is asked for what is long, or odd."""
    line = f"{name}: {OUTSIDE_ASCII.sub(_encoded_word, value)}"
    if len(line) <= LONGEST_LINE and value.isprintable():
        return f"{line}\r\n"
    return str(SMTP.fold(*SMTP.header_store_parse(name, value)))


def _encoded_word(words: re.Match[str]) -> str:
    """RFC 2047."""
    return header_encode(words[0].encode(), "utf-8")


@lru_cache(maxsize=1024)
def _origin(sender: str, name: str | None) -> tuple[str, str]:
    """The From header, and the address in it."""
    own_name, address = parseaddr(sender)
    return str(SMTP.fold(*SMTP.header_store_parse("From", Address(display_name=name or own_name, addr_spec=address)))), address


def _plain(text: str) -> bytes:
    lines = b"\n".join(text.encode().splitlines()) + b"\n"
    encoding, body = ("7bit", lines) if text.isascii() else ("quoted-printable", b2a_qp(lines, istext=True))
    return _part("plain", encoding, body)


def _html(html: str) -> bytes:
    return _part("html", "base64", encodebytes(html.encode()))


def _picture(kind: str, file: bytes) -> bytes:
    head = f"Content-Type: image/{kind}\nContent-Transfer-Encoding: base64\nContent-ID: <logo>\nContent-Disposition: inline\n\n"
    return (head.encode() + encodebytes(file) + b"\n").replace(b"\n", b"\r\n")


def _part(subtype: str, encoding: str, body: bytes) -> bytes:
    head = f'Content-Type: text/{subtype}; charset="utf-8"\nContent-Transfer-Encoding: {encoding}\n\n'
    return (head.encode() + body + b"\n").replace(b"\n", b"\r\n")
