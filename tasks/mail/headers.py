"""Writes header fields of e-mails (RFC 5322) from arbitrary text.

Nothing here parses a field: Python's parser decodes encoded words in a value, and so lets line
breaks out of them (cpython gh-121650, gh-144156). This module imports the standard library only,
so that tests can run it on every Python.
"""

import re
from email.header import Header
from email.quoprimime import header_encode

MAX_LINE_LENGTH = 78
"""The longest line that RFC 5322, 2.1.1, recommends."""
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
ADDRESS = re.compile(rf"{_ATEXT}(\.{_ATEXT})*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
"""An address without quotes (RFC 5322, 3.4.1): we send to and from no other."""
ENCODED_WORD_START = "=?"
"""The start of an encoded word (RFC 2047). Text with it is encoded, or readers would decode it."""
_ATOMS = re.compile(rf"{_ATEXT}( {_ATEXT})*")
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def is_address(text: str) -> bool:
    """Whether ``text`` is one address that no reader can mistake for an encoded word."""
    return ADDRESS.fullmatch(text) is not None and ENCODED_WORD_START not in text


def text_field(name: str, value: str) -> str:
    """A field of free text, such as Subject. Control characters and line breaks become spaces."""
    value = _to_one_line(value)
    if not _fits(name, value):
        value = _encode(name, value)
    return f"{name}: {value}\r\n"


def address_field(name: str, address: str, display_name: str | None = None) -> str:
    """A field with one address, such as From.

    Raises:
        ValueError: ``address`` is not one address.
    """
    if not is_address(address):
        raise ValueError(f"{name} is not one address")
    display_name = _to_one_line(display_name or "")
    if not display_name:
        return f"{name}: {address}\r\n"
    start = f"{name}: {_phrase(name, display_name)}"
    fits = len(start.rpartition("\n")[2]) + len(f" <{address}>") <= MAX_LINE_LENGTH
    return start + (" " if fits else "\r\n ") + f"<{address}>\r\n"


def _phrase(name: str, words: str) -> str:
    """``words`` as atoms, as a quoted string (RFC 5322, 3.2.5), or as encoded words."""
    phrase = words if _ATOMS.fullmatch(words) else '"' + re.sub(r'(["\\])', r"\\\1", words) + '"'
    return phrase if _fits(name, phrase) else _encode(name, words)


def _to_one_line(text: str) -> str:
    return _CONTROL_CHARACTERS.sub(" ", text).strip(" ")


def _fits(name: str, value: str) -> bool:
    """Whether the field can hold ``value`` as it is, in one line."""
    is_plain = value.isascii() and ENCODED_WORD_START not in value
    return is_plain and len(f"{name}: {value}") <= MAX_LINE_LENGTH


def _encode(name: str, text: str) -> str:
    """``text`` in UTF-8, as encoded words on as many lines as it needs (RFC 2047)."""
    word = header_encode(text.encode(), "utf-8")  # 2 us; Header takes 40
    if len(f"{name}: {word}") <= MAX_LINE_LENGTH:
        return word
    return Header(text, "utf-8", MAX_LINE_LENGTH, name).encode(linesep="\r\n")
