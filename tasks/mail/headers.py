"""Header values of e-mails (RFC 5322), encoded from arbitrary text.

Nothing here parses a value: Python's parser decodes encoded words in it, and so lets line breaks
out of them (cpython gh-121650, gh-144156). This module imports the standard library only, so that
tests can run it on every Python.
"""

import re
from email.header import Header
from email.policy import compat32
from email.utils import quote

POLICY = compat32.clone(linesep="\r\n", max_line_length=998)
"""Writes values as they are encoded here, in lines that SMTP allows (RFC 5321, 4.5.3.1)."""
MAX_LINE_LENGTH = 76
"""The longest line with an encoded word (RFC 2047, 2)."""
MAX_PLAIN_LENGTH = 64
"""Longer text is encoded, so that it can be folded anywhere."""
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_ADDRESS = re.compile(rf"{_ATEXT}(\.{_ATEXT})*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def is_address(text: str) -> bool:
    """Whether ``text`` is one address without quotes that nobody takes for an encoded word."""
    return _ADDRESS.fullmatch(text) is not None and "=?" not in text


def encode_text(name: str, text: str) -> str:
    """Free text in the header ``name``. Control characters and line breaks become spaces."""
    text = _to_one_line(text)
    return Header(text, _charset(text), MAX_LINE_LENGTH, name).encode()


def encode_mailbox(name: str, display_name: str, address: str) -> str:
    """An address in the header ``name``, after ``display_name`` unless that is empty.

    Raises:
        ValueError: ``address`` is not one address.
    """
    if not is_address(address):
        raise ValueError(f"{name} is not one address")
    words = _to_one_line(display_name)
    if not words:
        return address
    charset = _charset(words)
    phrase = words if charset == "utf-8" else f'"{quote(words)}"'
    header = Header(phrase, charset, MAX_LINE_LENGTH, name)
    header.append(f"<{address}>", "us-ascii")
    return header.encode(splitchars=" ")


def _to_one_line(text: str) -> str:
    return _CONTROL_CHARACTERS.sub(" ", text).strip(" ")


def _charset(text: str) -> str:
    """UTF-8, which ``Header`` writes as encoded words, where text cannot stay as it is."""
    is_plain = text.isascii() and "=?" not in text and len(text) <= MAX_PLAIN_LENGTH
    return "us-ascii" if is_plain else "utf-8"
