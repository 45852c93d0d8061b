"""Header fields of an e-mail (RFC 5322), written from text that may hold anything, and never parsed.

Parsing is what decodes encoded words in a value and lets line breaks out of them (cpython gh-121650, gh-144156). Of the standard
library only, so that every Python can be asked what it writes.
"""

import re
from email.header import Header
from email.quoprimime import header_encode

MAX_LINE = 78
"""Characters of a header's line (RFC 5322, 2.1.1)."""
ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*"
)
"""A mailbox that needs no quotes (RFC 5322, 3.4.1): the only kind that mail is sent to, or from."""
ENCODED_WORD = "=?"
"""What RFC 2047's words begin with: outside text that holds it is written in such words itself."""
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+( [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_NOT_IN_A_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def is_address(text: str) -> bool:
    """Whether ``text`` is one plain address, which no reader can take for an encoded word."""
    return ADDRESS.fullmatch(text) is not None and ENCODED_WORD not in text


def text_field(name: str, value: str) -> str:
    """A field of words, such as Subject; control characters and line breaks in it become spaces."""
    value = _one_line(value)
    line = f"{name}: {value}\r\n"
    return (
        line
        if _is_plain(value) and len(line) <= MAX_LINE + 2
        else f"{name}: {_encoded(name, value)}\r\n"
    )


def address_field(name: str, address: str, display_name: str | None = None) -> str:
    """A field with one address, such as From.

    Raises:
        ValueError: ``address`` is not one plain address.
    """
    if not is_address(address):
        raise ValueError(f"{name} is not one address")
    display_name = _one_line(display_name or "")
    if not display_name:
        return f"{name}: {address}\r\n"
    start = f"{name}: {_phrase(name, display_name)}"
    fits = len(start.rpartition("\n")[2]) + len(f" <{address}>") <= MAX_LINE
    return start + (" " if fits else "\r\n ") + f"<{address}>\r\n"


def _phrase(name: str, words: str) -> str:
    """As atoms, as a quoted string (RFC 5322, 3.2.5), or in encoded words."""
    phrase = words if _ATOMS.fullmatch(words) else '"' + re.sub(r'(["\\])', r"\\\1", words) + '"'
    return (
        phrase
        if _is_plain(words) and len(f"{name}: {phrase}") <= MAX_LINE
        else _encoded(name, words)
    )


def _one_line(text: str) -> str:
    return _NOT_IN_A_LINE.sub(" ", text).strip(" ")


def _is_plain(text: str) -> bool:
    return text.isascii() and ENCODED_WORD not in text


def _encoded(name: str, text: str) -> str:
    """``text`` in UTF-8, in as many encoded words as it takes, folded (RFC 2047)."""
    word = header_encode(text.encode(), "utf-8")  # 2 us, where Header takes 40
    if len(f"{name}: {word}") <= MAX_LINE:
        return word
    return Header(text, "utf-8", MAX_LINE, name).encode(linesep="\r\n")
