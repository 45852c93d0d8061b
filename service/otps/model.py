"""One-time passwords: six digits that web and worker both derive, so that nobody has to store or carry them."""

import hmac
import struct
import unicodedata
from datetime import timedelta

from service.errors import Invalid

DIGITS = 6
NONCE_BYTES = 16
MAX_TYPED = 100
"""Characters in which somebody may write a code."""
VERIFIED_FOR = timedelta(hours=24)
"""How long a verified code may be named when a link is created."""


def parse_code(text: str) -> str:
    """``text``, if it can be a code.

    Raises:
        Invalid: it is not six digits.
    """
    if not (len(text) == DIGITS and text.isascii() and text.isdigit()):
        raise Invalid("otp", "must be six digits")
    return text


def derive_code(key: bytes, nonce: bytes, email: str) -> str:
    """The code of ``nonce`` for the canonical ``email``: HOTP (RFC 4226) with counter 0 under a key of its own."""
    return hotp(hmac.digest(key, nonce + email.encode(), "sha256"), 0)


def derive_reference(key: bytes, nonce: bytes) -> str:
    """What names the code of ``nonce`` to the browser that asked for it: nobody can guess it, nor learn the code from it."""
    return hmac.digest(key, b"reference " + nonce, "sha256").hex()[:32]


def read_code(text: str) -> str | None:
    """The code that somebody typed or pasted, in ASCII digits: ``text`` may hold the decimal digits of any script, spaces, dashes,
    and format characters, which are invisible. None if it holds anything else, or not six digits.

    ``assets/pay.js`` reads a code in the same way.
    """
    if len(text) > MAX_TYPED:
        return None
    typed = [character for character in text if not _is_separator(character)]
    digits = [unicodedata.decimal(character, -1) for character in typed]
    return "".join(map(str, digits)) if len(digits) == DIGITS and -1 not in digits else None


def _is_separator(character: str) -> bool:
    """Whether it is a space, a dash (the Unicode property of that name) or a format character."""
    return (
        unicodedata.category(character) in {"Zs", "Zl", "Zp", "Pd", "Cf"}
        or character in "\t\n\v\f\r\u2053\u207b\u208b\u2212"
    )


def hotp(key: bytes, counter: int) -> str:
    """RFC 4226, 5.3: HMAC-SHA-1 of the counter, dynamically truncated to six digits."""
    digest = hmac.digest(key, struct.pack(">Q", counter), "sha1")
    offset = digest[-1] & 0x0F
    number = struct.unpack_from(">I", digest, offset)[0] & 0x7FFF_FFFF
    return f"{number % 10**DIGITS:0{DIGITS}d}"


def matches(code: str, expected: str) -> bool:
    """Whether both are the same, in a time that does not tell where they differ."""
    return hmac.compare_digest(code.encode(), expected.encode())
