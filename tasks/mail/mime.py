"""Builds e-mails as bytes. ``EmailMessage`` takes five times as long, and parses what it writes."""

import hashlib
import re
from datetime import datetime
from email.charset import QP, Charset
from email.mime.image import MIMEImage
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.mime.text import MIMEText
from email.utils import format_datetime

import msgspec

from tasks.mail.headers import POLICY, encode_mailbox, encode_text

KIND_HEADER = "X-Payment-Links-Kind"
"""Names the kind of an e-mail, such as ``otp``, so that no program guesses it from the text."""
BARE_LINE_BREAK = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")
"""Ends a line for some parsers of a header, and not for others."""
SEVEN_BIT = re.compile(r"([ -~]{0,998}\n)*[ -~]{0,998}")
"""Text that needs no encoding (RFC 2045, 2.7)."""
QUOTED_PRINTABLE = Charset("utf-8")
QUOTED_PRINTABLE.body_encoding = QP


class Sender(msgspec.Struct, frozen=True):
    """Who e-mails are from."""

    name: str
    address: str
    bounces_to: str
    """The address in ``MAIL FROM``."""


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
    sender: Sender,
    recipient: str,
    subject: str,
    date: datetime,
    identity: str,
    kind: str,
    text: str,
    html: str,
    reply_to: str | None = None,
    language: str = "en",
    logo: tuple[str, bytes] | None = None,
    unsubscribe_url: str | None = None,
) -> Mail:
    """An e-mail with a text and an HTML version (RFC 2046, 5.1.4), in ``language`` (RFC 3282).

    The Message-ID is a digest of ``identity``: logs of mail servers must not contain what opens a
    link. The HTML refers to ``logo``, an image's type and bytes, as ``cid:logo`` (RFC 2392). Mail
    programs may POST to ``unsubscribe_url`` (RFC 8058).

    Raises:
        ValueError: the address of ``sender``, ``recipient`` or ``reply_to`` is not one address.
    """
    digest = hashlib.sha256(identity.encode()).hexdigest()[:32]
    message_id = f"<{digest}@{sender.address.rpartition('@')[2]}>"
    message = MIMEMultipart("alternative", boundary=f"=_{digest}")
    message["From"] = encode_mailbox("From", sender.name, sender.address)
    if reply_to:
        message["Reply-To"] = encode_mailbox("Reply-To", "", reply_to)
    message["To"] = encode_mailbox("To", "", recipient)
    message["Subject"] = encode_text("Subject", subject)
    message["Date"] = format_datetime(date)
    message["Message-ID"] = message_id
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834
    message["X-Auto-Response-Suppress"] = "All"  # the same to Exchange
    if unsubscribe_url:
        message["List-Unsubscribe"] = f"<{unsubscribe_url}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message[KIND_HEADER] = encode_text(KIND_HEADER, kind)
    message["Content-Language"] = encode_text("Content-Language", language)
    message.attach(_text_part(text))
    html_part = MIMEText(html, "html", "utf-8")
    message.attach(_with_logo(html_part, *logo, boundary=f"r={digest}") if logo else html_part)
    return Mail(sender.bounces_to, recipient, message_id, message.as_bytes(policy=POLICY))


def _text_part(text: str) -> MIMENonMultipart:
    part = MIMENonMultipart("text", "plain")
    part.set_payload(text, "us-ascii" if SEVEN_BIT.fullmatch(text) else QUOTED_PRINTABLE)
    return part


def _with_logo(html: MIMEText, image_type: str, image: bytes, *, boundary: str) -> MIMEMultipart:
    """RFC 2387."""
    picture = MIMEImage(image, image_type)
    picture["Content-ID"] = "<logo>"
    picture["Content-Disposition"] = "inline"
    return MIMEMultipart("related", boundary, [html, picture], type="text/html")
